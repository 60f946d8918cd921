// Filters of lists and mappings.
#include <algorithm>

#include "text/jinja_characters.h"
#include "text/jinja_filters.h"

namespace halftone::jinja {
namespace {

using Form = Sequence::Form;

// The attribute "a.b.0" of an item, with `otherwise` for one that is not there.
Value path_of(Heap& heap, Value value, const Value& path, const Value& otherwise) {
  if (const auto index = integer_of(path)) return item_of(heap, value, *index);
  const auto* names = get<std::string_view>(path);
  if (!names) fail("attribute: got {}, expected a string", kind_of(path));
  for (const std::string_view name : split(*names, ".", -1)) {
    const bool number = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
    if (number && name.size() > 9) fail("attribute: {} is out of range", name);
    value =
        item_of(heap, value,
                number ? Value(static_cast<int64_t>(std::stoll(std::string(name)))) : Value(name));
    if (is<Undefined>(value) && !is<Undefined>(otherwise)) return otherwise;
  }
  return value;
}

// Lower case, where case does not count.
Value key_of(Heap& heap, const Value& value, bool case_counts) {
  const auto* text = get<std::string_view>(value);
  return case_counts || !text ? value : Value(heap.text(lower(*text)));
}

Value join(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string between = bound.has(0) ? text_of(bound.at(0)) : "";
  std::string out;
  bool follows = false;
  for (const Value& item : items_of(input)) {
    if (std::exchange(follows, true)) out += between;
    out += text_of(bound.has(1) ? path_of(heap, item, bound.at(1), Undefined{}) : item);
    if (out.size() > Heap::kMostBytes) fail("join: more than {} bytes", Heap::kMostBytes);
  }
  return heap.text(std::move(out));
}

Value first(Heap&, const Value& input, const Arguments& arguments) {
  const Bound none("first", arguments, {});
  const std::vector<Value> items = items_of(input);
  return items.empty() ? Value(Undefined{"the first item"}) : items.front();
}

Value last(Heap&, const Value& input, const Arguments& arguments) {
  const Bound none("last", arguments, {});
  const Sequence* sequence = sequence_of(input);
  if (sequence && sequence->form == Form::generator) fail("last: got an iterator");
  const std::vector<Value> items = items_of(input);
  return items.empty() ? Value(Undefined{"the last item"}) : items.back();
}

Value as_list(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound none("list", arguments, {});
  return heap.sequence(Form::list, items_of(input));
}

Value items(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound none("items", arguments, {});
  std::vector<Value> pairs;
  if (const auto* dict = get<const Dict*>(input)) {
    for (const auto& [key, value] : (*dict)->entries)
      pairs.emplace_back(heap.sequence(Form::tuple, {key, value}));
  } else if (!is<Undefined>(input)) {
    fail("items: got {}, expected a mapping", kind_of(input));
  }
  return heap.sequence(Form::generator, std::move(pairs));
}

template <class Key>
void sort_by(std::vector<Value>& values, bool backwards, Key key) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& value : values) keyed.emplace_back(key(value), value);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return backwards ? less(b.first, a.first) : less(a.first, b.first);
  });
  for (size_t i = 0; i < values.size(); ++i) values[i] = keyed[i].second;
}

Value dictsort(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const auto* dict = get<const Dict*>(input);
  if (!dict) fail("dictsort: got {}, expected a mapping", kind_of(input));
  const std::string_view by = bound.text_or(1, "key");
  if (by != "key" && by != "value") fail("dictsort: by: got {}, expected key or value", by);
  std::vector<Value> pairs;
  for (const auto& [key, value] : (*dict)->entries)
    pairs.emplace_back(heap.sequence(Form::tuple, {key, value}));
  sort_by(pairs, bound.flag_or(2, false), [&](const Value& pair) {
    return key_of(heap, sequence_of(pair)->items[by == "key" ? 0 : 1], bound.flag_or(0, false));
  });
  return heap.sequence(Form::list, std::move(pairs));
}

Value sort(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool by_attribute = bound.has(2) && !is<None>(bound.at(2));
  if (by_attribute && is<std::string_view>(bound.at(2)) &&
      bound.text(2).find(',') != std::string_view::npos)
    fail("sort: several attributes are not supported");
  std::vector<Value> values = items_of(input);
  sort_by(values, bound.flag_or(0, false), [&](const Value& value) {
    return key_of(heap, by_attribute ? path_of(heap, value, bound.at(2), Undefined{}) : value,
                  bound.flag_or(1, false));
  });
  return heap.sequence(Form::list, std::move(values));
}

Value unique(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  constexpr size_t kMost = 2000;  // each is compared with all others
  std::vector<Value> kept, keys;
  for (const Value& value : items_of(input)) {
    const Value of = bound.has(1) ? path_of(heap, value, bound.at(1), Undefined{}) : value;
    const Value key = key_of(heap, of, bound.flag_or(0, false));
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& k) { return equal(k, key); }))
      continue;
    if (keys.size() == kMost) fail("unique: of more than {} different items", kMost);
    keys.push_back(key);
    kept.push_back(value);
  }
  return heap.sequence(Form::generator, std::move(kept));
}

Value reverse(Heap& heap, const Value& input, const Arguments& arguments) {
  const Bound none("reverse", arguments, {});
  std::vector<Value> values = items_of(input);
  std::reverse(values.begin(), values.end());
  if (!is<std::string_view>(input)) return heap.sequence(Form::generator, std::move(values));
  std::string out;
  for (const Value& character : values) out += std::get<std::string_view>(character);
  return heap.text(std::move(out));
}

// The arguments behind the first `taken`.
Arguments behind(const Arguments& arguments, size_t taken) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(taken));
  return rest;
}

std::string_view name_at(const Arguments& arguments, size_t i, std::string_view callee) {
  const auto* name =
      i < arguments.positional.size() ? get<std::string_view>(arguments.positional[i]) : nullptr;
  if (!name) fail("{}: a name is missing", callee);
  return *name;
}

Value map(Heap& heap, const Value& input, const Arguments& arguments) {
  std::vector<Value> values = items_of(input);
  if (arguments.positional.empty()) {
    const Bound bound("map", arguments, {"attribute", "default"});
    if (!bound.has(0)) fail("map: a filter or an attribute is missing");
    for (Value& value : values) value = path_of(heap, value, bound.at(0), bound.at(1));
  } else {
    const std::string_view name = name_at(arguments, 0, "map");
    const Arguments rest = behind(arguments, 1);
    for (Value& value : values) value = apply_filter(heap, name, value, rest);
  }
  return heap.sequence(Form::generator, std::move(values));
}

// select, reject (by_attribute false) and selectattr, rejectattr.
Value pick(Heap& heap, const Value& input, const Arguments& arguments, bool by_attribute,
           bool wanted) {
  const size_t taken = by_attribute ? 1 : 0;
  if (arguments.positional.size() < taken) fail("an attribute's name is missing");
  const bool tested = arguments.positional.size() > taken;
  const Arguments rest = tested ? behind(arguments, taken + 1) : Arguments{};
  std::vector<Value> picked;
  for (const Value& item : items_of(input)) {
    const Value value =
        by_attribute ? path_of(heap, item, arguments.positional[0], Undefined{}) : item;
    const bool holds =
        tested ? apply_test(name_at(arguments, taken, "a test"), value, rest) : truth(value);
    if (holds == wanted) picked.push_back(item);
  }
  return heap.sequence(Form::generator, std::move(picked));
}

template <bool by_attribute, bool wanted>
Value picked(Heap& heap, const Value& input, const Arguments& arguments) {
  return pick(heap, input, arguments, by_attribute, wanted);
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"join", join},
    {"first", first},
    {"last", last},
    {"list", as_list},
    {"items", items},
    {"dictsort", dictsort},
    {"sort", sort},
    {"unique", unique},
    {"reverse", reverse},
    {"map", map},
    {"select", picked<false, true>},
    {"reject", picked<false, false>},
    {"selectattr", picked<true, true>},
    {"rejectattr", picked<true, false>},
};

}  // namespace

Filter find_list_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace halftone::jinja
