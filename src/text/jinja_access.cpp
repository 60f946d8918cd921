// Attributes, items and slices, in the order in which Jinja looks: value.name first among Python's
// methods, then among keys; value[key] the other way round.
#include <algorithm>
#include <span>

#include "text/jinja_characters.h"
#include "text/jinja_filters.h"

namespace halftone::jinja {
namespace {

// All names, the supported ones among them: the others must not pass for undefined.
constexpr std::string_view kTextMethods[] = {
    "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
    "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
    "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
    "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
    "swapcase",     "title",       "translate", "upper",      "zfill"};
constexpr std::string_view kMappingMethods[] = {"clear",      "copy",   "fromkeys", "get",
                                                "items",      "keys",   "pop",      "popitem",
                                                "setdefault", "update", "values"};
constexpr std::string_view kListMethods[] = {"append", "clear",   "copy",   "count",
                                             "extend", "index",   "insert", "pop",
                                             "remove", "reverse", "sort"};
constexpr std::string_view kNumberMethods[] = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
    "numerator",        "real",      "to_bytes"};

std::span<const std::string_view> methods_of(const Value& value) {
  if (is<std::string_view>(value)) return kTextMethods;
  if (is<const Dict*>(value)) return kMappingMethods;
  if (sequence_of(value)) return kListMethods;
  if (number_of(value)) return kNumberMethods;
  return {};
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(loop.items->size());
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return length - index;
  if (name == "revindex0") return length - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == length;
  if (name == "length") return length;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem")
    return index > 0 ? (*loop.items)[loop.index - 1] : Value(Undefined{"loop.previtem"});
  if (name == "nextitem")
    return index + 1 < length ? (*loop.items)[loop.index + 1] : Value(Undefined{"loop.nextitem"});
  fail("loop.{} is not supported", name);
}

Value method_of(Heap& heap, const Value& self, std::string_view name) {
  return heap.callable({.name = name, .self = self});
}

const Dict* entries_of(const Value& value) {
  if (const auto* dict = get<const Dict*>(value)) return *dict;
  if (const auto* space = get<Dict*>(value)) return *space;
  return nullptr;
}

Value indexed(const Value& value, int64_t index) {
  const auto place = [&](size_t size) -> std::optional<size_t> {
    const int64_t at = index < 0 ? index + static_cast<int64_t>(size) : index;
    if (at < 0 || at >= static_cast<int64_t>(size)) return std::nullopt;
    return static_cast<size_t>(at);
  };
  if (const auto* text = get<std::string_view>(value)) {
    const std::vector<std::string_view> characters = characters_of(*text);
    const auto at = place(characters.size());
    return at ? Value(characters[*at]) : Value(Undefined{"a character"});
  }
  const Sequence* sequence = sequence_of(value);
  if (!sequence) return Undefined{"an item"};
  const auto at = place(sequence->items.size());
  return at ? sequence->items[*at] : Value(Undefined{"an item of a list"});
}

void check_lookup(const Value& value, std::string_view name) {
  if (const auto* undefined = get<Undefined>(value))
    fail("'{}' is undefined, and so has no '{}'", undefined->name, name);
  if (name.starts_with("__")) fail("the attribute {} is not allowed", name);
  if (is<const Callable*>(value)) fail("the attribute {} of a function is not supported", name);
}

// Which places a slice takes, as Python counts them.
std::vector<size_t> places_of(const std::array<Value, 3>& bounds, int64_t size) {
  const auto given = [&](size_t i, int64_t otherwise) {
    if (is<None>(bounds[i])) return otherwise;
    const auto integer = integer_of(bounds[i]);
    if (!integer) fail("a slice: got {}, expected an integer", kind_of(bounds[i]));
    return *integer;
  };
  const int64_t step = given(2, 1);
  if (step == 0) fail("a slice with a step of 0");
  const int64_t least = step > 0 ? 0 : -1, most = step > 0 ? size : size - 1;
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (is<None>(bounds[i])) return otherwise;
    const int64_t at = given(i, 0);
    return std::clamp(at < 0 ? std::max(at, -size - 1) + size : std::min(at, size), least, most);
  };
  const int64_t start = bound(0, step > 0 ? 0 : size - 1), stop = bound(1, step > 0 ? size : -1);
  const int64_t stride = std::clamp(step, -size - 1, size + 1);
  std::vector<size_t> places;
  for (int64_t at = start; stride > 0 ? at < stop : at > stop; at += stride)
    places.push_back(static_cast<size_t>(at));
  return places;
}

}  // namespace

bool has_method(const Value& value, std::string_view name) {
  const std::span<const std::string_view> names = methods_of(value);
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value attribute_of(Heap& heap, const Value& value, std::string_view name) {
  check_lookup(value, name);
  if (const auto* loop = get<const Loop*>(value)) return loop_attribute(**loop, name);
  if (has_method(value, name)) return method_of(heap, value, name);
  const Dict* entries = entries_of(value);
  const Value* found = entries ? entries->find(name) : nullptr;
  return found ? *found : Value(Undefined{name});
}

Value item_of(Heap& heap, const Value& value, const Value& key) {
  const auto* name = get<std::string_view>(key);
  check_lookup(value, name ? *name : "item");
  if (const Sequence* sequence = sequence_of(value);
      sequence &&
      (sequence->form == Sequence::Form::view || sequence->form == Sequence::Form::generator))
    fail("an item of an iterator (make a list of it first)");
  if (name) {
    if (const Dict* entries = entries_of(value))
      if (const Value* found = entries->find(*name)) return *found;
    return attribute_of(heap, value, *name);
  }
  const auto index = integer_of(key);
  return index ? indexed(value, *index) : Value(Undefined{"an item"});
}

Value slice_of(Heap& heap, const Value& value, const std::array<Value, 3>& bounds) {
  if (const auto* text = get<std::string_view>(value)) {
    const std::vector<std::string_view> characters = characters_of(*text);
    std::string out;
    for (const size_t at : places_of(bounds, static_cast<int64_t>(characters.size())))
      out += characters[at];
    return heap.text(std::move(out));
  }
  const Sequence* sequence = sequence_of(value);
  if (!sequence ||
      (sequence->form != Sequence::Form::list && sequence->form != Sequence::Form::tuple))
    fail("a slice of {}", kind_of(value));
  std::vector<Value> items;
  for (const size_t at : places_of(bounds, static_cast<int64_t>(sequence->items.size())))
    items.push_back(sequence->items[at]);
  return heap.sequence(sequence->form, std::move(items));
}

}  // namespace halftone::jinja
