// A quantization's outcome for scripts.
#include <algorithm>

#include "apps/quantize.h"

namespace halftone {

Json to_json(const QuantizeOutcome& outcome) {
  Json json;
  json["method"] = outcome.plan.method->name;
  json["format"] = outcome.plan.dense ? "safetensors" : outcome.plan.format->name;
  if (!outcome.scaling.empty()) json["scaling"] = outcome.scaling;
  json["samples"] = outcome.samples;
  json["seq_len"] = outcome.seq_len;
  json["calibration"] = outcome.samples_text;
  json["calibration_sha256"] = outcome.calibration_sha256;
  json["held_out_windows"] = outcome.loss.windows;
  if (outcome.loss.windows > 0) {
    json["kl_mean"] = outcome.loss.kl_mean;
    json["kl_stderr"] = outcome.loss.kl_stderr;
    json["top1_agreement"] = outcome.loss.top1_agreement;
    json["perplexity"] = outcome.loss.perplexity;
    json["base_perplexity"] = outcome.loss.base_perplexity;
  }
  json["size_bytes"] = outcome.output_bytes;
  json["bits_per_weight_linears"] = outcome.plan.bits_per_weight_linears;
  json["bits_per_weight_file"] = outcome.plan.bits_per_weight_file;
  json["verified"] = outcome.verified;
  json["seconds"] = outcome.seconds;
  json["seconds_before_interruption"] = outcome.seconds_before;
  json["peak_memory_bytes"] = outcome.peak_memory_bytes;
  Json modules = Json::array();
  for (const StageRecord& stage : outcome.stages)
    for (const FinishedLinear& linear : stage.linears) {
      Json entry;
      entry["module"] = linear.module;
      entry["relative_error"] =
          linear.report.relative_error ? Json(*linear.report.relative_error) : Json();
      entry["damping"] = linear.report.damping;
      entry["dead_columns"] = linear.report.dead_columns;
      entry["seconds"] = linear.seconds;
      if (!linear.report.note.empty()) entry["note"] = linear.report.note;
      modules.push_back(std::move(entry));
    }
  json["modules"] = std::move(modules);
  return json;
}

std::vector<const FinishedLinear*> worst_linears(const QuantizeOutcome& outcome, size_t count) {
  std::vector<const FinishedLinear*> linears;
  for (const StageRecord& stage : outcome.stages)
    for (const FinishedLinear& linear : stage.linears)
      if (linear.report.relative_error) linears.push_back(&linear);
  std::stable_sort(linears.begin(), linears.end(),
                   [](const FinishedLinear* a, const FinishedLinear* b) {
                     return a->report.relative_error > b->report.relative_error;
                   });
  linears.resize(std::min(count, linears.size()));
  return linears;
}

}  // namespace halftone
