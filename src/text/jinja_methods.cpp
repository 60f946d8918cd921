// The methods of strings and mappings, as Python has them.
#include <algorithm>
#include <limits>

#include "text/jinja_characters.h"
#include "text/jinja_filters.h"

namespace halftone::jinja {
namespace {

std::optional<std::string_view> optional_text(const Bound& bound, size_t i) {
  if (!bound.has(i) || is<None>(bound.at(i))) return std::nullopt;
  return bound.text(i);
}

Value strip(std::string_view self, std::string_view name, const Arguments& arguments) {
  const std::optional<std::string_view> of = optional_text(Bound(name, arguments, {"chars"}), 0);
  if (name == "lstrip") return strip_left(self, of);
  if (name == "rstrip") return strip_right(self, of);
  return strip_left(strip_right(self, of), of);
}

Value parts(Heap& heap, const std::vector<std::string_view>& texts) {
  return heap.sequence(Sequence::Form::list, {texts.begin(), texts.end()});
}

// The same from the right: what is split off last comes first.
std::vector<std::string_view> split_right(std::string_view text, std::string_view by,
                                          int64_t most) {
  if (by.empty()) fail("rsplit: an empty separator");
  std::vector<std::string_view> found;
  for (; most != 0; --most) {
    const size_t at = text.rfind(by);
    if (at == std::string_view::npos) break;
    found.push_back(text.substr(at + by.size()));
    text = text.substr(0, at);
  }
  found.push_back(text);
  std::reverse(found.begin(), found.end());
  return found;
}

Value split_by(Heap& heap, std::string_view self, std::string_view name,
               const Arguments& arguments) {
  const Bound bound(name, arguments, {"sep", "maxsplit"});
  const std::optional<std::string_view> by = optional_text(bound, 0);
  const int64_t most = bound.integer_or(1, -1);
  if (name == "split") return parts(heap, split(self, by, most));
  if (!by && most >= 0) fail("rsplit at white space with a limit is not supported");
  return parts(heap, by ? split_right(self, *by, most) : split(self, by, -1));
}

bool has_end(std::string_view self, std::string_view name, const Arguments& arguments) {
  const Value wanted = Bound(name, arguments, {"prefix"}).at(0);
  const auto is_end = [&](const Value& end) {
    const auto* text = get<std::string_view>(end);
    if (!text) fail("{}: got {}, expected a string", name, kind_of(end));
    return name == "startswith" ? self.starts_with(*text) : self.ends_with(*text);
  };
  const Sequence* ends = sequence_of(wanted);
  if (!ends) return is_end(wanted);
  if (ends->form != Sequence::Form::tuple) fail("{}: got a list, expected a tuple", name);
  return std::any_of(ends->items.begin(), ends->items.end(), is_end);
}

int64_t find(std::string_view self, std::string_view name, const Arguments& arguments) {
  const std::string_view wanted = Bound(name, arguments, {"sub"}).text(0);
  if (name == "count") {
    if (wanted.empty()) return count_characters(self) + 1;
    int64_t count = 0;
    for (size_t at = 0; (at = self.find(wanted, at)) != std::string_view::npos; ++count)
      at += wanted.size();
    return count;
  }
  const size_t at = name == "find" ? self.find(wanted) : self.rfind(wanted);
  return at == std::string_view::npos ? -1 : count_characters(self.substr(0, at));
}

std::string join(std::string_view self, const Arguments& arguments) {
  std::string out;
  bool follows = false;
  for (const Value& item : items_of(Bound("join", arguments, {"iterable"}).at(0))) {
    const auto* text = get<std::string_view>(item);
    if (!text) fail("join: got {}, expected a string", kind_of(item));
    if (std::exchange(follows, true)) out += self;
    out += *text;
    if (out.size() > Heap::kMostBytes) fail("join: more than {} bytes", Heap::kMostBytes);
  }
  return out;
}

Value without_end(std::string_view self, std::string_view name, const Arguments& arguments) {
  const std::string_view end = Bound(name, arguments, {"end"}).text(0);
  if (name == "removeprefix") return self.starts_with(end) ? self.substr(end.size()) : self;
  return self.ends_with(end) ? self.substr(0, self.size() - end.size()) : self;
}

Value text_method(Heap& heap, std::string_view self, std::string_view name,
                  const Arguments& arguments) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") return strip(self, name, arguments);
  if (name == "split" || name == "rsplit") return split_by(heap, self, name, arguments);
  if (name == "startswith" || name == "endswith") return has_end(self, name, arguments);
  if (name == "find" || name == "rfind" || name == "count") return find(self, name, arguments);
  if (name == "removeprefix" || name == "removesuffix") return without_end(self, name, arguments);
  if (name == "join") return heap.text(join(self, arguments));
  if (name == "replace") {
    const Bound bound(name, arguments, {"old", "new", "count"});
    return heap.text(replace(self, bound.text(0), bound.text(1), bound.integer_or(2, -1)));
  }
  const bool plain = name == "upper" || name == "lower" || name == "title" ||
                     name == "capitalize" || name == "splitlines";
  if (!plain) fail("the method {} of a string is not supported", name);
  const Bound none(name, arguments, {});
  if (name == "splitlines") return parts(heap, split_lines(self));
  return heap.text(name == "upper"   ? upper(self)
                   : name == "lower" ? lower(self)
                   : name == "title" ? title(self)
                                     : capitalize(self));
}

Value mapping_method(Heap& heap, const Dict& self, std::string_view name,
                     const Arguments& arguments) {
  if (name == "get") {
    const Bound bound(name, arguments, {"key", "default"});
    const Value key = bound.at(0);
    const auto* text = get<std::string_view>(key);
    const Value* found = text ? self.find(*text) : nullptr;
    return found ? *found : bound.has(1) ? bound.at(1) : Value(None{});
  }
  if (name != "items" && name != "keys" && name != "values")
    fail("the method {} of a mapping is not supported", name);
  const Bound none(name, arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.entries)
    items.push_back(name == "keys"     ? Value(key)
                    : name == "values" ? value
                                       : heap.sequence(Sequence::Form::tuple, {key, value}));
  return heap.sequence(Sequence::Form::view, std::move(items));
}

}  // namespace

Value call_method(Heap& heap, const Value& self, std::string_view name,
                  const Arguments& arguments) {
  if (const auto* text = get<std::string_view>(self))
    return text_method(heap, *text, name, arguments);
  if (const auto* dict = get<const Dict*>(self))
    return mapping_method(heap, **dict, name, arguments);
  fail("the method {} of {} is not supported", name, kind_of(self));
}

}  // namespace halftone::jinja
