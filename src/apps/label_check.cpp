// The evidence is format/gptq_label.h's, of fewer linears than the doctor weighs.
#include "apps/label_check.h"

#include <fmt/core.h>

#include "base/log.h"
#include "base/shell_quote.h"
#include "format/gptq.h"
#include "format/gptq_label.h"
#include "format/stated_quantization.h"

namespace halftone {

std::optional<std::string> wrong_label(const OpenedModel& model) {
  constexpr size_t kLinears = 8;
  if (model.checkpoint->is_gguf()) return std::nullopt;
  const auto stated = find_stated_quantization(*model.checkpoint);
  if (!stated || stated->method != "gptq") return std::nullopt;
  const GptqConfig config = read_gptq_config(*stated);
  if (config.grid.symmetric) return std::nullopt;
  const LabelEvidence evidence = weigh_gptq_label(*model.checkpoint, config, kLinears);
  if (evidence.verdict != LabelVerdict::wrong) return std::nullopt;
  const GptqVersion other = evidence.label == GptqVersion::v1 ? GptqVersion::v2 : GptqVersion::v1;
  return fmt::format(
      "{}: zeros are stored as {} under the label {} in {}: read by the label, weights are off by "
      "one step",
      model.name(), name_of(other), name_of(evidence.label), config.origin);
}

std::string label_hint(const OpenedModel& model) {
  return fmt::format("halftone doctor {} --fix -o OUT writes it with the right label.",
                     shell_quoted(model.checkpoint->path()));
}

void warn_of_wrong_label(const OpenedModel& model) {
  if (const auto trouble = wrong_label(model)) spdlog::warn("{}; {}", *trouble, label_hint(model));
}

}  // namespace halftone
