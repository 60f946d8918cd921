// Jinja's tests: value is name(argument).
#include <algorithm>

#include "text/jinja_characters.h"
#include "text/jinja_filters.h"

namespace halftone::jinja {
namespace {

bool is_view(const Value& value) {
  const Sequence* sequence = sequence_of(value);
  return sequence &&
         (sequence->form == Sequence::Form::view || sequence->form == Sequence::Form::generator);
}

bool is_iterable(const Value& value) {
  return is<Undefined>(value) || is<std::string_view>(value) || sequence_of(value) ||
         is<const Dict*>(value);
}

bool is_flag(const Value& value, bool wanted) {
  const bool* flag = get<bool>(value);
  return flag && *flag == wanted;
}

bool is_in_case(const Value& value, bool upper_case) {
  const std::string text = text_of(value);
  return text == (upper_case ? upper(text) : lower(text)) &&
         text != (upper_case ? lower(text) : upper(text));
}

bool is_divisible(const Value& value, int64_t by) {
  const auto integer = integer_of(value);
  if (!integer || by == 0) fail("{} divided by {}", kind_of(value), by);
  return by == -1 || *integer % by == 0;
}

bool same_as(const Value& left, const Value& right) {
  const auto known = [](const Value& value) { return is<bool>(value) || is<None>(value); };
  if (known(left) || known(right)) return left.index() == right.index() && equal(left, right);
  fail("sameas: {} and {} are not compared by identity", kind_of(left), kind_of(right));
}

using Simple = bool (*)(const Value&);
constexpr std::pair<std::string_view, Simple> kSimple[] = {
    {"defined", [](const Value& v) { return !is<Undefined>(v); }},
    {"undefined", [](const Value& v) { return is<Undefined>(v); }},
    {"none", [](const Value& v) { return is<None>(v); }},
    {"string", [](const Value& v) { return is<std::string_view>(v); }},
    {"mapping", [](const Value& v) { return is<const Dict*>(v); }},
    {"sequence", [](const Value& v) { return is_iterable(v) && !is_view(v); }},
    {"iterable", is_iterable},
    {"number", [](const Value& v) { return number_of(v).has_value(); }},
    {"integer", [](const Value& v) { return is<int64_t>(v); }},
    {"float", [](const Value& v) { return is<double>(v); }},
    {"boolean", [](const Value& v) { return is<bool>(v); }},
    {"true", [](const Value& v) { return is_flag(v, true); }},
    {"false", [](const Value& v) { return is_flag(v, false); }},
    {"callable", [](const Value& v) { return is<const Callable*>(v); }},
    {"odd", [](const Value& v) { return !is_divisible(v, 2); }},
    {"even", [](const Value& v) { return is_divisible(v, 2); }},
    {"lower", [](const Value& v) { return is_in_case(v, false); }},
    {"upper", [](const Value& v) { return is_in_case(v, true); }},
};

using Comparing = bool (*)(const Value&, const Value&);
constexpr Comparing kEqual = equal;
constexpr Comparing kUnequal = [](const Value& a, const Value& b) { return !equal(a, b); };
constexpr Comparing kLess = less;
constexpr Comparing kGreater = [](const Value& a, const Value& b) { return less(b, a); };
constexpr Comparing kAtMost = [](const Value& a, const Value& b) {
  return less(a, b) || equal(a, b);
};
constexpr Comparing kAtLeast = [](const Value& a, const Value& b) {
  return less(b, a) || equal(a, b);
};
constexpr std::pair<std::string_view, Comparing> kComparing[] = {
    {"equalto", kEqual},
    {"eq", kEqual},
    {"ne", kUnequal},
    {"lt", kLess},
    {"lessthan", kLess},
    {"gt", kGreater},
    {"greaterthan", kGreater},
    {"le", kAtMost},
    {"ge", kAtLeast},
    {"sameas", same_as},
    {"in", [](const Value& item, const Value& container) { return contains(container, item); }},
    {"divisibleby",
     [](const Value& value, const Value& by) {
       return is_divisible(value, integer_of(by).value_or(0));
     }},
};

template <class Table>
auto find_in(const Table& table, std::string_view name) {
  const auto found = std::find_if(std::begin(table), std::end(table),
                                  [&](const auto& row) { return row.first == name; });
  return found == std::end(table) ? nullptr : found->second;
}

}  // namespace

bool is_test(std::string_view name) { return find_in(kSimple, name) || find_in(kComparing, name); }

bool apply_test(std::string_view name, const Value& input, const Arguments& arguments) {
  if (const Simple simple = find_in(kSimple, name)) {
    if (!arguments.positional.empty() || !arguments.named.empty())
      fail("the test \"{}\" takes no argument", name);
    return simple(input);
  }
  const Comparing comparing = find_in(kComparing, name);
  if (!comparing) fail("the test \"{}\" is not known", name);
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    fail("the test \"{}\" takes one argument", name);
  return comparing(input, arguments.positional.front());
}

}  // namespace halftone::jinja
