// Escaping, figures and the style sheet of the report.
#include "apps/report_style.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace halftone::report {
namespace {

// How many bytes the UTF-8 sequence at the start of `text` has; 0 when there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const size_t length = byte(0) < 0x80   ? 1
                        : byte(0) < 0xC2 ? 0
                        : byte(0) < 0xE0 ? 2
                        : byte(0) < 0xF0 ? 3
                        : byte(0) < 0xF5 ? 4
                                         : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF.
  if (length == 3 && ((byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xED && byte(1) > 0x9F)))
    return 0;
  if (length == 4 && ((byte(0) == 0xF0 && byte(1) < 0x90) || (byte(0) == 0xF4 && byte(1) > 0x8F)))
    return 0;
  return length;
}

std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

constexpr std::string_view kStyleSheet = R"css(
:root { color-scheme: light dark;
  --paper: #fdfcf9; --card: #f4f2ec; --ink: #1d1d22; --soft: #5d5d68; --rule: #dcd8cd; --accent:
  #3d4fa3;
  --bar: #8f9bd0; --best: #3d4fa3; --band: #c9d0ec;
  --e0: #a9d3e5; --e1: #78b4d6; --e2: #5390c8; --e3: #4b6cb7;
  --e4: #55489f; --e5: #6b2a82; --e6: #7a0f5c; --e7: #6d0233; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #17181c; --card: #202228; --ink: #e9e7e1; --soft: #a3a3ad; --rule: #383b44; --accent:
  #9fb0ff;
  --bar: #59648f; --best: #9fb0ff; --band: #333b5c;
  --e0: #2f4a6d; --e1: #2f6690; --e2: #3f86ac; --e3: #58a6b5;
  --e4: #86c5a6; --e5: #c4dc8f; --e6: #f3d670; --e7: #ffb454; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--paper);
  color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans",
  sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .5rem; padding-top: .6rem; border-top: 1px solid
  var(--rule); }
h3 { font-size: .95rem; margin: 0 0 .3rem; }
p { margin: .4rem 0 .8rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.verdict { font-size: 1.15rem; margin: 1.1rem 0 1.4rem; padding-left: .9rem; border-left: 4px solid
  var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 0; padding: 0; }
.tiles li { list-style: none; background: var(--card); border-radius: .5rem; padding: .8rem 1rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric:
  tabular-nums; }
th, td { padding: .42rem .7rem; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
tbody th { white-space: normal; min-width: 9rem; }
td.text, th.text { text-align: left; white-space: normal; }
tr.best td, tr.best th { background: var(--card); }
small { color: var(--soft); font-weight: 400; }
td small, th small { display: block; }
figure { margin: 1rem 0; }
svg { display: block; max-width: 100%; height: auto; }
.wide > svg { min-width: 34rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: inherit; font-variant-numeric:
  tabular-nums; }
svg text.strong { fill: var(--ink); font-size: 13px; }
.e0 { fill: var(--e0); } .e1 { fill: var(--e1); } .e2 { fill: var(--e2); } .e3 { fill: var(--e3); }
.e4 { fill: var(--e4); } .e5 { fill: var(--e5); } .e6 { fill: var(--e6); } .e7 { fill: var(--e7); }
.none { fill: none; stroke: var(--rule); }
.grid { stroke: var(--rule); stroke-width: 1; } .band { fill: var(--band); }
.line { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; } .dot { fill:
  var(--accent); }
.bar { fill: var(--bar); } .bar.best { fill: var(--best); } .whisker { stroke: var(--ink);
  stroke-width: 1.5; fill: none; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.2rem
  2rem; }
.card { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; }
.pair + h3 { margin-top: 1.4rem; }
.card p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; margin: .3rem 0 1rem;
  white-space: pre-wrap;
  overflow-wrap: anywhere; font: .86rem/1.5 ui-monospace, "Liberation Mono", "DejaVu Sans Mono",
  monospace; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1.2rem;
  margin: 0; font-size: .93rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--accent); margin: .6rem 0; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) { body { padding: 1.4rem .9rem 3rem; font-size: 15px; } h1 { font-size:
  1.5rem; } th, td { padding: .4rem .5rem; } }
@media print { :root { --paper: #fff; --card: #f3f3f3; } body { max-width: none; padding: 0;
  font-size: 10.5pt; }
  h2 { break-after: avoid; } figure, table, .card { break-inside: avoid; } .wide { overflow:
  visible; } .wide > svg { min-width: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const bool control =
        length == 1 && static_cast<uint8_t>(text[0]) < 0x20 && text[0] != '\n' && text[0] != '\t';
    if (length == 0 || control || text[0] == 0x7F) {
      out += "\uFFFD";
    } else if (const std::string_view named = entity(text[0]); !named.empty()) {
      out += named;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string figure(double value) {
  if (!std::isfinite(value)) return "not finite";
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-3 || size >= 1e6)) {
    const int exponent = static_cast<int>(std::floor(std::log10(size)));
    return fmt::format("{:.2f}e{}", value / std::pow(10.0, exponent), exponent);
  }
  const int before = size < 1 ? 0 : static_cast<int>(std::floor(std::log10(size)));
  const int leading = size == 0 || size >= 0.1 ? 0 : size >= 0.01 ? 1 : 2;
  return fmt::format("{:.{}f}", value, std::max(0, (size < 1 ? 3 + leading : 2 - before)));
}

std::string with_error(double value, double error) {
  if (!std::isfinite(value) || !std::isfinite(error) || error <= 0) return figure(value);
  const int exponent = static_cast<int>(std::floor(std::log10(error)));
  const int places = std::clamp(1 - exponent, 0, 8);
  return fmt::format("{:.{}f} ± {:.{}f}", value, places, error, places);
}

std::string_view style_sheet() { return kStyleSheet; }

}  // namespace halftone::report
