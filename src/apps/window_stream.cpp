// Stage by stage (design §3, seam 3): what attn_out and mlp_out take is stored between the pass
// that fills their Hessian and the pass that runs their linears; a norm's output is computed again.
//
// Where the MLP reads the residual that attention read (parallel wiring), attn_out waits: its
// linears run, from what is stored, when mlp_in's have, and only then does the residual change.
#include "apps/window_stream.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <span>

namespace halftone {
namespace {

// A norm of the residual: cheaper to compute twice than to keep.
bool recomputed(Stage stage) {
  return stage == Stage::attn_in || stage == Stage::mlp_in || stage == Stage::head;
}

std::vector<int64_t> tokens_of(const std::vector<WindowBatch>& batches) {
  std::vector<int64_t> tokens;
  for (const WindowBatch& batch : batches) tokens.push_back(batch.tokens);
  return tokens;
}

}  // namespace

std::vector<WindowBatch> cut_batches(const Windows& windows, int64_t most) {
  std::vector<int64_t> order(static_cast<size_t>(windows.count()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return windows.length_of(a) > windows.length_of(b);
  });
  std::vector<WindowBatch> batches;
  std::multimap<int64_t, size_t> rooms;  // of batches, by the tokens that they still take
  for (const int64_t window : order) {
    const int64_t length = windows.length_of(window);
    const auto room = rooms.lower_bound(length);
    const size_t at = room == rooms.end() ? batches.size() : room->second;
    if (room == rooms.end())
      batches.emplace_back();
    else
      rooms.erase(room);
    batches[at].windows.push_back(window);
    batches[at].tokens += length;
    rooms.emplace(most - batches[at].tokens, at);
  }
  std::stable_sort(batches.begin(), batches.end(),
                   [](const WindowBatch& a, const WindowBatch& b) { return a.tokens > b.tokens; });
  return batches;
}

WindowStream::WindowStream(Forward& forward, const Windows& windows, ActivationBudget& budget)
    : forward_(forward),
      windows_(windows),
      batches_(cut_batches(windows, batch_tokens(forward.backend(), forward.config()))) {
  Backend& backend = forward.backend();
  residuals_ = std::make_unique<ActivationStore>(backend, tokens_of(batches_), DType::f32, budget);
  inputs_ = std::make_unique<ActivationStore>(backend, tokens_of(batches_), DType::bf16, budget);
  for (int64_t b = 0; b < count(); ++b) {
    const Batch embedded = batch(b);
    forward.embed(embedded, residuals_->make(b, embedded.tokens(), forward.config().hidden));
    residuals_->keep();
  }
}

Batch WindowStream::batch(int64_t b) const {
  std::vector<std::span<const int32_t>> sequences;
  for (const int64_t window : batches_[static_cast<size_t>(b)].windows)
    sequences.push_back(windows_.sequence(window));
  return make_batch(sequences);
}

View WindowStream::scratch(Tensor& tensor, int64_t rows, int64_t cols, DType dtype) {
  if (tensor.dtype() != dtype || tensor.cols() != cols || tensor.rows() < rows) {
    tensor = Tensor();
    tensor = forward_.backend().allocate(rows, cols, dtype);
  }
  return tensor.view().rows_of(0, rows);
}

// What the stage's linears take: made again from the residual, or as it was stored.
ConstView WindowStream::input_of(const Batch& batch, int64_t b, const StageId& id,
                                 ConstView residual) {
  const int64_t width = forward_.input_width(id.stage);
  if (recomputed(id.stage)) {
    const View x = scratch(input_, batch.tokens(), width, forward_.compute());
    forward_.stage_input(id, batch, residual, {}, x);
    return x;
  }
  const View stored = inputs_->open(b);
  if (stored.dtype == forward_.compute()) return stored;
  const View x = scratch(input_, batch.tokens(), width, forward_.compute());
  forward_.backend().copy(stored, x);
  return x;
}

View WindowStream::run_linears(const Batch& batch, int64_t b, const StageId& id, ConstView residual,
                               Tensor& y) {
  const ConstView x = input_of(batch, b, id, residual);
  // As Forward::block has it: calibration looks at the network that will run.
  const DType type = recomputed(id.stage) ? forward_.compute() : DType::f32;
  const View result = scratch(y, batch.tokens(), forward_.output_width(id.stage), type);
  forward_.stage_linears(id, x, result);
  return result;
}

void WindowStream::join(const Batch& batch, int64_t b, const StageId& done, View residual) {
  const View y = run_linears(batch, b, done, residual, result_);
  forward_.join(done, y, residual, residual);
  residuals_->keep();
}

ConstView WindowStream::advance(int64_t b, const StageId* done, const StageId& next, bool weighed) {
  const Batch batch = this->batch(b);
  const View stream = residual(b);
  View outputs;  // of linears whose result is the next stage's input
  if (done && recomputed(done->stage)) outputs = run_linears(batch, b, *done, stream, output_);
  const bool parallel = forward_.parallel();
  if (done && done->stage == Stage::attn_out && !parallel) join(batch, b, *done, stream);
  if (next.stage == Stage::mlp_out && parallel) {
    StageId waiting = next;
    waiting.stage = Stage::attn_out;
    join(batch, b, waiting, stream);
  }
  const int64_t width = forward_.input_width(next.stage);
  if (recomputed(next.stage)) {
    const View x = scratch(next_input_, batch.tokens(), width, forward_.compute());
    if (weighed)
      forward_.weighed_input(next, stream, x);
    else
      forward_.stage_input(next, batch, stream, {}, x);
    return x;
  }
  const View stored = inputs_->make(b, batch.tokens(), width);
  const bool direct = stored.dtype == forward_.compute();
  const View x = direct ? stored : scratch(next_input_, batch.tokens(), width, forward_.compute());
  forward_.stage_input(next, batch, stream, outputs, x);
  if (!direct) {
    // The Hessian sees what the linears will: the stored values.
    forward_.backend().copy(x, stored);
    forward_.backend().copy(stored, x);
  }
  inputs_->keep();
  return x;
}

void WindowStream::finish_block(int64_t b, const StageId& done) {
  join(batch(b), b, done, residual(b));
}

void WindowStream::release_scratch() {
  for (Tensor* tensor : {&input_, &output_, &result_, &next_input_}) *tensor = Tensor();
  if (residuals_) residuals_->release_copies();
  if (inputs_) inputs_->release_copies();
}

void WindowStream::release() {
  residuals_.reset();
  inputs_.reset();
  release_scratch();
}

void WindowStream::run_block(int64_t b, int layer, const StageTap& tap) {
  const View stream = residual(b);
  const View next = scratch(result_, stream.rows, forward_.config().hidden, DType::f32);
  forward_.block(layer, batch(b), stream, next, tap);
  forward_.backend().copy(next, stream);
  residuals_->keep();
}

}  // namespace halftone
