// JSON with a depth cap and getters that say what is wrong: `config.json: hidden_size: expected a
// positive integer, got "abc"`.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halftone {

// Keys stay in the order in which they stand in the file.
using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;

// `origin` is named in errors. Throws Error(bad_input) with line and column; refuses duplicate
// keys, depth beyond kMaxJsonDepth and text that is not UTF-8.
Json parse_json(std::string_view text, const std::string& origin);
Json read_json_file(const std::string& path);

// A field of an object, with its type checked; `origin` is named in errors. The optional forms
// treat an absent key and null alike.
class JsonObject {
 public:
  JsonObject(const Json& object, std::string origin);
  bool has(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t least, int64_t most) const;
  std::optional<int64_t> maybe_integer(std::string_view key, int64_t least, int64_t most) const;
  double number(std::string_view key, double least, double most) const;
  std::optional<double> maybe_number(std::string_view key, double least, double most) const;
  std::string text(std::string_view key) const;
  std::optional<std::string> maybe_text(std::string_view key) const;
  bool flag(std::string_view key, bool absent) const;
  std::optional<JsonObject> maybe_object(std::string_view key) const;
  const Json* find(std::string_view key) const;  // nullptr: absent or null
  const Json& json() const { return *object_; }
  const std::string& origin() const { return origin_; }

 private:
  const Json* object_;
  std::string origin_;
};

}  // namespace halftone
