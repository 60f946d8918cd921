#include "apps/output_stream.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "apps/open_model.h"
#include "apps/round_matrix.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "format/format.h"

namespace halftone {
namespace {

constexpr int kMostThreads = 4;  // keep up with a card that takes a second for 500 M weights

int64_t weights_of(const std::vector<FinishedLinear>& linears) {
  int64_t weights = 0;
  for (const FinishedLinear& linear : linears) weights += linear.matrix.rows * linear.matrix.cols;
  return weights;
}

OutputSpec spec_of(const OutputStreamInput& input, const std::string& directory,
                   const GgufContents& gguf) {
  OutputSpec spec{.checkpoint = *input.model.checkpoint,
                  .source = *input.model.source,
                  .directory = directory,
                  .summary = input.plan.summary(),
                  .dense = {}};
  if (input.plan.mix != nullptr) spec.gguf = &gguf;
  spec.max_shard_bytes = input.max_shard_bytes;
  return spec;
}

}  // namespace

int OutputStream::threads_beside(Backend& backend) {
  if (!backend.runs_beside_host()) return 0;
  return std::clamp(backend.host_threads().size() / 4, 1, kMostThreads);
}

// The codes of two stages; and of what threads have at hand what is packed, then read back.
int64_t OutputStream::bytes_held(Backend& backend, int64_t codes) {
  return (threads_beside(backend) > 0 ? 4 : 2) * codes;
}

int64_t OutputStream::table_bytes(const Plan& plan) {
  int64_t most = 0;
  for (const PlannedModule& table : plan.tables) {
    constexpr int64_t kScaleAndOffset = 8;
    constexpr int64_t kRounding = 16;  // bytes a weight: as read, as rounded, and between
    if (table.skipped) continue;
    const int64_t codes =
        table.rows * (table.cols + kScaleAndOffset * table.grid.groups(table.cols));
    most =
        std::max(most, 2 * codes + kRounding * std::min(table.rows * table.cols, kRoundedAtOnce));
  }
  return most;
}

OutputStream::OutputStream(const OutputStreamInput& input, std::string directory)
    : input_(input),
      directory_(std::move(directory)),
      gguf_(input.plan.mix != nullptr ? gguf_contents(input.model, *input.plan.mix)
                                      : GgufContents{}) {
  for (const PlanRow& row : input_.plan.rows)
    if (!row.method.empty()) ++to_compare_[place_of(row.key)];
  const int threads = threads_beside(input_.backend);
  if (threads == 0) open();
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this, first = i == 0] {
      // What drives the device goes before this: of Linux' threads each has a niceness of its own.
      constexpr int kNiceness = 10;
      if (::nice(kNiceness) == -1) spdlog::debug("the output's threads keep their priority");
      if (first)
        attempt([this] {
          open();
          write_rest();
        });
      work();
    });
}

// Taking the disk space of a large model can last seconds.
void OutputStream::open() {
  const Format& format = *input_.plan.format;
  writer_ = format.open_writer(format, spec_of(input_, directory_, gguf_));
  writer_->write_configuration();
  written_ = std::make_unique<Checkpoint>(Checkpoint::open(directory_));
  reader_ = std::make_unique<LinearReader>(*written_);
  {
    const std::lock_guard lock(mutex_);
    opened_ = true;
  }
  changed_.notify_all();
}

OutputStream::~OutputStream() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

int OutputStream::place_of(const TensorKey& key) const {
  return key.layer < 0 ? static_cast<int>(input_.model.config().layers) : key.layer;
}

void OutputStream::add(StageRecord stage) {
  if (threads_.empty()) {
    write_rest_here();
    return process(stage.linears);
  }
  most_weights_ = std::max(most_weights_, 2 * weights_of(stage.linears));
  for (FinishedLinear& linear : stage.linears) {
    Linears one;
    one.push_back(std::move(linear));
    enqueue(std::move(one));
  }
}

void OutputStream::enqueue(Linears linears) {
  {
    const int64_t weights = weights_of(linears);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || weights_held_ + weights <= most_weights_; });
    if (failure_) std::rethrow_exception(failure_);
    weights_held_ += weights;
    waiting_.push_back(std::move(linears));
  }
  changed_.notify_all();
}

// On a thread of this one's: what it throws is thrown again by add() or finish().
void OutputStream::attempt(const std::function<void()>& task) {
  try {
    task();
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

void OutputStream::work() {
  for (;;) {
    Linears linears;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return (opened_ && !waiting_.empty()) || stopping_; });
      if (waiting_.empty()) return;
      linears = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const int64_t weights = weights_of(linears);
    attempt([&] { process(linears); });
    linears.clear();
    {
      const std::lock_guard lock(mutex_);
      weights_held_ -= weights;
    }
    changed_.notify_all();
  }
}

void OutputStream::process(const Linears& linears) {
  const auto start = Clock::now();
  throw_if_interrupted();
  for (const FinishedLinear& linear : linears) {
    if (const auto row = clipped_row(linear.matrix))
      spdlog::warn("{}.weight: row {} has weights too large for f16 scales: they are cut off",
                   linear.module, *row);
    writer_->write(linear.module, linear.matrix);
    compare(linear.module, linear.matrix);
  }
  const std::lock_guard lock(mutex_);
  for (const FinishedLinear& linear : linears) --to_compare_[place_of(linear.key)];
  seconds_ += seconds_since(start);
}

void OutputStream::write_rest_here() {
  if (threads_.empty() && !rest_written_) write_rest();
}

// Tables of a GGUF are rounded by a backend of their own, whose memory is not the layers'; beside a
// device, which is at work meanwhile, by threads that go after all others.
void OutputStream::write_rest() {
  const auto start = Clock::now();
  const int beside = threads_beside(input_.backend);
  const int threads = std::max(beside, input_.backend.host_threads().size() - beside);
  const auto backend = make_backend("cpu", {.threads = threads});
  for (const PlannedModule& table : input_.plan.tables) {
    if (table.skipped) continue;
    const QuantizedMatrix rounded = round_matrix(*backend, *input_.model.source, table);
    writer_->write(table.name, rounded);
    compare(table.name, rounded);
  }
  writer_->write_dense(backend->host_threads());
  {
    const std::lock_guard lock(mutex_);
    rest_written_ = true;
    seconds_ += seconds_since(start);
  }
  changed_.notify_all();
}

// A matrix of the written files, against the one that was solved.
void OutputStream::compare(const std::string& name, const QuantizedMatrix& expected) const {
  const auto reread = reader_->read(writer_->name_when_read(name));
  if (!reread) throw internal_error("{}: not quantized when read back", name);
  const QuantizedMatrix& got = *reread;
  if (expected.rows != got.rows || expected.cols != got.cols)
    throw internal_error("{}: reread as [{}, {}], written as [{}, {}]", name, got.rows, got.cols,
                         expected.rows, expected.cols);
  if (expected.codes != got.codes) throw internal_error("{}: codes differ when read back", name);
  if (expected.zeros != got.zeros) throw internal_error("{}: zeros differ when read back", name);
  if (expected.offsets != got.offsets)
    throw internal_error("{}: offsets differ when read back", name);
  if (expected.scales != got.scales) throw internal_error("{}: scales differ when read back", name);
}

int OutputStream::layers_compared() const {
  const std::lock_guard lock(mutex_);
  if (!rest_written_) return 0;  // a layer is run with its norms
  for (const auto& [layer, left] : to_compare_)
    if (left != 0) return layer;
  const auto layers = static_cast<int>(input_.model.config().layers);
  return to_compare_.empty() ? 0 : std::min(layers, to_compare_.rbegin()->first + 1);
}

int64_t OutputStream::finish() {
  write_rest_here();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || weights_held_ == 0; });
    const auto start = Clock::now();
    changed_.wait(lock, [this] { return failure_ || rest_written_; });
    seconds_behind_ = seconds_since(start);
    if (failure_) std::rethrow_exception(failure_);
    for (const auto& [layer, left] : to_compare_)
      if (left != 0)
        throw internal_error("layer {}: {} modules of the plan were not compared", layer, left);
  }
  return writer_->finish();
}

}  // namespace halftone
