// Stage by stage (design §3, seam 3): what attn_out and mlp_out take is stored between the pass
// that fills their Hessian and the pass that runs their linears; a norm's output is computed again.
//
// Where the MLP reads the residual that attention read (parallel wiring), attn_out waits: its
// linears run, from what is stored, when mlp_in's have, and only then does the residual change.
#include "apps/window_stream.h"

namespace halftone {
namespace {

// A norm of the residual: cheaper to compute twice than to keep.
bool recomputed(Stage stage) { return stage == Stage::attn_in || stage == Stage::mlp_in; }

// The first window of each batch: as many whole windows as make up to `most` tokens, at least one.
std::vector<int64_t> cut_batches(const Windows& windows, int64_t most) {
  std::vector<int64_t> first{0};
  int64_t tokens = 0;
  for (int64_t w = 0; w < windows.count(); ++w) {
    if (tokens > 0 && tokens + windows.length > most) {
      first.push_back(w);
      tokens = 0;
    }
    tokens += windows.length;
  }
  if (windows.count() > 0) first.push_back(windows.count());
  return first;
}

}  // namespace

WindowStream::WindowStream(Forward& forward, const Windows& windows, ActivationBudget& budget)
    : forward_(forward),
      windows_(windows),
      first_window_(cut_batches(windows, batch_tokens(forward.backend(), forward.config()))) {
  Backend& backend = forward.backend();
  residuals_ = std::make_unique<ActivationStore>(backend, count(), DType::f32, budget);
  inputs_ = std::make_unique<ActivationStore>(backend, count(), DType::bf16, budget);
  for (int64_t b = 0; b < count(); ++b) {
    const Batch embedded = batch(b);
    forward.embed(embedded, residuals_->make(b, embedded.tokens(), forward.config().hidden));
    residuals_->keep();
  }
}

Batch WindowStream::batch(int64_t b) const {
  const int64_t begin = first_window_[static_cast<size_t>(b)];
  const int64_t end = first_window_[static_cast<size_t>(b) + 1];
  const auto tokens = static_cast<size_t>((end - begin) * windows_.length);
  return make_batch({windows_.window(begin), tokens}, windows_.length);
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

ConstView WindowStream::advance(int64_t b, const StageId* done, const StageId& next) {
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

void WindowStream::run_block(int64_t b, int layer) {
  const View stream = residual(b);
  const View next = scratch(result_, stream.rows, forward_.config().hidden, DType::f32);
  forward_.block(layer, batch(b), stream, next);
  forward_.backend().copy(next, stream);
  residuals_->keep();
}

}  // namespace halftone
