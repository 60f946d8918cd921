// The class Options of tokenizer_spec.h.
#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_spec.h"

namespace halftone {

Options::Options(const Json& object, std::string origin)
    : object_(object), origin_(std::move(origin)) {
  if (!object_.is_object())
    throw bad_input("{}: got {}, expected an object", origin_, object_.type_name());
  asked_.emplace_back("type");
  const auto type = object_.find("type");
  if (type == object_.end()) return;
  if (!type->is_string()) throw bad_input("{}: type: expected a string", origin_);
  type_ = type->get<std::string>();
  origin_ += "." + type_;
}

const Json* Options::find(const char* key) {
  asked_.emplace_back(key);
  const auto field = object_.find(key);
  return field == object_.end() || field->is_null() ? nullptr : &*field;
}

const Json& Options::get(const char* key) {
  const Json* field = find(key);
  if (!field) throw bad_input("{}: {} is missing", origin_, key);
  return *field;
}

std::string Options::text(const char* key) {
  const Json& field = get(key);
  if (!field.is_string())
    throw bad_input("{}: {}: got {}, expected a string", origin_, key, field.dump());
  return field.get<std::string>();
}

bool Options::flag(const char* key, std::optional<bool> absent) {
  const Json* field = find(key);
  if (!field && absent) return *absent;
  if (!field) throw bad_input("{}: {} is missing", origin_, key);
  if (!field->is_boolean()) {
    throw bad_input("{}: {}: got {}, expected true or false", origin_, key, field->dump());
  }
  return field->get<bool>();
}

int64_t Options::integer(const char* key, int64_t least, int64_t most) {
  const Json& field = get(key);
  if (!field.is_number_integer() || field < least || field > most) {
    throw bad_input("{}: {}: got {}, expected an integer from {} to {}", origin_, key, field.dump(),
                    least, most);
  }
  return field.get<int64_t>();
}

const Json& Options::list(const char* key) {
  const Json& field = get(key);
  if (!field.is_array()) throw bad_input("{}: {}: expected a list", origin_, key);
  return field;
}

void Options::finish() const {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) {
      throw bad_input("{}: option {} = {} is not known", origin_, key, value.dump());
    }
  }
}

void Options::unknown_type(std::string_view known) const {
  throw bad_input("{}: this type is not known; known are {}", origin_, known);
}

}  // namespace halftone
