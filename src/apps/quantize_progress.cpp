// One fact, three places: log line, progress bar, JSON line.
#include "apps/quantize_progress.h"

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

namespace halftone {

QuantizeProgress::QuantizeProgress(const std::string& log_path, int64_t layers, bool quiet,
                                   bool resume, const MemoryWatch& memory)
    : log_(std::fopen(log_path.c_str(), resume ? "a" : "w")),
      layers_(layers),
      memory_(memory),
      start_(std::chrono::steady_clock::now()),
      progress_("Quantizing", 1, quiet) {
  if (!log_) throw bad_input("{}: cannot be written: {}", log_path, std::strerror(errno));
}

QuantizeProgress::~QuantizeProgress() { std::fclose(log_); }

void QuantizeProgress::step(double fraction, const StageId& id) {
  progress_.update(fraction, place_text(id, layers_));
}

void QuantizeProgress::linear(const FinishedLinear& linear, double fraction, bool resumed) {
  const double eta = progress_.seconds_left();
  Json line;
  line["layer"] = linear.key.layer;
  line["module"] = linear.module;
  line["shape"] = {linear.matrix.rows, linear.matrix.cols};
  line["relative_error"] =
      linear.report.relative_error ? Json(*linear.report.relative_error) : Json();
  line["damping"] = linear.report.damping;
  line["dead_columns"] = linear.report.dead_columns;
  if (!linear.report.note.empty()) line["note"] = linear.report.note;
  line["seconds"] = linear.seconds;
  line["eta_seconds"] = eta;
  line["peak_memory_bytes"] = memory_.peak();
  if (resumed) line["resumed"] = true;
  std::fprintf(log_, "%s\n", line.dump().c_str());
  std::fflush(log_);

  const std::string loss = linear.report.relative_error
                               ? fmt::format("  error {:.2e}  damping {:.3g}",
                                             *linear.report.relative_error, linear.report.damping)
                               : "";
  const std::string text = fmt::format(
      "{}{}  {}→{}{}  {:.2f} s  peak {}",
      linear.key.layer < 0 ? std::string()
                           : fmt::format("layer {}/{}  ", linear.key.layer + 1, layers_),
      name_of(linear.key.role), linear.matrix.cols, linear.matrix.rows, loss, linear.seconds,
      human_bytes(memory_.peak()));
  spdlog::debug("{}{}{}", text, linear.report.note.empty() ? "" : "; ", linear.report.note);
  progress_.update(fraction, text);
}

void QuantizeProgress::finish() { progress_.finish(); }

}  // namespace halftone
