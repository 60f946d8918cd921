// An evaluation as JSON, and as the before-and-after table that people read.
#include <fmt/core.h>

#include "apps/evaluate.h"
#include "apps/report_style.h"
#include "base/count_text.h"
#include "base/progress.h"

namespace halftone {
namespace {

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

// Four columns under a common head: what, original, this model, change.
class Table {
 public:
  void row(std::string_view what, std::string_view base, std::string_view model,
           std::string_view change = "") {
    std::string line = fmt::format("{:<20}  {:<20}{:<20}{}", what, base, model, change);
    line.erase(line.find_last_not_of(' ') + 1);
    text_ += line + "\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string bits(double linears, double file) {
  return fmt::format("{:.3f} ({:.2f} file)", linears, file);
}

std::string change_of_size(const Evaluation& e) {
  if (e.size_bytes == e.base_size_bytes) return "the same";
  const double ratio = static_cast<double>(e.base_size_bytes) / static_cast<double>(e.size_bytes);
  return ratio > 1 ? fmt::format("{:.2f} × smaller", ratio)
                   : fmt::format("{:.2f} × larger", 1 / ratio);
}

std::string alone(const Evaluation& e) {
  return fmt::format(
      "perplexity            {:.4f} ± {:.4f}\n"
      "size                  {}\n"
      "bits a weight         {:.3f} in the linears, {:.2f} over the whole file\n"
      "tokens/s              {:.0f}\n",
      e.perplexity, e.perplexity_stderr, human_bytes(e.size_bytes), e.bits_per_weight_linears,
      e.bits_per_weight_file, e.tokens_per_second);
}

std::string against(const Evaluation& e) {
  Table table;
  const double ratio = e.perplexity / *e.base_perplexity;
  table.row("", "original", "this model", "change");
  table.row("perplexity", perplexity_cell(*e.base_perplexity, *e.base_perplexity_stderr),
            perplexity_cell(e.perplexity, e.perplexity_stderr),
            ratio < 1e3 ? fmt::format("{:+.2f} % ± {:.2f}", 100 * (ratio - 1),
                                      100 * ratio * *e.log_ratio_stderr)
                        : fmt::format("{:.1e} times", ratio));
  table.row("KL divergence", "", report::with_error(*e.kl_mean, *e.kl_stderr),
            fmt::format("median {:.3g}, 99 % under {:.3g}", *e.kl_p50, *e.kl_p99));
  table.row("same top token", "", fmt::format("{:.1f} %", 100 * *e.top1_agreement));
  table.row("size", human_bytes(e.base_size_bytes), human_bytes(e.size_bytes), change_of_size(e));
  table.row("bits a weight", bits(e.base_bits_per_weight_linears, e.base_bits_per_weight_file),
            bits(e.bits_per_weight_linears, e.bits_per_weight_file));
  table.row("tokens/s (prefill)", fmt::format("{:.0f}", e.base_tokens_per_second),
            fmt::format("{:.0f}", e.tokens_per_second));
  return table.take();
}

}  // namespace

std::string perplexity_cell(double value, double error) {
  // A broken model's perplexity runs to any number of digits.
  return value < 1e3   ? fmt::format("{:.3f} ± {:.3f}", value, error)
         : value < 1e5 ? fmt::format("{:.1f} ± {:.1f}", value, error)
                       : fmt::format("{:.2e} ± {:.0e}", value, error);
}

Evaluation base_of(const Evaluation& against) {
  Evaluation base;
  base.protocol = against.protocol;
  base.seq_len = against.seq_len;
  base.windows = against.windows;
  base.tokens = against.tokens;
  base.perplexity = *against.base_perplexity;
  base.perplexity_stderr = *against.base_perplexity_stderr;
  base.size_bytes = against.base_size_bytes;
  base.bits_per_weight_linears = against.base_bits_per_weight_linears;
  base.bits_per_weight_file = against.base_bits_per_weight_file;
  return base;
}

Json to_json(const Evaluation& e) {
  Json json;
  json["protocol"] = e.protocol;
  json["seq_len"] = e.seq_len;
  json["windows"] = e.windows;
  json["tokens"] = e.tokens;
  json["perplexity"] = e.perplexity;
  json["perplexity_stderr"] = e.perplexity_stderr;
  json["base_perplexity"] = or_null(e.base_perplexity);
  json["kl_mean"] = or_null(e.kl_mean);
  json["kl_stderr"] = or_null(e.kl_stderr);
  json["kl_p50"] = or_null(e.kl_p50);
  json["kl_p99"] = or_null(e.kl_p99);
  json["kl_max"] = or_null(e.kl_max);
  json["top1_agreement"] = or_null(e.top1_agreement);
  json["size_bytes"] = e.size_bytes;
  json["bits_per_weight_linears"] = e.bits_per_weight_linears;
  json["bits_per_weight_file"] = e.bits_per_weight_file;
  json["seconds"] = e.seconds;
  json["tokens_per_second"] = e.tokens_per_second;
  json["peak_memory_bytes"] = e.peak_memory_bytes;
  return json;
}

std::string evaluation_table(const Evaluation& e, const std::string& device) {
  std::string text = e.base_perplexity ? against(e) : alone(e);
  text +=
      fmt::format("{} protocol: {} of {}, {} tokens scored; {}; {}; {} of memory\n", e.protocol,
                  count_text(e.windows, "window"), human_count(e.seq_len), human_count(e.tokens),
                  device, human_seconds(e.seconds), human_bytes(e.peak_memory_bytes));
  for (const std::string& note : e.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace halftone
