// See jinja_value.h.
#include "text/jinja_value.h"

#include <algorithm>
#include <limits>

#include "text/jinja_characters.h"

namespace halftone::jinja {
namespace {

bool is_list_or_tuple(const Sequence& sequence) {
  return sequence.form == Sequence::Form::list || sequence.form == Sequence::Form::tuple;
}

bool equal_items(const Sequence& left, const Sequence& right) {
  if (!is_list_or_tuple(left) || !is_list_or_tuple(right)) fail("iterators do not compare");
  return left.form == right.form && std::equal(left.items.begin(), left.items.end(),
                                               right.items.begin(), right.items.end(), equal);
}

bool equal_entries(const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  return std::all_of(left.entries.begin(), left.entries.end(), [&](const auto& entry) {
    const Value* other = right.find(entry.first);
    return other && equal(entry.second, *other);
  });
}

// One more value within.
void add(Extent& extent, const Value& value) {
  constexpr int64_t kMostDepth = 100, kMostValues = int64_t{1} << 22;
  const Sequence* sequence = sequence_of(value);
  const auto* dict = get<const Dict*>(value);
  const Extent within = sequence ? sequence->extent : dict ? (*dict)->extent : Extent{};
  extent.depth = std::max(extent.depth, within.depth + 1);
  extent.values += within.values;
  if (extent.depth > kMostDepth || extent.values > kMostValues)
    fail("a list or mapping of more than {} levels or {} values", kMostDepth, kMostValues);
}

}  // namespace

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries)
    if (name == key) return &value;
  return nullptr;
}

void Dict::set(std::string_view key, const Value& value) {
  for (auto& [name, old] : entries) {
    if (name != key) continue;
    old = value;
    return;
  }
  entries.emplace_back(key, value);
}

void Heap::charge(size_t bytes) {
  bytes_ += bytes + 2 * sizeof(Value);
  if (bytes_ > kMostBytes) fail("takes more than {} MiB of memory", kMostBytes >> 20);
}

std::string_view Heap::text(std::string text) {
  charge(text.size());
  return texts_.emplace_back(std::move(text));
}

const Sequence* Heap::sequence(Sequence::Form form, std::vector<Value> items) {
  charge(items.size() * sizeof(Value));
  Sequence& made = sequences_.emplace_back(Sequence{form, std::move(items)});
  for (const Value& item : made.items) add(made.extent, item);
  return &made;
}

Dict* Heap::name_space(Entries entries) {
  charge(entries.size() * sizeof(Entries::value_type));
  return &dicts_.emplace_back(Dict{std::move(entries)});
}

const Dict* Heap::dict(Entries entries) {
  Dict* made = name_space(std::move(entries));
  for (const auto& [key, value] : made->entries) add(made->extent, value);
  return made;
}

const Callable* Heap::callable(Callable callable) {
  charge(sizeof callable);
  return &callables_.emplace_back(callable);
}

Scope* Heap::scope(Scope* parent) {
  charge(sizeof(Scope));
  return &scopes_.emplace_back(Scope{.parent = parent});
}

Loop* Heap::loop(Loop loop) {
  charge(sizeof loop);
  return &loops_.emplace_back(loop);
}

Value Heap::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return None{};
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<int64_t>();
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        fail("the integer {} is larger than 64 bits hold", json.get<uint64_t>());
      return json.get<int64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return std::string_view(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item));
      return sequence(Sequence::Form::list, std::move(items));
    }
    default: {
      Entries entries;
      for (const auto& [key, value] : json.get_ref<const Json::object_t&>())
        entries.emplace_back(key, from_json(value));
      return dict(std::move(entries));
    }
  }
}

const Sequence* sequence_of(const Value& value) {
  const auto* sequence = get<const Sequence*>(value);
  return sequence ? *sequence : nullptr;
}

std::optional<int64_t> integer_of(const Value& value) {
  if (const auto* integer = get<int64_t>(value)) return *integer;
  if (const auto* flag = get<bool>(value)) return *flag ? 1 : 0;
  return std::nullopt;
}

std::optional<double> number_of(const Value& value) {
  if (const auto* number = get<double>(value)) return *number;
  if (const auto integer = integer_of(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::string kind_of(const Value& value) {
  if (const auto* undefined = get<Undefined>(value))
    return fmt::format("undefined '{}'", undefined->name);
  if (const Sequence* sequence = sequence_of(value)) {
    constexpr const char* kNames[] = {"a list", "a tuple", "a view", "an iterator"};
    return kNames[static_cast<size_t>(sequence->form)];
  }
  constexpr const char* kNames[] = {"undefined",   "none",       "a boolean", "an integer",
                                    "a float",     "a string",   "a list",    "a mapping",
                                    "a namespace", "a function", "loop"};
  return kNames[value.index()];
}

bool truth(const Value& value) {
  if (is<Undefined>(value) || is<None>(value)) return false;
  if (const auto number = number_of(value)) return *number != 0;
  if (const auto* text = get<std::string_view>(value)) return !text->empty();
  if (const Sequence* sequence = sequence_of(value))
    return sequence->form == Sequence::Form::generator || !sequence->items.empty();
  if (const auto* dict = get<const Dict*>(value)) return !(*dict)->entries.empty();
  return true;
}

bool equal(const Value& left, const Value& right) {
  const auto a = integer_of(left), b = integer_of(right);
  if (a && b) return *a == *b;
  const auto x = number_of(left), y = number_of(right);
  if (x && y) return *x == *y;
  if (left.index() != right.index()) return false;
  if (const auto* text = get<std::string_view>(left))
    return *text == std::get<std::string_view>(right);
  if (const Sequence* sequence = sequence_of(left))
    return equal_items(*sequence, *sequence_of(right));
  if (const auto* dict = get<const Dict*>(left))
    return equal_entries(**dict, *std::get<const Dict*>(right));
  if (is<Undefined>(left) || is<None>(left)) return true;
  if (const auto* space = get<Dict*>(left)) return *space == std::get<Dict*>(right);
  fail("{} does not compare", kind_of(left));
}

bool less(const Value& left, const Value& right) {
  const auto a = integer_of(left), b = integer_of(right);
  if (a && b) return *a < *b;
  const auto x = number_of(left), y = number_of(right);
  if (x && y) return *x < *y;
  const auto *s = get<std::string_view>(left), *t = get<std::string_view>(right);
  if (s && t) return *s < *t;
  const Sequence *p = sequence_of(left), *q = sequence_of(right);
  if (p && q && p->form == q->form && is_list_or_tuple(*p)) {
    const size_t both = std::min(p->items.size(), q->items.size());
    for (size_t i = 0; i < both; ++i)
      if (!equal(p->items[i], q->items[i])) return less(p->items[i], q->items[i]);
    return p->items.size() < q->items.size();
  }
  fail("{} and {} have no order", kind_of(left), kind_of(right));
}

bool contains(const Value& container, const Value& item) {
  if (const auto* text = get<std::string_view>(container)) {
    const auto* part = get<std::string_view>(item);
    if (!part) fail("'in' a string: got {}, expected a string", kind_of(item));
    return text->find(*part) != std::string_view::npos;
  }
  if (const auto* dict = get<const Dict*>(container)) {
    const auto* key = get<std::string_view>(item);
    return key && (*dict)->find(*key);
  }
  const std::vector<Value> items = items_of(container);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& each) { return equal(each, item); });
}

int64_t length_of(const Value& value) {
  if (is<Undefined>(value)) return 0;
  if (const auto* text = get<std::string_view>(value)) return count_characters(*text);
  if (const auto* dict = get<const Dict*>(value))
    return static_cast<int64_t>((*dict)->entries.size());
  const Sequence* sequence = sequence_of(value);
  if (!sequence || sequence->form == Sequence::Form::generator)
    fail("{} has no length", kind_of(value));
  return static_cast<int64_t>(sequence->items.size());
}

std::vector<Value> items_of(const Value& value) {
  if (is<Undefined>(value)) return {};
  std::vector<Value> items;
  if (const auto* text = get<std::string_view>(value)) {
    for (const std::string_view character : characters_of(*text)) items.emplace_back(character);
    return items;
  }
  if (const auto* dict = get<const Dict*>(value)) {
    for (const auto& [key, each] : (*dict)->entries) items.emplace_back(key);
    return items;
  }
  const Sequence* sequence = sequence_of(value);
  if (!sequence) fail("{} cannot be gone through", kind_of(value));
  if (sequence->form == Sequence::Form::generator && std::exchange(sequence->spent, true))
    fail("an iterator is gone through twice (make a list of it first)");
  return sequence->items;
}

}  // namespace halftone::jinja
