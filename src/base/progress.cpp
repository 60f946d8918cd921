#include "base/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace halftone {
namespace {

constexpr double kTerminalSeconds = 0.1, kPlainSeconds = 10;
constexpr int kBarWidth = 20, kShortBar = 6;  // the words need the room of a narrow terminal
constexpr size_t kNarrow = 100;

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

size_t terminal_columns() {
  struct winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// The first `columns` characters of UTF-8 text, each taken as one column wide.
std::string first_columns(const std::string& text, size_t columns) {
  size_t end = 0;
  while (end < text.size()) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && columns-- == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

}  // namespace

Progress::Progress(std::string what, double total, bool quiet)
    : what_(std::move(what)),
      total_(total),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_) {
  if (terminal_) draw(false);
}

Progress::~Progress() {
  // Unfinished because of an exception: leave the terminal a clean line for the message.
  if (!finished_ && !quiet_ && terminal_) fmt::print(stderr, "\n");
}

void Progress::update(double done, const std::string& where) {
  done_ = done;
  where_ = where;
  const auto now = std::chrono::steady_clock::now();
  if (seconds_between(drawn_, now) < (terminal_ ? kTerminalSeconds : kPlainSeconds)) return;
  drawn_ = now;
  draw(false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  done_ = total_;
  draw(true);
}

double Progress::seconds() const {
  return seconds_between(start_, std::chrono::steady_clock::now());
}

double Progress::seconds_left() const {
  return done_ > 0 ? seconds() * std::max(0.0, total_ - done_) / done_ : 0;
}

void Progress::draw(bool last) {
  if (quiet_) return;
  const double part = total_ > 0 ? std::clamp(done_ / total_, 0.0, 1.0) : 1;
  std::string line = what_;
  if (terminal_ && !last) {
    const int width = terminal_columns() < kNarrow ? kShortBar : kBarWidth;
    const int filled = static_cast<int>(part * width);
    line += "  ";
    for (int i = 0; i < width; ++i) line += i < filled ? "█" : "·";
  }
  line += fmt::format("  {:3.0f}%", std::floor(100 * part));
  if (last) {
    line += "  in " + human_seconds(seconds());
  } else if (done_ > 0) {
    line += "  " + human_seconds(seconds_left()) + " left";
  }
  if (!where_.empty() && !last) line += "  " + where_;
  if (!terminal_) {
    fmt::print(stderr, "{}\n", line);
  } else {
    fmt::print(stderr, "\r\033[K{}{}", first_columns(line, terminal_columns() - 1),
               last ? "\n" : "");
  }
  std::fflush(stderr);
}

std::optional<int64_t> parse_bytes(const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  std::string unit;
  for (; *end != 0; ++end)
    if (*end != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*end)));
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  double base = 1000;
  if (!unit.empty() && unit.back() == 'i') {
    base = 1024;
    unit.pop_back();
  }
  constexpr std::string_view kPrefixes = "kmgt";
  const size_t power = unit.empty() ? 0 : kPrefixes.find(unit) + 1;  // 0 too when it is unknown
  if (unit.size() > 1 || (!unit.empty() && power == 0) || end == text.c_str()) return std::nullopt;
  value *= std::pow(base, static_cast<double>(power));
  if (!(value >= 1 && value < 0x1p62)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::string human_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 999.5 and more would show as 1000 of the smaller unit.
  while (std::abs(value) >= (unit == 0 ? 1000 : 999.5) && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  const int decimals = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds < 0.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(std::min(seconds, 1e15));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

std::string human_count(int64_t count) {
  std::string digits = std::to_string(count);
  const size_t sign = count < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > sign + 3;) digits.insert(at -= 3, ",");
  return digits;
}

}  // namespace halftone
