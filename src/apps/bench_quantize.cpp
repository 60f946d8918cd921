// Two runs: one as users have it, for the seconds; and, on a device that works behind the program,
// one that waits where each stage ends, for what the stages take.
#include "apps/bench_quantize.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <span>

#include "apps/bench_workdir.h"
#include "apps/calibration.h"
#include "apps/model_shapes.h"
#include "apps/product_rate.h"
#include "apps/random_calibration.h"
#include "apps/synthetic_model.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/hush.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLayers = 4;           // by default
constexpr int64_t kMostStageLayers = 8;  // beyond, the second run takes kLayers

enum class Ceiling : uint8_t { none, products, f32_products, copy, upload };

// A line of the table, and the profile's stages that it adds up.
struct StageLine {
  std::string_view name;
  Ceiling ceiling;
  std::vector<std::string_view> stages;
};

const std::vector<StageLine>& stage_lines() {
  static const std::vector<StageLine> lines = {
      {"load weights", Ceiling::upload, {"load weights"}},
      {"forward", Ceiling::products, {"linear"}},
      {"attention", Ceiling::products, {"attention"}},
      {"norm, rope, add, act", Ceiling::copy, {"norm", "rope", "add", "activation"}},
      {"Hessians", Ceiling::products, {"Hessians"}},
      {"factor", Ceiling::none, {"factor"}},  // small ones in f64
      {"scales", Ceiling::copy, {"scales"}},
      {"solve", Ceiling::f32_products, {"solve"}},
      {"prepare codes", Ceiling::copy, {"prepare quantized weights"}},
  };
  return lines;
}

double rate_of(const Ceilings& ceilings, Ceiling which) {
  switch (which) {
    case Ceiling::products:
      return ceilings.products;
    case Ceiling::f32_products:
      return ceilings.f32_products;
    case Ceiling::copy:
      return ceilings.copy;
    case Ceiling::upload:
      return ceilings.upload;
    case Ceiling::none:
      break;
  }
  return 0;
}

ProfileRow sum_of(const Profile& profile, const std::vector<std::string_view>& stages) {
  ProfileRow sum;
  for (const std::string_view stage : stages)
    if (const auto row = profile.rows().find(stage); row != profile.rows().end()) {
      sum.seconds += row->second.seconds;
      sum.operations += row->second.operations;
      sum.bytes += row->second.bytes;
    }
  return sum;
}

// Seconds of all stages of the layers, and what was waited for behind them.
double stage_seconds(const Profile& profile) {
  double seconds = sum_of(profile, {"journal"}).seconds;
  for (const StageLine& line : stage_lines()) seconds += sum_of(profile, line.stages).seconds;
  return seconds;
}

// Seconds of what a part of a run did that is told apart from the layers.
double seconds_apart(const Profile& profile, std::string_view part) {
  double seconds = 0;
  for (const auto& [stage, row] : profile.rows())
    if (stage == part || stage.starts_with(std::string(part) + ": ")) seconds += row.seconds;
  return seconds;
}

class Bench {
 public:
  Bench(Backend& backend, const BenchQuantizeOptions& options)
      : backend_(backend), options_(options), config_(shape_config(options.shape)) {}
  BenchQuantizeResult run();

 private:
  void check_plan() const;
  void write_model(int64_t layers);
  QuantizeOutcome quantize_model(Profile& profile);
  void measure_ceilings();
  void note_seconds(const QuantizeOutcome& outcome, const Profile& profile);
  void note_tasks(const QuantizeOutcome& outcome, const Profile& profile);
  void note_stages(const Profile& profile, const Plan& plan, int64_t layers);
  void note_loss(const Profile& profile);
  void note_journal(const QuantizeOutcome& outcome, const Profile& profile);
  void note_hidden(bool behind);

  Backend& backend_;
  const BenchQuantizeOptions& options_;
  const Json config_;
  std::string folder_;
  BenchQuantizeResult result_;
  double waited_ = 0;         // for the journal and the output, a layer
  double journal_bytes_ = 0;  // a layer
};

// What the shape's linears cannot be quantized to is said before gigabytes of weights are made up.
void Bench::check_plan() const {
  const std::string model = folder_ + "/outline";
  fs::create_directory(model);
  write_synthetic_outline(with_layers(config_, result_.layers_measured), model);
  make_plan(open_model(model, options_.quantize.lm_head), options_.quantize);
  fs::remove_all(model);
}

void Bench::write_model(int64_t layers) {
  const std::string model = folder_ + "/model";
  fs::remove_all(model);
  fs::create_directory(model);
  const Json config = with_layers(config_, layers);
  spdlog::info("Model     {} of {} layers of {}, {}, written to {} and removed at the end", layers,
               result_.layers, options_.shape, human_bytes(synthetic_bytes(config)), folder_);
  write_synthetic_model(config, model, backend_.host_threads(), options_.quantize.quiet);
  if (find_format(options_.quantize.format).self_contained)
    write_synthetic_tokenizer(config, model);
}

QuantizeOutcome Bench::quantize_model(Profile& profile) {
  const OpenedModel model = open_model(folder_ + "/model", options_.quantize.lm_head);
  QuantizeOptions options = options_.quantize;
  options.output = folder_ + "/quantized";
  options.force = true;
  const Calibration calibration = random_calibration(options, model.config().vocab);
  result_.tokens = calibration.samples.tokens();
  result_.samples_text = windows_text(calibration.samples);
  const QuantizeOutcome outcome =
      quantize(backend_, model, options, {.calibration = &calibration}, &profile);
  fs::remove_all(options.output);  // makes room
  journal_bytes_ = 0;
  for (const PlanRow& row : outcome.plan.rows)
    if (row.key.layer == 0 && !row.method.empty())
      journal_bytes_ +=
          static_cast<double>(row.rows * row.cols) * journal_bits(row.grid, row.cols) / 8;
  return outcome;
}

void Bench::measure_ceilings() {
  Progress progress("Measuring ceilings", 4, options_.quantize.quiet);
  Ceilings& ceilings = result_.ceilings;
  ceilings.product_type = compute_dtype(options_.quantize.dtype, backend_);
  ceilings.products = measure_product_rate(backend_, ceilings.product_type);
  progress.update(1, "products in f32");
  ceilings.f32_products = measure_f32_product_rate(backend_);
  progress.update(2, "copies");
  ceilings.copy = measure_copy_rate(backend_);
  progress.update(3, "uploads");
  ceilings.upload = measure_upload_rate(backend_);
  progress.finish();
}

// What layers took, a transform's pass through them included, and what that makes for all.
void Bench::note_seconds(const QuantizeOutcome& outcome, const Profile& profile) {
  std::vector<double> layers(static_cast<size_t>(result_.layers_measured));
  for (const StageRecord& stage : outcome.stages)
    if (stage.id != kHeadStage) layers[static_cast<size_t>(stage.id.layer)] += stage.seconds;
  if (layers.size() > 1) layers.erase(layers.begin());  // warms the machine up
  std::sort(layers.begin(), layers.end());
  const size_t count = layers.size();
  double seconds = (layers[(count - 1) / 2] + layers[count / 2]) / 2;
  // What windows do behind a layer's last stage is counted to the next layer, where there is one.
  if (result_.layers_measured == 1) seconds = std::max(seconds, stage_seconds(profile));
  result_.seconds_per_layer = seconds + seconds_apart(profile, "find scales") /
                                            static_cast<double>(result_.layers_measured);
  result_.seconds_measured = outcome.seconds;
  note_tasks(outcome, profile);
  const auto missing = static_cast<double>(result_.layers - result_.layers_measured);
  result_.seconds = outcome.seconds + missing * result_.seconds_per_layer;
  for (const BenchTask& task : result_.tasks) result_.seconds += task.seconds_all - task.seconds;
  if (count < 2 || missing == 0) return;
  const auto n = static_cast<double>(count);
  const double mean = std::accumulate(layers.begin(), layers.end(), 0.0) / n;
  double squares = 0;
  for (const double layer : layers) squares += (layer - mean) * (layer - mean);
  result_.seconds_error = missing * std::sqrt(squares / (n - 1) / n);
}

void Bench::note_tasks(const QuantizeOutcome& outcome, const Profile& profile) {
  const auto layers = static_cast<double>(result_.layers);
  const auto measured = static_cast<double>(result_.layers_measured);
  const auto model = static_cast<double>(synthetic_bytes(config_));
  const auto part =
      static_cast<double>(synthetic_bytes(with_layers(config_, result_.layers_measured)));
  double linears = 0;
  for (const PlanRow& row : outcome.plan.rows)
    if (!row.method.empty() && row.key.layer >= 0)
      linears += static_cast<double>(row.rows * row.cols);
  const double packed = linears * outcome.plan.bits_per_weight_linears / 8;
  const auto written = static_cast<double>(outcome.output_bytes);
  const bool beside = backend_.runs_beside_host();
  struct Task {
    std::string_view name;
    std::vector<std::string_view> stages;
    double growth;  // from the layers measured to all
  };
  const Task tasks[] = {
      {"hash the model", {"fingerprint"}, model / part},
      {"embed", {"embed"}, 1},
      {"held-out loss", {"held-out loss", "head", "score"}, 1},
      {"write tables", {"write tables"}, 1},
      // Beside a device, all but the last layers are written and run again by then.
      {"write", {"write"}, beside ? 1 : (written + packed * (layers / measured - 1)) / written},
      {"verify", {"verify"}, beside ? 1 : layers / measured},
      {"verify the head", {"verify head"}, 1},
  };
  for (const Task& task : tasks) {
    const double seconds = sum_of(profile, task.stages).seconds;
    // Beside a device, more layers leave more time for the tables.
    const double hidden = task.name == "write"
                              ? std::min(outcome.tables_behind_seconds,
                                         (layers - measured) * result_.seconds_per_layer)
                              : 0;
    if (seconds > 0)
      result_.tasks.push_back({std::string(task.name), seconds, seconds * task.growth - hidden});
  }
  if (const double head = seconds_apart(profile, "quantize head"); options_.quantize.lm_head)
    result_.tasks.push_back({"quantize the head", head, head});
}

void Bench::note_stages(const Profile& profile, const Plan& plan, int64_t layers) {
  const auto count = static_cast<double>(layers);
  if (const double seconds = seconds_apart(profile, "find scales"); seconds > 0)
    result_.stages.push_back(
        {.name = "find scales", .seconds = seconds / count, .of_ceiling = {}, .hidden = {}});
  // Elsewhere than on plain grids, finding scales is arithmetic.
  const bool plain = std::ranges::all_of(plan.rows, [](const PlanRow& row) {
    return row.method.empty() || has_plain_levels(row.grid);
  });
  for (const StageLine& line : stage_lines()) {
    const ProfileRow row = sum_of(profile, line.stages);
    if (row.seconds == 0) continue;
    BenchStage stage{.name = std::string(line.name),
                     .seconds = row.seconds / count,
                     .operations = row.operations / count,
                     .bytes = row.bytes / count,
                     .of_ceiling = {},
                     .hidden = {}};
    const double work = stage.operations > 0 ? stage.operations : stage.bytes;
    const bool counts = plain || line.name != "scales";
    const double ceiling = counts ? rate_of(result_.ceilings, line.ceiling) : 0;
    if (ceiling > 0 && work > 0) stage.of_ceiling = work / stage.seconds / ceiling;
    result_.stages.push_back(std::move(stage));
  }
}

void Bench::note_loss(const Profile& profile) {
  const ProfileRow head = sum_of(profile, {"head"}), score = sum_of(profile, {"score"});
  result_.loss = {.head_seconds = head.seconds,
                  .score_seconds = score.seconds,
                  .operations = head.operations,
                  .bytes = score.bytes};
}

// Threads of their own keep finished stages, and write them.
void Bench::note_journal(const QuantizeOutcome& outcome, const Profile& profile) {
  const auto layers = static_cast<double>(result_.layers_measured);
  waited_ = sum_of(profile, {"journal"}).seconds / layers;
  const auto note = [&](std::string name, double busy) {
    if (busy == 0) return;
    result_.stages.push_back({.name = std::move(name),
                              .seconds = busy / layers,
                              .bytes = journal_bytes_,
                              .of_ceiling = {},
                              .hidden = std::clamp(1 - waited_ * layers / busy, 0.0, 1.0)});
  };
  note("keep in journal", outcome.saving_seconds);
  const double tables = sum_of(profile, {"write tables"}).seconds;  // a task of its own
  note("write and compare", std::max(0.0, outcome.writing_seconds - tables));
}

// What the layers took beyond what the stages on the device did: loading first, as far as it goes.
void Bench::note_hidden(bool behind) {
  double left = result_.seconds_per_layer - waited_;
  for (const BenchStage& stage : result_.stages)
    if (stage.name != "load weights" && !stage.hidden) left -= stage.seconds;
  left = std::max(0.0, left);
  for (BenchStage& stage : result_.stages) {
    if (stage.name != "load weights") continue;
    const double seen = behind ? std::min(left, stage.seconds) : stage.seconds;
    if (behind) stage.hidden = 1 - seen / stage.seconds;
    left = std::max(0.0, left - seen);
  }
  result_.everything_else = left;
}

BenchQuantizeResult Bench::run() {
  result_.shape = options_.shape;
  result_.device = backend_.info().device;
  result_.samples = options_.quantize.samples;
  result_.seq_len = options_.quantize.seq_len;
  result_.layers = layers_of(config_);
  const int64_t wanted = options_.layers > 0 ? options_.layers : kLayers;
  result_.layers_measured = std::min(wanted, result_.layers);
  const TemporaryDirectory folder(
      choose_workdir(options_.workdir,
                     bench_disk_bytes(config_, result_.layers_measured, options_.quantize)),
      "halftone-bench-");
  folder_ = folder.path();
  check_plan();
  measure_ceilings();
  write_model(result_.layers_measured);

  const bool behind = works_behind(backend_);
  const bool on_host = backend_.allocate(1, 1, DType::f32).view().place == Place::host;
  backend_.allocator().reset_peak();
  Profile plain;
  const QuantizeOutcome outcome = quantize_model(plain);
  result_.host_bytes = outcome.peak_memory_bytes;
  result_.device_bytes = on_host ? 0 : backend_.allocator().peak();
  note_seconds(outcome, plain);
  if (behind) {
    const bool many = result_.layers_measured > kMostStageLayers;
    const int64_t layers = many ? kLayers : result_.layers_measured;
    spdlog::info("Stages    {} again, waiting for the device where each stage ends",
                 count_text(layers, "layer"));
    if (many) write_model(layers);
    const Hush hush;
    Profile settled([this] { backend_.synchronize(); });
    const QuantizeOutcome again = quantize_model(settled);
    note_stages(settled, again.plan, layers);
    note_loss(settled);
  } else {
    note_stages(plain, outcome.plan, result_.layers_measured);
    note_loss(plain);
  }
  note_journal(outcome, plain);
  note_hidden(behind);
  return result_;
}

}  // namespace

BenchQuantizeResult bench_quantize(Backend& backend, const BenchQuantizeOptions& options) {
  try {
    return Bench(backend, options).run();
  } catch (const Error& error) {
    if (error.exit() == Exit::interrupted) throw Error(Exit::interrupted, "stopped");
    throw;
  }
}

}  // namespace halftone
