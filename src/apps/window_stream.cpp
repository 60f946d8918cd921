// Stage by stage (design §3, seam 3): what attn_out and mlp_out take is stored between the pass
// that fills their Hessian and the pass that runs their linears; a norm's output is computed again.
#include "apps/window_stream.h"

namespace halftone {
namespace {

// A norm of the residual: cheaper to compute twice than to keep.
bool recomputed(Stage stage) { return stage == Stage::attn_in || stage == Stage::mlp_in; }

}  // namespace

WindowStream::WindowStream(Forward& forward, const Windows& windows,
                           const std::string& spill_directory)
    : forward_(forward), windows_(windows) {
  residuals_ = std::make_unique<ActivationStore>(forward.backend(), windows.count(), DType::f32,
                                                 spill_directory);
  inputs_ = std::make_unique<ActivationStore>(forward.backend(), windows.count(), DType::bf16,
                                              spill_directory);
  for (int64_t w = 0; w < windows.count(); ++w) {
    forward.embed(batch(w), residual(w));
    residuals_->keep(w);
  }
}

Batch WindowStream::batch(int64_t w) const {
  return make_batch({windows_.window(w), static_cast<size_t>(windows_.length)}, windows_.length);
}

View WindowStream::residual(int64_t w) {
  return residuals_->open(w, windows_.length, forward_.config().hidden);
}

View WindowStream::scratch(Tensor& tensor, int64_t cols, DType dtype) {
  if (tensor.cols() != cols || tensor.dtype() != dtype) {
    tensor = Tensor();
    tensor = forward_.backend().allocate(windows_.length, cols, dtype);
  }
  return tensor;
}

// What the stage's linears take: made again from the residual, or as it was stored.
ConstView WindowStream::input_of(int64_t w, const StageId& id, ConstView residual) {
  const int64_t width = forward_.input_width(id.stage);
  if (recomputed(id.stage)) {
    const View x = scratch(input_, width, forward_.compute());
    forward_.stage_input(id, batch(w), residual, {}, x);
    return x;
  }
  const View stored = inputs_->open(w, windows_.length, width);
  if (stored.dtype == forward_.compute()) return stored;
  const View x = scratch(input_, width, forward_.compute());
  forward_.backend().copy(stored, x);
  return x;
}

void WindowStream::apply(int64_t w, const StageId& done, View residual) {
  const ConstView x = input_of(w, done, residual);
  // As Forward::block has it: calibration looks at the network that will run.
  const DType type = recomputed(done.stage) ? forward_.compute() : DType::f32;
  const View y = scratch(output_, forward_.output_width(done.stage), type);
  forward_.stage_linears(done, x, y);
  if (recomputed(done.stage)) return;
  forward_.join(done, y, residual, residual);
  residuals_->keep(w);
}

ConstView WindowStream::advance(int64_t w, const StageId* done, const StageId& next) {
  const View stream = residual(w);
  if (done) apply(w, *done, stream);
  const int64_t width = forward_.input_width(next.stage);
  if (recomputed(next.stage)) {
    const View x = scratch(next_input_, width, forward_.compute());
    forward_.stage_input(next, batch(w), stream, {}, x);
    return x;
  }
  if (w == 0) inputs_->clear();  // of another stage, and another width
  const View stored = inputs_->open(w, windows_.length, width);
  const bool direct = stored.dtype == forward_.compute();
  const View x = direct ? stored : scratch(next_input_, width, forward_.compute());
  forward_.stage_input(next, batch(w), stream, output_, x);
  if (!direct) {
    // The Hessian sees what the linears will: the stored values.
    forward_.backend().copy(x, stored);
    forward_.backend().copy(stored, x);
  }
  inputs_->keep(w);
  return x;
}

void WindowStream::finish_block(int64_t w, const StageId& done) { apply(w, done, residual(w)); }

void WindowStream::release() {
  residuals_.reset();
  inputs_.reset();
  input_ = Tensor();
  output_ = Tensor();
  next_input_ = Tensor();
}

void WindowStream::run_block(int64_t w, int layer) {
  const View stream = residual(w);
  const View next = scratch(output_, forward_.config().hidden, DType::f32);
  forward_.block(layer, batch(w), stream, next);
  forward_.backend().copy(next, stream);
  residuals_->keep(w);
}

}  // namespace halftone
