// Rules over module names, checked against each other on the modules that there are.
#include "apps/dynamic_rules.h"

#include <climits>

#include "base/error.h"

namespace halftone {
namespace {

constexpr const char* kExample =
    R"(for example --dynamic '{"-:.*\\.0\\.mlp": {}, "+:.*\\.down_proj": {"bits": 8}}'.)";

// What stands on the command line is the user's to mend there.
Json parse_entry(const std::string& entry, const std::string& origin) {
  try {
    return parse_json(entry, origin);
  } catch (const Error& error) {
    throw usage_error("{}", error.what()).hint(kExample);
  }
}

Json read_entry(const std::string& entry, std::string& origin) {
  const size_t first = entry.find_first_not_of(" \t\n");
  const bool inline_text =
      first != std::string::npos && (entry[first] == '{' || entry[first] == '[');
  origin = inline_text ? "--dynamic" : "--dynamic " + entry;
  const Json json = inline_text ? parse_entry(entry, origin) : read_json_file(entry);
  if (!json.is_object())
    throw usage_error("{}: expected an object of rules, got {}", origin, json.type_name())
        .hint(kExample);
  return json;
}

// Wider numbers would wrap around when they are taken out.
bool fits_int(const Json& field) {
  if (field.is_number_unsigned()) return field.get<uint64_t>() <= INT_MAX;
  return field.is_number_integer() && field.get<int64_t>() >= INT_MIN;
}

}  // namespace

Json DynamicRules::read(const std::vector<std::string>& entries) {
  Json all = Json::object();
  for (const std::string& entry : entries) {
    std::string origin;
    const Json json = read_entry(entry, origin);
    for (const auto& [text, value] : json.items()) {
      if (all.contains(text) && all[text] != value)
        throw usage_error("{}: '{}' is given twice, and differs", origin, text).hint(kExample);
      all[text] = value;
    }
  }
  return all;
}

DynamicRules::DynamicRules(const std::vector<std::string>& entries) {
  const Json rules = read(entries);
  for (const auto& [text, value] : rules.items()) add(text, value);
}

void DynamicRules::add(const std::string& text, const Json& value) {
  const bool dense = text.starts_with("-:");
  std::string trouble;
  auto pattern = NamePattern::compile(dense || text.starts_with("+:") ? text.substr(2) : text,
                                      NamePattern::Place::start, trouble);
  if (!pattern)
    throw usage_error("--dynamic '{}': not a regular expression: {}", text, trouble).hint(kExample);
  Rule rule{text, dense, std::move(*pattern), {}, {}, {}};
  if (!value.is_object())
    throw usage_error("--dynamic '{}': expected an object, got {}", text, value.type_name())
        .hint(kExample);
  for (const auto& [key, field] : value.items()) {
    if (!dense && key == "bits" && fits_int(field))
      rule.bits = field.get<int>();
    else if (!dense && key == "group_size" && fits_int(field))
      rule.group_size = field.get<int64_t>();
    else if (!dense && key == "sym" && field.is_boolean())
      rule.symmetric = field.get<bool>();
    else
      throw usage_error("--dynamic '{}': {}: {}, expected {}", text, key, field.dump(),
                        dense ? "nothing in a rule that leaves modules dense"
                              : "whole numbers for bits and group_size, true or false for sym")
          .hint(kExample);
  }
  rules_.push_back(std::move(rule));
}

Grid DynamicRules::Rule::applied_to(Grid grid) const {
  if (bits) grid.bits = *bits;
  if (group_size) grid.group_size = *group_size;
  if (symmetric) grid.symmetric = *symmetric;
  return grid;
}

DynamicRules::Choice DynamicRules::choose(const std::string& module, const Grid& grid) {
  const Rule* first = nullptr;
  for (Rule& rule : rules_) {
    if (!rule.pattern.matches(module)) continue;
    rule.used = true;
    if (first == nullptr) first = &rule;
    const bool same =
        rule.dense == first->dense && rule.applied_to(grid) == first->applied_to(grid);
    if (!same)
      throw usage_error("--dynamic: {} is matched by '{}' and by '{}', which do not say the same",
                        module, first->text, rule.text)
          .hint("runtimes differ in which of them counts: let one rule match.");
  }
  if (first == nullptr) return {grid, "", false};
  return {first->applied_to(grid), first->dense ? first->text : "", true};
}

void DynamicRules::check_all_used() const {
  for (const Rule& rule : rules_)
    if (!rule.used)
      throw usage_error("--dynamic '{}' matches no linear of this model", rule.text)
          .hint(
              "an expression is matched from the start of names such as "
              "model.layers.0.mlp.down_proj: begin it with .* to match further on; lm_head is one "
              "with --lm-head alone.");
}

}  // namespace halftone
