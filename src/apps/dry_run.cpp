// --dry-run: what would be done and what it would take, said before anything is.
#include <filesystem>

#include "apps/estimate.h"
#include "apps/memory_limits.h"
#include "apps/quantize.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "text/chat_record.h"

namespace halftone {
namespace {

// The rows that are quantized, and those that are not.
struct Count {
  int64_t quantized = 0, skipped = 0;
};
Count count_rows(const Plan& plan) {
  Count count;
  for (const PlanRow& row : plan.rows) ++(row.method.empty() ? count.skipped : count.quantized);
  return count;
}

Json rows_json(const Plan& plan) {
  Json rows = Json::array();
  for (const PlanRow& row : plan.rows) {
    Json entry;
    entry["module"] = row.module;
    entry["shape"] = {row.rows, row.cols};
    if (row.method.empty()) {
      entry["skipped"] = row.skip_reason;
    } else {
      entry["method"] = row.method;
      entry["bits"] = row.grid.bits;
      entry["group_size"] = row.grid.group_size;
      entry["sym"] = row.grid.symmetric;
    }
    rows.push_back(std::move(entry));
  }
  return rows;
}

std::string least_text(const Estimate& estimate) {
  const std::string host = enough_bytes(estimate.least_bytes) + " of memory";
  if (estimate.device_bytes == 0) return host;
  return enough_bytes(estimate.least_device_bytes) + " of the device's memory, " + host;
}

}  // namespace

std::string memory_text(const Estimate& estimate) {
  std::string text;
  if (estimate.device_bytes > 0)
    text = human_bytes(estimate.device_bytes) + " of the device's memory, ";
  text += fmt::format("{} of memory, {} of disk",
                      human_bytes(estimate.memory_bytes + estimate.kept_bytes),
                      human_bytes(estimate.disk_bytes));
  return text;
}

std::vector<std::string> plan_lines(const OpenedModel& model, const Plan& plan) {
  const ModelConfig& config = model.config();
  const ModelSize size = measure_size(model);
  const Count count = count_rows(plan);
  std::vector<std::string> lines;
  lines.push_back(fmt::format("Model     {}: {}, {}, {:.3g} M parameters, {}", model.name(),
                              config.model_type, count_text(config.layers, "layer"),
                              static_cast<double>(size.parameters) / 1e6,
                              human_bytes(size.file_bytes)));
  lines.push_back(
      fmt::format("Plan      {} → {}, by {} ({:.3f} bits a weight in the linears){}",
                  count_text(count.quantized, "linear"),
                  plan.dense ? "dense, scaled for " + plan.grid_text() : plan.grid_text(),
                  plan.method->name, plan.bits_per_weight_linears,
                  count.skipped > 0 ? fmt::format("; {} skipped", count.skipped) : ""));
  if (const std::string head = head_text(model, plan); !head.empty())
    lines.push_back("          " + head);
  for (const PlannedModule& table : plan.tables)
    lines.push_back(fmt::format("          {}: {}", table.name, gguf_type_text(table)));
  lines.push_back(fmt::format("Output    about {} ({:.2f} bits a weight over the whole file)",
                              human_bytes(plan.output_bytes), plan.bits_per_weight_file));
  return lines;
}

std::string dry_run(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                    Json* json) {
  check_output(options, model);
  check_creatable(directory_name(options.output));
  const Plan plan = make_plan(model, options);
  const DType compute = compute_dtype(options.dtype, backend);
  const Tokenizer tokenizer = Tokenizer::load(model.checkpoint->metadata());
  const Calibration calibration =
      read_calibration(tokenizer, plan, options, ChatReader(model.checkpoint->metadata()));
  const EstimateInput input{backend, model, plan, calibration, compute, options};
  const Estimate estimate = estimate_resources(input);
  apply_limits(backend, estimate);
  const TimeEstimate time = estimate_time(input);
  if (json) {
    Json& out = *json;
    out["warnings"] = warnings_of(model, plan, options);
    out["plan"] = rows_json(plan);
    out["output_bytes"] = plan.output_bytes;
    out["bits_per_weight_linears"] = plan.bits_per_weight_linears;
    out["bits_per_weight_file"] = plan.bits_per_weight_file;
    out["samples"] = calibration.samples.count();
    out["calibration_tokens"] = calibration.samples.tokens();
    out["held_out"] = calibration.held_out.count();
    out["peak_memory_bytes"] = estimate.memory_bytes + estimate.kept_bytes;
    out["kept_for_reuse_bytes"] = estimate.kept_bytes;  // of the peak: given up under a limit
    out["disk_bytes"] = estimate.disk_bytes;
    out["least_memory_bytes"] = estimate.least_bytes;
    if (estimate.device_bytes > 0) {
      out["peak_device_bytes"] = estimate.device_bytes;
      out["least_device_bytes"] = estimate.least_device_bytes;
    }
    out["spills"] = estimate.spills();
    out["seconds"] = time.seconds;
    out["seconds_per_layer"] = time.seconds_per_layer;
  }
  std::string text;
  for (const std::string& line : plan_lines(model, plan)) text += line + "\n";
  for (const std::string& warning : warnings_of(model, plan, options))
    text += "Warning   " + warning + "\n";
  if (!calibration.source.empty()) text += "Text      " + calibration_text(calibration) + "\n";
  for (const std::string& note : calibration.notes) text += "          " + note + "\n";
  text += fmt::format(
      "Needs     {}\n          at least {}\nTime      about {} ({} a layer, measured on one)\n",
      memory_text(estimate), least_text(estimate), human_seconds(time.seconds),
      human_seconds(time.seconds_per_layer));
  for (const ReaderVerdict& reader : plan.readers())
    text += fmt::format("Opens in  {}: {}{}\n", reader.reader, reader.opens ? "yes" : "no",
                        reader.why.empty() ? "" : ", " + reader.why);
  return text + "Nothing was written.\n";
}

}  // namespace halftone
