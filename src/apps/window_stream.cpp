// Stage by stage (design §3, seam 3): what attn_out and mlp_out take is stored between the pass that
// fills their Hessian and the pass that runs their linears; a norm's output is computed again.
#include "apps/window_stream.h"

namespace halftone {
namespace {

// A norm of the residual: cheaper to compute twice than to keep.
bool recomputed(Stage stage) { return stage == Stage::attn_in || stage == Stage::mlp_in; }

std::string spill_file(const StreamStorage& storage, const char* what) {
  if (storage.spill_directory.empty()) return "";
  return storage.spill_directory + "/." + storage.name + "." + what;
}

}  // namespace

WindowStream::WindowStream(Forward& forward, const Windows& windows, const StreamStorage& storage)
    : forward_(forward), windows_(windows) {
  Backend& backend = forward.backend();
  residuals_ = std::make_unique<ActivationStore>(backend, windows.count(), DType::f32,
                                                 spill_file(storage, "residual"));
  inputs_ = std::make_unique<ActivationStore>(backend, windows.count(), DType::bf16,
                                              spill_file(storage, "inputs"));
  const int64_t hidden = forward.config().hidden;
  if (windows.count() == 0) return;
  residual_ = backend.allocate(windows.length, hidden, DType::f32);
  next_residual_ = backend.allocate(windows.length, hidden, DType::f32);
  for (int64_t w = 0; w < windows.count(); ++w) {
    forward.embed(make_batch({windows.window(w), static_cast<size_t>(windows.length)}, windows.length),
                  residual_);
    residuals_->put(w, residual_);
  }
}

const Tensor& WindowStream::scratch(Tensor& tensor, int64_t cols, DType dtype) {
  if (tensor.cols() != cols || tensor.dtype() != dtype || tensor.rows() != windows_.length) {
    tensor = Tensor();
    tensor = forward_.backend().allocate(windows_.length, cols, dtype);
  }
  return tensor;
}

void WindowStream::apply(int64_t w, const StageId& done) {
  const DType compute = forward_.compute();
  const Tensor& x = scratch(input_, forward_.input_width(done.stage), compute);
  if (recomputed(done.stage)) {
    residuals_->get(w, residual_);
    forward_.stage_input(done, {}, residual_, {}, x);
  } else {
    inputs_->get(w, x);
  }
  const bool joins = !recomputed(done.stage);
  const Tensor& y = scratch(output_, forward_.output_width(done.stage), DType::f32);
  forward_.stage_linears(done, x, y);
  if (!joins) return;
  residuals_->get(w, residual_);
  forward_.join(done, y, residual_, next_residual_);
  std::swap(residual_, next_residual_);
  residuals_->put(w, residual_);
}

ConstView WindowStream::advance(int64_t w, const StageId* done, const StageId& next) {
  if (done)
    apply(w, *done);
  else
    residuals_->get(w, residual_);
  const Batch batch =
      make_batch({windows_.window(w), static_cast<size_t>(windows_.length)}, windows_.length);
  const Tensor& x = scratch(next_input_, forward_.input_width(next.stage), forward_.compute());
  const bool stored = !recomputed(next.stage);
  forward_.stage_input(next, batch, residual_, stored ? ConstView(output_) : ConstView(), x);
  if (stored && w == 0) inputs_->clear();   // of another stage, and another width
  if (stored) inputs_->put(w, x);
  return x;
}

void WindowStream::finish_block(int64_t w, const StageId& done) { apply(w, done); }

void WindowStream::run_block(int64_t w, int layer) {
  residuals_->get(w, residual_);
  const Batch batch =
      make_batch({windows_.window(w), static_cast<size_t>(windows_.length)}, windows_.length);
  forward_.block(layer, batch, residual_, next_residual_);
  residuals_->put(w, next_residual_);
}

ConstView WindowStream::residual(int64_t w) {
  residuals_->get(w, residual_);
  return residual_;
}

}  // namespace halftone
