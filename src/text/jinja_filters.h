// Jinja's filters and tests, and the methods of strings and mappings, as far as chat templates need
// them. What is not known or not supported fails by name.
#pragma once

#include <array>
#include <ctime>
#include <initializer_list>
#include <string_view>

#include "text/jinja_value.h"

namespace halftone::jinja {

using Filter = Value (*)(Heap& heap, const Value& input, const Arguments& arguments);
Filter find_text_filter(std::string_view name);  // nullptr: not one
Filter find_list_filter(std::string_view name);
bool is_filter(std::string_view name);
Value apply_filter(Heap& heap, std::string_view name, const Value& input,
                   const Arguments& arguments);

bool is_test(std::string_view name);
bool apply_test(std::string_view name, const Value& input, const Arguments& arguments);

// Whether Python's type of `value` has a method of this name, supported here or not: it hides a
// mapping's key of the same name.
bool has_method(const Value& value, std::string_view name);
Value call_method(Heap& heap, const Value& self, std::string_view name, const Arguments& arguments);

// range, namespace, dict, raise_exception, strftime_now; `now` is what the last one tells.
bool is_function(std::string_view name);
Value call_function(Heap& heap, std::string_view name, const Arguments& arguments,
                    const std::tm& now);
// What raise_exception throws: the template refuses what it is given.
struct Refusal {
  std::string message;
};

// value.name, value[key] and value[first:second:step], as Jinja looks for them; undefined where
// there is nothing.
Value attribute_of(Heap& heap, const Value& value, std::string_view name);
Value item_of(Heap& heap, const Value& value, const Value& key);
Value slice_of(Heap& heap, const Value& value, const std::array<Value, 3>& bounds);

// The arguments by their places in `names`, undefined where not given. `callee` is named in
// failures.
class Bound {
 public:
  Bound(std::string_view callee, const Arguments& arguments,
        std::initializer_list<std::string_view> names);
  bool has(size_t i) const { return given_[i].has_value(); }
  Value at(size_t i) const { return given_[i].value_or(Undefined{names_[i]}); }
  std::string_view text(size_t i) const;  // a string, required
  std::string_view text_or(size_t i, std::string_view otherwise) const;
  int64_t integer_or(size_t i, int64_t otherwise) const;
  bool flag_or(size_t i, bool otherwise) const { return has(i) ? truth(*given_[i]) : otherwise; }

 private:
  std::string_view callee_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> given_;
};

}  // namespace halftone::jinja
