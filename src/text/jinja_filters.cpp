// Filters of texts and numbers, and the way to all filters.
#include "text/jinja_filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_characters.h"

namespace halftone::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Value changed(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound none("a filter of text", arguments, {});
  return heap.text(change(text_of(input)));
}

Value trim(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("trim", arguments, {"chars"});
  std::optional<std::string_view> of;
  if (bound.has(0) && !is<None>(bound.at(0))) of = bound.text(0);
  const std::string text = text_of(input);
  return heap.text(std::string(strip_left(strip_right(text, of), of)));
}

Value replaced(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"});
  const bool all = !bound.has(2) || is<None>(bound.at(2));
  return heap.text(replace(text_of(input), text_of(bound.at(0)), text_of(bound.at(1)),
                           all ? -1 : bound.integer_or(2, -1)));
}

Value as_text(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound none("string", arguments, {});
  return heap.text(text_of(input));
}

Value default_of(Heap&, const Value& input, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  const bool missing = is<Undefined>(input) || (bound.flag_or(1, false) && !truth(input));
  if (!missing) return input;
  return bound.has(0) ? bound.at(0) : Value(std::string_view());
}

Value length(Heap&, const Value& input, const Arguments& arguments) {
  const Bound none("length", arguments, {});
  return length_of(input);
}

std::optional<double> parsed_number(std::string_view text) {
  text = strip_left(strip_right(text));
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong == std::errc() && end == text.data() + text.size()) return number;
  if (text.find('_') != std::string_view::npos) fail("numbers with _ are not supported");
  return std::nullopt;
}

Value as_integer(Heap&, const Value& input, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  if (bound.integer_or(1, 10) != 10) fail("int: only base 10 is supported");
  if (const auto integer = integer_of(input)) return *integer;
  std::optional<double> number = number_of(input);
  if (const auto* text = get<std::string_view>(input)) {
    std::string_view digits = strip_left(strip_right(*text));
    if (digits.starts_with('+')) digits.remove_prefix(1);
    int64_t integer = 0;
    const auto [end, wrong] =
        std::from_chars(digits.data(), digits.data() + digits.size(), integer);
    if (wrong == std::errc() && end == digits.data() + digits.size() && !digits.empty())
      return integer;
    number = parsed_number(*text);
  }
  if (is<Undefined>(input)) fail("int: got {}", kind_of(input));
  if (!number || !std::isfinite(*number)) return bound.has(0) ? bound.at(0) : Value(int64_t{0});
  if (std::abs(*number) >= 0x1p63) fail("int: {} is out of range", *number);
  return static_cast<int64_t>(*number);
}

Value as_number(Heap&, const Value& input, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  if (is<Undefined>(input)) fail("float: got {}", kind_of(input));
  std::optional<double> number = number_of(input);
  if (const auto* text = get<std::string_view>(input)) number = parsed_number(*text);
  if (number) return *number;
  return bound.has(0) ? bound.at(0) : Value(0.0);
}

Value absolute(Heap&, const Value& input, const Arguments& arguments) {
  const Bound none("abs", arguments, {});
  if (const auto integer = integer_of(input)) {
    if (*integer == INT64_MIN) fail("abs: out of range");
    return *integer < 0 ? -*integer : *integer;
  }
  if (const auto* number = get<double>(input)) return std::abs(*number);
  fail("abs: got {}", kind_of(input));
}

// As Transformers defines it, not as Jinja does: nothing is escaped for HTML.
Value to_json(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.ascii = bound.flag_or(0, false), .sort_keys = bound.flag_or(3, false)};
  if (bound.has(1) && !is<None>(bound.at(1))) {
    style.indent = bound.integer_or(1, 0);
    if (*style.indent < 0 || *style.indent > 100) fail("tojson: an indent of {}", *style.indent);
  }
  if (bound.has(2) && !is<None>(bound.at(2))) {
    const std::vector<Value> both = items_of(bound.at(2));
    if (both.size() != 2 || !is<std::string_view>(both[0]) || !is<std::string_view>(both[1]))
      fail("tojson: separators: expected two strings");
    style.between_items = std::get<std::string_view>(both[0]);
    style.behind_key = std::get<std::string_view>(both[1]);
  }
  return heap.text(json_of(input, style));
}

Value indent(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  std::string by(4, ' ');
  if (bound.has(0)) {
    if (is<std::string_view>(bound.at(0)))
      by = bound.text(0);
    else
      by.assign(static_cast<size_t>(std::clamp<int64_t>(bound.integer_or(0, 4), 0, 100)), ' ');
  }
  std::string out;
  const std::string text = text_of(input) + "\n";
  bool follows = false;
  for (const std::string_view line : split_lines(text)) {
    const bool first = !std::exchange(follows, true);
    if (!first) out += '\n';
    if (first ? bound.flag_or(1, false) : !line.empty() || bound.flag_or(2, false)) out += by;
    out += line;
    if (out.size() > Heap::kMostBytes) fail("indent: more than {} bytes", Heap::kMostBytes);
  }
  return heap.text(std::move(out));
}

// What Markup would escape on its way into other text is not worth having: an output's last filter
// is dropped before it comes here.
Value safe(Heap&, const Value&, const Arguments&) {
  fail("the filter \"safe\" is supported only as an output's last one");
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"upper", changed<upper>},
    {"lower", changed<lower>},
    {"capitalize", changed<capitalize>},
    {"title", changed<title_of_words>},
    {"trim", trim},
    {"replace", replaced},
    {"string", as_text},
    {"default", default_of},
    {"d", default_of},
    {"length", length},
    {"count", length},
    {"int", as_integer},
    {"float", as_number},
    {"abs", absolute},
    {"tojson", to_json},
    {"indent", indent},
    {"safe", safe},
};

Filter find_filter(std::string_view name) {
  const Filter found = find_text_filter(name);
  return found ? found : find_list_filter(name);
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters)
    if (known == name) return filter;
  return nullptr;
}

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(Heap& heap, std::string_view name, const Value& input,
                   const Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (!filter) fail("the filter \"{}\" is not known", name);
  return filter(heap, input, arguments);
}

}  // namespace halftone::jinja
