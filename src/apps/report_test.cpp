// The report is well-formed, says the figures that it was given, and lets no text become markup.
#include "apps/report.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "apps/report_charts.h"
#include "apps/report_style.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// As strict as XML about what a browser would forgive: every tag closed in order, attributes
// quoted, no bare & or <. Returns the first fault, empty when there is none.
std::string first_fault(const std::string& page) {
  static const std::regex tag(R"(^<(/?)([A-Za-z][\w]*)((\s+[\w:-]+="[^"<]*")*)\s*(/?)>)");
  static const std::regex entity(R"(^&(amp|lt|gt|quot|#39);)");
  std::vector<std::string> open;
  size_t i = page.find("<html");
  for (; i < page.size(); ++i) {
    const std::string rest = page.substr(i, 2000);
    std::smatch match;
    if (page[i] == '&') {
      if (!std::regex_search(rest, entity)) return "bare & before " + rest.substr(0, 40);
    } else if (page[i] == '<') {
      if (!std::regex_search(rest, match, tag)) return "bare < before " + rest.substr(0, 40);
      if (match[1].length()) {
        if (open.empty() || open.back() != match[2]) return "unexpected " + match[0].str();
        open.pop_back();
      } else if (!match[5].length()) {
        open.push_back(match[2]);
      }
      i += static_cast<size_t>(match[0].length()) - 1;
    }
  }
  return open.empty() ? "" : "open at the end: " + open.back();
}

ReportInput example() {
  ReportInput input;
  input.title = "Tiny in 4 bits";
  input.subtitle = "llama, 2 layers";
  input.rows.push_back({.label = "original",
                        .base = true,
                        .bytes = 1000000,
                        .perplexity = 10.0,
                        .perplexity_stderr = 0.1});
  input.rows.push_back({.label = "round to nearest",
                        .bytes = 300000,
                        .bits_per_weight = 4.25,
                        .perplexity = 12.5,
                        .perplexity_stderr = 0.12,
                        .kl = 0.2239,
                        .kl_stderr = 0.003,
                        .top1_agreement = 0.81});
  input.rows.push_back({.label = "GPTQ",
                        .detail = "groups of 64",
                        .bytes = 300000,
                        .bits_per_weight = 4.25,
                        .bits_per_weight_file = 5.91,
                        .perplexity = 11.0,
                        .perplexity_stderr = 0.11,
                        .kl = 0.0999,
                        .kl_stderr = 0.0014,
                        .kl_p50 = 0.031,
                        .kl_p99 = 0.81,
                        .top1_agreement = 0.904});
  for (int layer = 0; layer < 2; ++layer) {
    for (const char* role : {"down", "q"}) {
      input.modules.push_back({.layer = layer,
                               .role = role,
                               .name = fmt::format("layers.{}.{}", layer, role),
                               .rows = 64,
                               .cols = 32,
                               .relative_error = 0.002 * (layer + 1)});
    }
  }
  input.largest_activations = {{"layers.1.down[412]", 1234.0}};
  input.samples = {{"Why?", {{"original", "Because."}, {"GPTQ", "Because of it."}}}};
  input.settings = {{"method", "gptq"}};
  input.commands = {{"Quantize", "halftone quantize tiny -o out"}};
  return input;
}

TEST(Report, IsWellFormedAndSaysTheFigures) {
  const std::string page = render_report(example());
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, HasSubstr("0.0999 ± 0.0014"));
  EXPECT_THAT(page, HasSubstr("90.4\u00A0%"));
  EXPECT_THAT(page, HasSubstr("3.33\u00A0×"));
  EXPECT_THAT(page, HasSubstr("+10.00\u00A0%"));
  EXPECT_THAT(page, HasSubstr("layers.1.down (64 × 32): relative error 0.00400"));
  EXPECT_THAT(page, HasSubstr("layers.1.down[412]"));
  EXPECT_THAT(page, HasSubstr("Because of it."));
  EXPECT_THAT(page, HasSubstr("halftone quantize tiny -o out"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("http")));  // self-contained
}

TEST(Report, WithoutDataIsStillWellFormedAndLeavesPartsOut) {
  const std::string page = render_report({});
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<h2>")));
  ReportInput modules_only;
  modules_only.modules = example().modules;
  const std::string modules = render_report(modules_only);
  EXPECT_EQ(first_fault(modules), "");
  EXPECT_THAT(modules, HasSubstr("Where the error is"));
  EXPECT_THAT(modules, Not(HasSubstr("What it costs")));
}

TEST(Report, NoTextBecomesMarkup) {
  const std::string evil = "</title><script>alert(\"1\" & '2')</script>";
  ReportInput input = example();
  input.title = input.subtitle = input.verdict = input.measured_on = input.program = evil;
  for (ReportRow& row : input.rows) row.label = row.detail = evil;
  for (ReportModule& module : input.modules) module.name = module.note = module.role = evil;
  input.largest_activations = {{evil, 1}};
  input.samples = {{evil, {{evil, evil}}}};
  input.settings = input.machine = input.hashes = {{evil, evil}};
  input.commands = {{evil, evil}};
  input.notes = {evil};
  const std::string page = render_report(input);
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page,
              HasSubstr("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)"));
}

TEST(Report, StrangeErrorsAreDrawnInsideTheScale) {
  ReportInput input = example();
  input.modules[0].relative_error = NAN;
  input.modules[1].relative_error = 0;
  input.modules[2].relative_error = INFINITY;
  const std::string page = render_report(input);
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, Not(HasSubstr("\"inf")));
  EXPECT_THAT(page, HasSubstr("relative error not finite"));
}

TEST(ReportVerdict, ComparesTheLeastWithTheGreatestLoss) {
  EXPECT_EQ(
      report_verdict(example().rows),
      "GPTQ is 3.33\u00A0× smaller, changes perplexity by +10.00\u00A0% and predicts the same next "
      "token in "
      "90.4\u00A0% of places. Round to nearest loses 2.2 × as much (KL 0.224 against 0.0999).");
  EXPECT_EQ(report_verdict({}), "");
  EXPECT_EQ(report_verdict(
                {{.label = "original", .base = true, .bytes = 100}, {.label = "A", .bytes = 125}}),
            "A is 1.25\u00A0× larger.");
}

TEST(ReportMap, ADotForEveryModuleAndARingWhereThereIsNone) {
  std::vector<ReportModule> modules = example().modules;
  modules.pop_back();  // q of layer 1
  const std::string svg = report::error_map(modules);
  const auto count = [&](const std::string& what) {
    size_t n = 0;
    for (size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("relative error 0.00"), 3u);
  EXPECT_EQ(count("not quantized"), 1u);
  EXPECT_LT(svg.find(">q<"), svg.find(">down<"));  // the order of the forward pass
  EXPECT_EQ(count("class=\"e0\""), 2u + 1);        // the least errors, and the legend's first
  EXPECT_EQ(count("class=\"e7\""), 1u + 1);
}

TEST(ReportText, EscapesAndRepairs) {
  EXPECT_EQ(report::escaped("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
  EXPECT_EQ(report::escaped("ΔHΔᵀ 😀\n"), "ΔHΔᵀ 😀\n");
  EXPECT_EQ(report::escaped("a\x01\xff\xed\xa0\x80z"), "a\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDz");
  EXPECT_EQ(report::escaped("\xe2\x82"), "\uFFFD\uFFFD");  // cut off in the middle
}

TEST(ReportText, Figures) {
  EXPECT_EQ(report::figure(0), "0.000");
  EXPECT_EQ(report::figure(0.0999), "0.0999");
  EXPECT_EQ(report::figure(0.00123), "0.00123");
  EXPECT_EQ(report::figure(0.000123), "1.23e-4");
  EXPECT_EQ(report::figure(6.852), "6.85");
  EXPECT_EQ(report::figure(1234), "1234");
  EXPECT_EQ(report::with_error(6.8523, 0.0412), "6.852 ± 0.041");
  EXPECT_EQ(report::with_error(0.09991, 0.00142), "0.0999 ± 0.0014");
  EXPECT_EQ(report::with_error(12.0, 0), "12.0");
}

}  // namespace
}  // namespace halftone
