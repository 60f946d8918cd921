// GPTQ's configuration: the grid of all, and rules for single modules.
#include "format/gptq_config.h"

#include "base/error.h"
#include "base/json.h"
#include "base/printable.h"

namespace halftone {
namespace {

void check_bits_read(int64_t bits, const std::string& origin) {
  if (bits == 2 || bits == 3 || bits == 4 || bits == 8) return;
  throw bad_input("{}: bits {}, expected 2, 3, 4 or 8", origin, bits);
}

GptqRule read_rule(const std::string& key, const Json& value, const std::string& origin) {
  const bool dense = key.starts_with("-:");
  std::string trouble;
  auto pattern = NamePattern::compile(dense || key.starts_with("+:") ? key.substr(2) : key,
                                      NamePattern::Place::start, trouble);
  if (!pattern)
    throw bad_input("{}: dynamic: '{}': not a regular expression: {}", origin, printable(key),
                    trouble);
  GptqRule rule{dense, std::move(*pattern), key, {}, {}, {}};
  if (dense) return rule;
  const JsonObject fields(value, origin + ": dynamic: " + printable(key));
  rule.bits = fields.maybe_integer("bits", 1, 32);
  if (rule.bits) check_bits_read(*rule.bits, fields.origin());
  rule.group_size = fields.maybe_integer("group_size", -1, 1 << 24);
  if (rule.group_size == 0)
    throw bad_input("{}: group_size 0, expected a positive number or -1", fields.origin());
  if (fields.has("sym")) rule.symmetric = fields.flag("sym", true);
  return rule;
}

}  // namespace

Grid GptqConfig::grid_of(const std::string& module) const {
  for (const GptqRule& rule : rules)
    if (rule.dense && rule.pattern.matches(module))
      throw bad_input("{}: is packed, but the rule '{}' says that it is dense", printable(module),
                      printable(rule.text))
          .hint(origin + " and the tensors do not agree.");
  Grid result = grid;
  for (const GptqRule& rule : rules) {
    if (rule.dense || !rule.pattern.matches(module)) continue;
    if (rule.bits) result.bits = static_cast<int>(*rule.bits);
    if (rule.group_size) result.group_size = *rule.group_size;
    if (rule.symmetric) result.symmetric = *rule.symmetric;
    break;
  }
  return result;
}

GptqConfig read_gptq_config(const StatedQuantization& stated) {
  const JsonObject config(stated.json, stated.origin);
  if (stated.format != "" && stated.format != "gptq" && stated.format != "gptq_v2")
    throw bad_input("{}: GPTQ packed as {}, expected gptq or gptq_v2", stated.origin,
                    printable(stated.format))
        .hint("get the checkpoint that it was made from.");
  if (config.flag("is_marlin_format", false))
    throw bad_input("{}: repacked for Marlin, expected gptq or gptq_v2", stated.origin)
        .hint("get the checkpoint that it was made from.");
  const std::string word = config.maybe_text("pack_dtype").value_or("int32");
  if (word != "int32")
    throw bad_input("{}: pack_dtype {}, expected int32", stated.origin, printable(word));

  GptqConfig result;
  result.origin = stated.origin;
  result.grid = stated_grid(config);
  check_bits_read(result.grid.bits, stated.origin);
  result.act_order = config.flag("desc_act", false);
  result.version = stated.format == "gptq_v2" ? GptqVersion::v2 : GptqVersion::v1;
  if (const auto rules = config.maybe_object("dynamic"))
    for (const auto& [key, value] : rules->json().items())
      result.rules.push_back(read_rule(key, value, stated.origin));
  return result;
}

}  // namespace halftone
