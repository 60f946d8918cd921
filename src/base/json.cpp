#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

// Builds the value while it is read, so that depth and duplicate keys are refused before they cost
// anything: the library's own builder looks a key up by a walk through the object.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  Json take() { return std::move(root_); }

  bool null() override { return place(nullptr); }
  bool boolean(bool value) override { return place(value); }
  bool number_integer(number_integer_t value) override { return place(value); }
  bool number_unsigned(number_unsigned_t value) override { return place(value); }
  bool number_float(number_float_t value, const string_t&) override { return place(value); }
  bool string(string_t& value) override { return place(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second)
      throw bad_input("{}: key \"{}\" appears twice in one object", origin_, name);
    open_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& failure) override {
    const std::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
    std::string what = failure.what();
    if (const size_t at = what.find(": "); at != std::string::npos) what.erase(0, at + 2);
    what.erase(std::min(what.size(), what.find("; last read")));
    throw bad_input("{}: line {}, column {}: {}", origin_, line, before.size() - line_start + 1,
                    what);
  }

 private:
  struct Level {
    Json* value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  Json* add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = open_.back();
    if (level.value->is_array()) {
      auto& array = level.value->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    // The vector beneath ordered_map: appended to without a search, for the key is known to be new.
    auto& object = level.value->get_ref<Json::object_t&>();
    object.Json::object_t::Container::emplace_back(std::move(level.key), std::move(value));
    return &object.back().second;
  }
  bool place(Json value) {
    add(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() >= kMaxJsonDepth)
      throw bad_input("{}: nested deeper than {} levels", origin_, kMaxJsonDepth);
    Json* value = add(std::move(container));
    open_.push_back({value, {}, {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& origin_;
  Json root_;
  std::vector<Level> open_;
};

// A value as an error shows it: short, on one line.
std::string shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  if (text.empty()) throw bad_input("{}: is empty, expected JSON", origin);
  Builder builder(text, origin);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json read_json_file(const std::string& path) { return parse_json(read_file(path), path); }

JsonObject::JsonObject(const Json& object, std::string origin)
    : object_(&object), origin_(std::move(origin)) {
  if (!object.is_object())
    throw bad_input("{}: expected an object, got {}", origin_, shown(object));
}

const Json* JsonObject::find(std::string_view key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

std::optional<int64_t> JsonObject::maybe_integer(std::string_view key, int64_t least,
                                                 int64_t most) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  const std::string expected = least == 1 && most == INT64_MAX
                                   ? "a positive integer"
                                   : fmt::format("an integer from {} to {}", least, most);
  std::optional<int64_t> number;
  if (value->is_number_unsigned()) {
    if (value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) number = value->get<int64_t>();
  } else if (value->is_number_integer()) {
    number = value->get<int64_t>();
  } else if (value->is_number_float()) {
    // 2048.0 is what some writers make of 2048.
    const double real = value->get<double>();
    if (std::abs(real) < 0x1p53 && real == std::floor(real)) number = static_cast<int64_t>(real);
  }
  if (!number || *number < least || *number > most)
    throw bad_input("{}: {}: expected {}, got {}", origin_, key, expected, shown(*value));
  return number;
}

int64_t JsonObject::integer(std::string_view key, int64_t least, int64_t most) const {
  const auto value = maybe_integer(key, least, most);
  if (!value) throw bad_input("{}: {}: missing, expected an integer", origin_, key);
  return *value;
}

std::optional<double> JsonObject::maybe_number(std::string_view key, double least,
                                               double most) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= least && number <= most))
    throw bad_input("{}: {}: expected a number from {} to {}, got {}", origin_, key, least, most,
                    shown(*value));
  return number;
}

double JsonObject::number(std::string_view key, double least, double most) const {
  const auto value = maybe_number(key, least, most);
  if (!value) throw bad_input("{}: {}: missing, expected a number", origin_, key);
  return *value;
}

std::optional<std::string> JsonObject::maybe_text(std::string_view key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_string())
    throw bad_input("{}: {}: expected a string, got {}", origin_, key, shown(*value));
  return value->get<std::string>();
}

std::string JsonObject::text(std::string_view key) const {
  auto value = maybe_text(key);
  if (!value) throw bad_input("{}: {}: missing, expected a string", origin_, key);
  return *std::move(value);
}

bool JsonObject::flag(std::string_view key, bool absent) const {
  const Json* value = find(key);
  if (!value) return absent;
  if (!value->is_boolean())
    throw bad_input("{}: {}: expected true or false, got {}", origin_, key, shown(*value));
  return value->get<bool>();
}

std::optional<JsonObject> JsonObject::maybe_object(std::string_view key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  return JsonObject(*value, fmt::format("{}: {}", origin_, key));
}

}  // namespace halftone
