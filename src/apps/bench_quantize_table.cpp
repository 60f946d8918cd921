// The figures of a bench, for people and for scripts.
#include <fmt/core.h>

#include "apps/bench_quantize.h"
#include "base/count_text.h"
#include "base/progress.h"

namespace halftone {
namespace {

// Three digits: "778", "41.3", "0.52".
std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

std::string operation_rate(double rate) {
  return rate >= 1e12 ? three_digits(rate / 1e12) + " TFLOP/s"
                      : three_digits(rate / 1e9) + " GFLOP/s";
}

std::string byte_rate(double rate) {
  return rate >= 1e12 ? three_digits(rate / 1e12) + " TB/s" : three_digits(rate / 1e9) + " GB/s";
}

std::string rate_of(const BenchStage& stage) {
  if (stage.operations > 0) return operation_rate(stage.operations / stage.seconds);
  return stage.bytes > 0 ? byte_rate(stage.bytes / stage.seconds) : "";
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : "–";
}

std::string seconds_with_error(const BenchQuantizeResult& result) {
  const int digits = result.seconds < 10 ? 2 : 1;
  std::string text =
      fmt::format("{:.{}f} s ({} measured", result.seconds, digits, result.layers_measured);
  if (result.seconds_error) text += fmt::format(", ± {:.{}f}", *result.seconds_error, digits);
  return text + ")";
}

// Of work at a ceiling; none where either was not measured.
std::optional<double> share_of(double work, double seconds, double ceiling) {
  if (work == 0 || seconds == 0 || ceiling == 0) return std::nullopt;
  return work / seconds / ceiling;
}

std::optional<double> head_share(const BenchQuantizeResult& result) {
  return share_of(result.loss.operations, result.loss.head_seconds, result.ceilings.products);
}

std::optional<double> score_share(const BenchQuantizeResult& result) {
  return share_of(result.loss.bytes, result.loss.score_seconds, result.ceilings.copy);
}

std::string loss_line(const BenchQuantizeResult& result) {
  const BenchLoss& loss = result.loss;
  const std::optional<double> head = head_share(result), score = score_share(result);
  if (!head || !score) return {};
  return fmt::format("loss: head {}, {} of products; softmax, KL and top 1 {}, {} of copies\n",
                     operation_rate(loss.operations / loss.head_seconds), percent(head),
                     byte_rate(loss.bytes / loss.score_seconds), percent(score));
}

}  // namespace

std::string bench_table(const BenchQuantizeResult& result) {
  std::string text = fmt::format("{:<22}{:>8}   {:<14}{:>10}{:>9}\n", "stage", "s/layer", "rate",
                                 "of ceiling", "hidden");
  for (const BenchStage& stage : result.stages)
    text += fmt::format("{:<22}{:>8.4f}   {:<14}{:>10}{:>9}\n", stage.name, stage.seconds,
                        rate_of(stage), percent(stage.of_ceiling), percent(stage.hidden));
  text += fmt::format("{:<22}{:>8.4f}\n", "everything else", result.everything_else);
  text += fmt::format("{:<22}{:>8.4f}\n\n", "a layer", result.seconds_per_layer);
  text += fmt::format("{:<22}{:>8}   {}\n", "once", count_text(result.layers_measured, "layer"),
                      count_text(result.layers, "layer"));
  for (const BenchTask& task : result.tasks)
    text += fmt::format("{:<22}{:>8.3f}   {:.2f} s\n", task.name, task.seconds, task.seconds_all);
  text += loss_line(result);
  text += fmt::format("\n{}: {}; ", count_text(result.layers, "layer"), seconds_with_error(result));
  if (result.device_bytes > 0) text += fmt::format("device {}, ", human_bytes(result.device_bytes));
  text += fmt::format("host {}\n", human_bytes(result.host_bytes));
  const Ceilings& ceilings = result.ceilings;
  text += fmt::format("ceilings of this run: {} {}, {} products in f32, {} copied, {} uploaded\n",
                      operation_rate(ceilings.products), name_of(ceilings.product_type),
                      operation_rate(ceilings.f32_products), byte_rate(ceilings.copy),
                      byte_rate(ceilings.upload));
  text += fmt::format("{}; {}, random\n", result.device, result.samples_text);
  return text;
}

Json to_json(const BenchQuantizeResult& result) {
  const auto maybe = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  Json stages = Json::array(), tasks = Json::array();
  for (const BenchStage& stage : result.stages) {
    Json entry = {{"name", stage.name}, {"seconds_per_layer", stage.seconds}};
    if (stage.operations > 0) {
      entry["operations_per_layer"] = stage.operations;
      entry["gflops"] = stage.operations / stage.seconds / 1e9;
    } else if (stage.bytes > 0) {
      entry["bytes_per_layer"] = stage.bytes;
      entry["gbps"] = stage.bytes / stage.seconds / 1e9;
    }
    entry["of_ceiling"] = maybe(stage.of_ceiling);
    entry["hidden"] = maybe(stage.hidden);
    stages.push_back(std::move(entry));
  }
  for (const BenchTask& task : result.tasks)
    tasks.push_back(
        {{"name", task.name}, {"seconds_measured", task.seconds}, {"seconds", task.seconds_all}});
  const Ceilings& ceilings = result.ceilings;
  return {{"shape", result.shape},
          {"device", result.device},
          {"layers", result.layers},
          {"layers_measured", result.layers_measured},
          {"samples", result.samples},
          {"seq_len", result.seq_len},
          {"tokens", result.tokens},
          {"seconds", result.seconds},
          {"seconds_error", maybe(result.seconds_error)},
          {"seconds_measured", result.seconds_measured},
          {"seconds_per_layer", result.seconds_per_layer},
          {"everything_else_seconds_per_layer", result.everything_else},
          {"device_memory_bytes", result.device_bytes},
          {"host_memory_bytes", result.host_bytes},
          {"stages", std::move(stages)},
          {"once", std::move(tasks)},
          {"loss",
           {{"head_seconds", result.loss.head_seconds},
            {"head_operations", result.loss.operations},
            {"head_of_ceiling", maybe(head_share(result))},
            {"score_seconds", result.loss.score_seconds},
            {"score_bytes", result.loss.bytes},
            {"score_of_ceiling", maybe(score_share(result))}}},
          {"ceilings",
           {{"type", name_of(ceilings.product_type)},
            {"gflops", ceilings.products / 1e9},
            {"f32_gflops", ceilings.f32_products / 1e9},
            {"copy_gbps", ceilings.copy / 1e9},
            {"upload_gbps", ceilings.upload / 1e9}}}};
}

}  // namespace halftone
