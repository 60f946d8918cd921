// Arguments by name or place, and the functions that a template can call.
#include <algorithm>
#include <cmath>

#include "text/jinja_filters.h"

namespace halftone::jinja {
namespace {

constexpr int64_t kLongestRange = 100000;  // as Jinja's sandbox has it

Value range(Heap& heap, const Arguments& arguments) {
  const Bound bound("range", arguments, {"start", "stop", "step"});
  const bool one = !bound.has(1);
  const int64_t start = one ? 0 : bound.integer_or(0, 0);
  const int64_t stop = bound.integer_or(one ? 0 : 1, 0), step = bound.integer_or(2, 1);
  if (!bound.has(0)) fail("range: an end is missing");
  if (step == 0) fail("range: a step of 0");
  const double count = std::ceil((static_cast<double>(stop) - static_cast<double>(start)) /
                                 static_cast<double>(step));
  if (count > static_cast<double>(kLongestRange))
    fail("range: {} numbers, at most {} are allowed", count, kLongestRange);
  std::vector<Value> numbers;
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) numbers.emplace_back(start + i * step);
  return heap.sequence(Sequence::Form::view, std::move(numbers));
}

Entries entries_of(std::string_view name, const Arguments& arguments) {
  Dict made;
  if (arguments.positional.size() > 1) fail("{}: more than one mapping", name);
  for (const Value& value : arguments.positional) {
    const auto* dict = get<const Dict*>(value);
    if (!dict) fail("{}: got {}, expected a mapping", name, kind_of(value));
    made = **dict;
  }
  for (const auto& [key, value] : arguments.named) made.set(key, value);
  return std::move(made.entries);
}

Value strftime_now(Heap& heap, const Arguments& arguments, const std::tm& now) {
  const std::string format(Bound("strftime_now", arguments, {"format"}).text(0));
  char buffer[256];
  const size_t length = std::strftime(buffer, sizeof buffer, format.c_str(), &now);
  if (length == 0 && !format.empty()) fail("strftime_now: the format is empty or too long");
  return heap.text({buffer, length});
}

}  // namespace

Bound::Bound(std::string_view callee, const Arguments& arguments,
             std::initializer_list<std::string_view> names)
    : callee_(callee), names_(names), given_(names.size()) {
  if (arguments.positional.size() > names.size())
    fail("{}: got {} arguments, expected at most {}", callee, arguments.positional.size(),
         names.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) fail("{}: the argument {} is not known", callee, name);
    std::optional<Value>& place = given_[static_cast<size_t>(found - names_.begin())];
    if (place) fail("{}: the argument {} is given twice", callee, name);
    place = value;
  }
}

std::string_view Bound::text(size_t i) const {
  const Value value = at(i);
  if (const auto* text = get<std::string_view>(value)) return *text;
  fail("{}: {}: got {}, expected a string", callee_, names_[i], kind_of(value));
}

std::string_view Bound::text_or(size_t i, std::string_view otherwise) const {
  return has(i) ? text(i) : otherwise;
}

int64_t Bound::integer_or(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  if (const auto integer = integer_of(*given_[i])) return *integer;
  fail("{}: {}: got {}, expected an integer", callee_, names_[i], kind_of(*given_[i]));
}

bool is_function(std::string_view name) {
  constexpr std::string_view kNames[] = {"range", "namespace", "dict", "raise_exception",
                                         "strftime_now"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

Value call_function(Heap& heap, std::string_view name, const Arguments& arguments,
                    const std::tm& now) {
  if (name == "range") return range(heap, arguments);
  if (name == "namespace") return heap.name_space(entries_of(name, arguments));
  if (name == "dict") return heap.dict(entries_of(name, arguments));
  if (name == "strftime_now") return strftime_now(heap, arguments, now);
  throw Refusal{text_of(Bound(name, arguments, {"message"}).at(0))};
}

}  // namespace halftone::jinja
