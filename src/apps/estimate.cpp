// Counting what the pipeline will hold at its peak, and timing one layer of it.
#include "apps/estimate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/block_quantizer.h"
#include "apps/channel_scaling.h"
#include "apps/memory_limits.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory_usage.h"
#include "base/progress.h"
#include "tensor/kept_blocks.h"

namespace halftone {
namespace {

constexpr int64_t kProbeWindows = 2;
constexpr const char* kPerLayerStages[] = {
    "factor",  "channel scales",           "scales", "solve", "load weights",
    "journal", "prepare quantized weights"};

// A memory that the job may use: its limit, and what to call it.
struct Limit {
  int64_t bytes = 0;
  std::string name;
};

Limit host_limit(const QuantizeOptions& options) {
  const int64_t machine = memory_limit();
  if (options.max_host_memory > 0 && options.max_host_memory <= machine)
    return {options.max_host_memory, "--max-memory host"};
  return {machine, "this machine's memory limit"};
}

// Where the device computes in the host's memory the tighter limit holds. A card is not taken whole
// unless that is asked for, or the job needs it: `least` is what it cannot do without.
Limit device_limit(Backend& backend, const QuantizeOptions& options, int64_t least) {
  const int64_t share = 24'000'000'000 + backend.allocator().in_use();
  const bool on_host = backend.place() == Place::host;
  const Limit most = on_host
                         ? host_limit(options)
                         : Limit{backend.allocator().limit(), backend.info().device + "'s memory"};
  if (options.max_memory > 0 && options.max_memory <= most.bytes)
    return {options.max_memory, "--max-memory"};
  if (on_host || options.max_memory > 0) return most;
  return {std::min(most.bytes, std::max(share, least)), most.name};
}

// Of the host's memory: small matrices on their way.
constexpr int64_t kStaging = int64_t{4} << 20;

// What one memory holds: the least, what activations may take of it, and the peak that makes.
struct Room {
  int64_t least = 0, activations = 0, peak = 0;
  bool whole = true;  // all activations are there
  bool ahead = true;  // and what is loaded ahead
};

// What a memory must hold with no activation in it but a batch at a time.
int64_t least_of(const MemoryNeed& need, int64_t outside) {
  const int64_t peak =
      outside + std::max(need.blocks + need.activations(), need.head + need.held_out_residuals);
  return std::min(peak, outside + std::max(need.least_blocks, need.head + need.residual_copies));
}

// While the blocks run all activations are there; at the end the held-out ones are left, and the
// head comes. Of what lies elsewhere a batch at a time needs a place; residuals go there last.
Room room_in(const MemoryNeed& need, int64_t outside, const Limit& limit) {
  const int64_t peak =
      outside + std::max(need.blocks + need.activations(), need.head + need.held_out_residuals);
  Room room{least_of(need, outside), need.activations(), peak};
  if (room.least > limit.bytes)
    throw out_of_resources("{} {}: this model needs at least {}", limit.name,
                           human_bytes(limit.bytes), enough_bytes(room.least))
        .hint("raise it, or pass a smaller --seq-len.");
  if (peak <= limit.bytes) return room;
  room.whole = false;
  const int64_t residuals = need.residuals + need.held_out_residuals;
  room.ahead = outside + need.spilled_blocks + residuals <= limit.bytes &&
               outside + need.head + need.held_out_residuals <= limit.bytes;
  const int64_t blocks = outside + (room.ahead ? need.spilled_blocks : need.least_blocks);
  const int64_t head = outside + need.head + (room.ahead ? 0 : need.residual_copies);
  room.activations = limit.bytes - blocks;
  if (head + std::min(room.activations, need.held_out_residuals) > limit.bytes)
    room.activations = limit.bytes - std::max(blocks, head);
  room.peak = std::max(blocks + room.activations,
                       head + std::min(room.activations, need.held_out_residuals));
  return room;
}

void place_on_host(const MemoryNeed& need, const Limit& limit, Estimate& estimate) {
  const Room room = room_in(need, need.outside, limit);
  estimate.least_bytes = room.least;
  estimate.memory_bytes = room.peak;
  estimate.kept_bytes = std::clamp<int64_t>(limit.bytes - room.peak, 0, kMostKept);
  estimate.allocator_limit = estimate.host_allocator_limit = limit.bytes - need.outside;
  if (room.whole) return;
  estimate.activations.device_bytes = room.activations;
  estimate.spilled_bytes = need.activations() - room.activations;
}

void place_on_device(const MemoryNeed& need, int64_t workspace, const Limit& device,
                     const Limit& host, Estimate& estimate) {
  const Room room = room_in(need, workspace, device);
  MemoryNeed copies{.blocks = need.host_copies + kStaging, .outside = need.outside};
  if (!room.whole) {
    // Each goes where all of it has room: a few more than the sum says go to the host.
    copies.residual_copies = need.residual_copies + need.input_copies;
    copies.residuals = need.activations() - room.activations + copies.residual_copies;
  }
  copies.spilled_blocks = copies.blocks;
  copies.least_blocks = copies.blocks + copies.residual_copies;
  const Room host_room = room_in(copies, need.outside, host);
  estimate.least_device_bytes = room.least;
  estimate.device_bytes = room.peak;
  estimate.least_bytes = host_room.least;
  estimate.memory_bytes = host_room.peak;
  estimate.kept_bytes = std::clamp<int64_t>(host.bytes - host_room.peak, 0, kMostKept);
  estimate.allocator_limit = device.bytes;
  estimate.host_allocator_limit = host.bytes - need.outside;
  if (room.whole) return;
  estimate.load_ahead = room.ahead;
  estimate.activations.device_bytes = room.activations;
  estimate.activations.host_bytes = host_room.activations;
  estimate.spilled_bytes = copies.residuals - host_room.activations;
}

// Before all that the text is tokenized: its ids are held, and gone when the blocks run.
void count_text(const EstimateInput& input, int64_t outside, const Limit& host,
                Estimate& estimate) {
  const int64_t text = outside + input.calibration.id_bytes;
  if (text > host.bytes)
    throw out_of_resources("{} {}: the tokens of the calibration text alone need {}", host.name,
                           human_bytes(host.bytes), human_bytes(text))
        .hint("raise it, or pass less text: --samples says how much of it is used.");
  estimate.memory_bytes = std::max(estimate.memory_bytes, text);
  estimate.least_bytes = std::max(estimate.least_bytes, text);
}

// Those windows a token of which costs what one of all windows does: of about the length
// Σ length² / Σ length, as attention grows with its square.
Windows typical_windows(const Windows& all, int64_t count) {
  if (!all.uneven()) return pick_windows(all, 0, std::min(count, all.count()), 0);
  double squares = 0;
  std::vector<int64_t> order;
  for (int64_t i = 0; i < all.count(); ++i) {
    squares += std::pow(static_cast<double>(all.length_of(i)), 2);
    order.push_back(i);
  }
  const double typical = squares / static_cast<double>(std::max<int64_t>(1, all.tokens()));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return std::abs(static_cast<double>(all.length_of(a)) - typical) <
           std::abs(static_cast<double>(all.length_of(b)) - typical);
  });
  order.resize(static_cast<size_t>(std::min(count, all.count())));
  Windows few{.length = all.length};
  for (const int64_t i : order) few.append(all.sequence(i));
  return few;
}

// Of the windows that Hessians are made of, or of those to measure on where there are no others.
Calibration few_windows(const Calibration& all, int64_t count) {
  Calibration few;
  if (all.samples.count() > 0)
    few.samples = typical_windows(all.samples, count);
  else
    few.held_out = typical_windows(all.held_out, count);
  return few;
}

// What the time of a pass over them is proportional to.
double passed_tokens(const Calibration& calibration) {
  return static_cast<double>(calibration.samples.tokens() + 2 * calibration.held_out.tokens());
}

void probe(const EstimateInput& input, const Calibration& windows, Profile* profile) {
  if (input.plan.method->transform)
    find_channel_scales({.backend = input.backend,
                         .model = input.model,
                         .plan = input.plan,
                         .calibration = windows,
                         .compute = input.compute,
                         .profile = profile,
                         .layers = 1});
  if (!input.plan.dense)
    quantize_blocks({.backend = input.backend,
                     .model = input.model,
                     .plan = input.plan,
                     .calibration = windows,
                     .compute = input.compute,
                     .profile = profile,
                     .layers = 1,
                     .measure_loss = false});
}

// The head's quantized weights, as a multiple of the probed layer's: weight by weight they cost the
// same.
double head_share(const Plan& plan) {
  double probed = 0, head = 0;
  for (const PlanRow& row : plan.rows) {
    if (row.method.empty()) continue;
    const auto weights = static_cast<double>(row.rows * row.cols);
    if (row.key.layer == 0) probed += weights;
    if (row.key.role == Role::head) head += weights;
  }
  return probed > 0 ? head / probed : 0;
}

}  // namespace

Estimate estimate_resources(const EstimateInput& input) {
  Backend& backend = input.backend;
  MemoryNeed need = count_memory(input);
  // What others hold on to meanwhile: the original that a comparison measures against.
  const int64_t held = backend.allocator().in_use();
  for (int64_t* peak : {&need.blocks, &need.spilled_blocks, &need.least_blocks, &need.head})
    *peak += held;
  const int64_t workspace = backend.info().workspace_bytes;
  const Limit device = device_limit(backend, input.options, least_of(need, workspace));
  const bool on_host = backend.place() == Place::host;
  const Limit host = on_host ? device : host_limit(input.options);
  Estimate estimate;
  if (on_host)
    place_on_host(need, host, estimate);
  else
    place_on_device(need, workspace, device, host, estimate);
  count_text(input, need.outside, host, estimate);
  // The journal holds codes and scales until the output is published.
  double journal_bits = 0;
  for (const PlanRow& row : input.plan.rows)
    if (!row.method.empty() && !input.plan.dense)
      journal_bits += row.grid.bits_per_weight(row.cols) * static_cast<double>(row.rows * row.cols);
  estimate.disk_bytes = input.plan.output_bytes + static_cast<int64_t>(journal_bits / 8);
  if (estimate.spills()) {
    // A matrix goes where all of it has room, so that a little more than the sum goes to disk.
    estimate.disk_bytes += estimate.spilled_bytes + need.residual_copies + need.input_copies +
                           need.inputs_on_disk - need.inputs;
    estimate.activations.spill_directory =
        std::filesystem::absolute(input.options.output).parent_path().string();
  }
  // What an interrupted run has kept is on the disk already.
  std::error_code none;
  const std::filesystem::path journal = input.options.output + ".journal";
  const int64_t kept = input.options.resume && std::filesystem::exists(journal, none)
                           ? static_cast<int64_t>(std::filesystem::file_size(journal))
                           : 0;
  const int64_t room = free_disk_bytes(input.options.output) + kept;
  if (estimate.disk_bytes > room)
    throw out_of_resources("{}: needs {} of disk, {} are free", input.options.output,
                           human_bytes(estimate.disk_bytes), human_bytes(room))
        .hint("free some, or pass an -o on another disk.");
  return estimate;
}

void apply_limits(Backend& backend, const Estimate& estimate) {
  backend.host_allocator().set_limit(estimate.host_allocator_limit);
  backend.allocator().set_limit(estimate.allocator_limit);
}

LimitScope::LimitScope(Backend& backend)
    : backend_(backend),
      device_(backend.allocator().limit()),
      host_(backend.host_allocator().limit()) {}

LimitScope::~LimitScope() {
  backend_.allocator().set_limit(device_);
  backend_.host_allocator().set_limit(host_);
}

TimeEstimate estimate_time(const EstimateInput& input) {
  const Calibration& calibration = input.calibration;
  // The first time kernels are generated, and pages of the file and of memory come: not timed.
  probe(input, few_windows(calibration, 1), nullptr);
  const Calibration few = few_windows(calibration, kProbeWindows);
  const double probed = passed_tokens(few);
  Profile profile;
  const auto start = Clock::now();
  probe(input, few, &profile);
  const double total = seconds_since(start);
  // What a layer costs however many tokens there are; the rest is the windows'.
  double solving = 0;
  for (const char* stage : kPerLayerStages)
    if (const auto row = profile.rows().find(stage); row != profile.rows().end())
      solving += row->second.seconds;
  TimeEstimate estimate;
  estimate.seconds_per_layer =
      solving + (probed > 0 ? (total - solving) / probed * passed_tokens(calibration) : 0);
  estimate.seconds = estimate.seconds_per_layer * static_cast<double>(input.model.config().layers);
  estimate.seconds += solving * head_share(input.plan);
  return estimate;
}

}  // namespace halftone
