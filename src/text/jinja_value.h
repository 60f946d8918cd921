// The values of a Jinja template, with Python's meaning: truth, equality, order, str(), repr() and
// json.dumps(). They live in a Heap as long as one rendering; all but namespaces never change, as
// in Jinja's ImmutableSandboxedEnvironment.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace halftone::jinja {

// What a template does wrong; whoever knows template and line makes an Error of it.
struct Fault {
  std::string message;
};
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Fault{fmt::format(format, std::forward<Args>(args)...)};
}

struct Undefined {
  std::string_view name;  // what was looked for
};
struct None {};
struct Sequence;
struct Dict;
struct Callable;
struct Loop;
using Value = std::variant<Undefined, None, bool, int64_t, double, std::string_view,
                           const Sequence*, const Dict*, Dict*, const Callable*, const Loop*>;

// How deep a list or mapping nests and how many values it reaches: bounded, since what is in it may
// be shared (x = [x, x]).
struct Extent {
  int64_t depth = 0, values = 1;
};

struct Sequence {
  // view: what items(), keys() and range() give; generator: what map and its like give, to be gone
  // through once.
  enum class Form { list, tuple, view, generator };
  Form form = Form::list;
  std::vector<Value> items;
  Extent extent = {};
  mutable bool spent = false;
};

using Entries = std::vector<std::pair<std::string_view, Value>>;
// A mapping; as Dict* (not const) a namespace.
struct Dict {
  Entries entries;
  Extent extent = {};
  const Value* find(std::string_view key) const;
  void set(std::string_view key, const Value& value);
};

// The names of a block; those that it has not are its parent's.
struct Scope {
  Scope* parent = nullptr;
  Dict names = {};
};

struct Statement;
struct Callable {
  std::string_view name;
  const Statement* macro = nullptr;  // with the scope that it was defined in;
  Scope* scope = nullptr;            // or
  std::optional<Value> self = {};    // a method of this value; else a function
};

// The variable `loop`.
struct Loop {
  const std::vector<Value>* items = nullptr;
  size_t index = 0;
  int64_t depth = 0;
};

struct Arguments {
  std::vector<Value> positional;
  Entries named;
};

// Owns what the values of a rendering point to; fails beyond kMostBytes.
class Heap {
 public:
  static constexpr size_t kMostBytes = size_t{256} << 20;

  std::string_view text(std::string text);
  const Sequence* sequence(Sequence::Form form, std::vector<Value> items);
  const Dict* dict(Entries entries);
  Dict* name_space(Entries entries);
  const Callable* callable(Callable callable);
  Scope* scope(Scope* parent);
  Loop* loop(Loop loop);
  // Strings are not copied: `json` must outlive the heap.
  Value from_json(const Json& json);

 private:
  void charge(size_t bytes);
  size_t bytes_ = 0;
  std::deque<std::string> texts_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Callable> callables_;
  std::deque<Scope> scopes_;
  std::deque<Loop> loops_;
};

template <class T>
bool is(const Value& value) {
  return std::holds_alternative<T>(value);
}
template <class T>
const T* get(const Value& value) {
  return std::get_if<T>(&value);
}
const Sequence* sequence_of(const Value& value);      // nullptr: not one
std::optional<double> number_of(const Value& value);  // booleans count, as in Python
std::optional<int64_t> integer_of(const Value& value);

// "a string", "none", "undefined 'tools'": for messages.
std::string kind_of(const Value& value);
bool truth(const Value& value);
bool equal(const Value& left, const Value& right);
bool less(const Value& left, const Value& right);  // fails when there is no order
bool contains(const Value& container, const Value& item);
int64_t length_of(const Value& value);
// What `for` goes through: items, keys, characters; nothing of what is undefined.
std::vector<Value> items_of(const Value& value);

std::string text_of(const Value& value);  // Python's str()
std::string repr_of(const Value& value);
struct JsonStyle {
  std::optional<int64_t> indent = {};
  std::string between_items = {}, behind_key = ": ";  // between_items empty: by indent
  bool ascii = false, sort_keys = false;
};
std::string json_of(const Value& value, const JsonStyle& style);
std::string number_text(double number);  // Python's repr()

}  // namespace halftone::jinja
