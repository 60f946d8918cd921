// Typed access to GGUF keys.
#include "io/gguf_keys.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace halftone {
namespace {

constexpr size_t kShortText = 60;

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

// The shortest decimal of an f32 is what its author wrote; doubles stay as they are.
double shortest(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  return std::strtod(fmt::format("{}", narrow).c_str(), nullptr);
}

// The one number that all elements are; nothing when they differ or there are none.
std::optional<int64_t> uniform(const std::vector<int64_t>& values) {
  if (values.empty()) return std::nullopt;
  const bool same = std::all_of(values.begin(), values.end(),
                                [&](int64_t value) { return value == values.front(); });
  return same ? std::optional(values.front()) : std::nullopt;
}

// At most kShortText bytes of `text`, cut between characters, on one line.
std::string short_text(std::string_view text) {
  if (!is_utf8(text)) return fmt::format("[{} bytes that are not UTF-8]", text.size());
  std::string shortened(text.substr(0, kShortText));
  if (text.size() > kShortText) {
    while (!is_utf8(shortened)) shortened.pop_back();
    shortened += "…";
  }
  for (char& c : shortened) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  return shortened;
}

struct ShortValue {
  std::string operator()(const std::string& value) const { return short_text(value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(double value) const { return fmt::format("{}", shortest(value)); }
  std::string operator()(uint64_t value) const { return fmt::format("{}", value); }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(const std::vector<std::string>& value) const {
    return fmt::format("[{} strings]", value.size());
  }
  std::string operator()(const std::vector<int64_t>& value) const {
    return fmt::format("[{} integers]", value.size());
  }
  std::string operator()(const std::vector<double>& value) const {
    return fmt::format("[{} numbers]", value.size());
  }
};

}  // namespace

const GgufValue* GgufKeys::find(std::string_view key) const {
  const auto at = file_.keys().find(std::string(key));
  return at == file_.keys().end() ? nullptr : &at->second;
}

std::optional<int64_t> GgufKeys::integer(std::string_view key, int64_t least, int64_t most) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::optional<int64_t> number;
  if (const auto* natural = std::get_if<uint64_t>(value)) {
    if (*natural <= INT64_MAX) number = static_cast<int64_t>(*natural);
  } else if (const auto* whole = std::get_if<int64_t>(value)) {
    number = *whole;
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(value)) {
    number = uniform(*list);
  }
  if (!number || *number < least || *number > most) {
    throw bad_input("{}: {}: {}, expected an integer from {} to {}", file_.path(), key,
                    std::visit(ShortValue{}, *value), least, most);
  }
  return number;
}

std::optional<double> GgufKeys::number(std::string_view key, double least, double most) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::optional<double> number;
  if (const auto* real = std::get_if<double>(value)) number = shortest(*real);
  if (const auto* natural = std::get_if<uint64_t>(value)) number = static_cast<double>(*natural);
  if (const auto* whole = std::get_if<int64_t>(value)) number = static_cast<double>(*whole);
  if (!number || !(*number >= least && *number <= most)) {
    throw bad_input("{}: {}: {}, expected a number from {} to {}", file_.path(), key,
                    std::visit(ShortValue{}, *value), least, most);
  }
  return number;
}

std::optional<bool> GgufKeys::flag(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* flag = std::get_if<bool>(value);
  if (flag == nullptr) throw bad_input("{}: {}: expected a boolean", file_.path(), key);
  return *flag;
}

std::optional<std::string> GgufKeys::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* text = std::get_if<std::string>(value);
  if (text == nullptr) throw bad_input("{}: {}: expected a string", file_.path(), key);
  if (!is_utf8(*text)) throw bad_input("{}: {}: not UTF-8", file_.path(), key);
  return *text;
}

const std::vector<std::string>* GgufKeys::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* list = std::get_if<std::vector<std::string>>(value);
  if (list == nullptr) throw bad_input("{}: {}: expected an array of strings", file_.path(), key);
  for (size_t i = 0; i < list->size(); ++i) {
    if (!is_utf8((*list)[i])) {
      throw bad_input("{}: {}: element {} is not UTF-8", file_.path(), key, i);
    }
  }
  return list;
}

const std::vector<int64_t>* GgufKeys::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* list = std::get_if<std::vector<int64_t>>(value);
  if (list == nullptr) throw bad_input("{}: {}: expected an array of integers", file_.path(), key);
  return list;
}

const std::vector<double>* GgufKeys::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* list = std::get_if<std::vector<double>>(value);
  if (list == nullptr) throw bad_input("{}: {}: expected an array of numbers", file_.path(), key);
  return list;
}

int64_t GgufKeys::needed_integer(std::string_view key, int64_t least, int64_t most) const {
  const auto value = integer(key, least, most);
  if (!value) throw bad_input("{}: {} is missing", file_.path(), key);
  return *value;
}

double GgufKeys::needed_number(std::string_view key, double least, double most) const {
  const auto value = number(key, least, most);
  if (!value) throw bad_input("{}: {} is missing", file_.path(), key);
  return *value;
}

std::vector<std::pair<std::string, std::string>> GgufKeys::short_values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const auto& [key, value] : file_.keys()) {
    values.emplace_back(key, std::visit(ShortValue{}, value));
  }
  return values;
}

}  // namespace halftone
