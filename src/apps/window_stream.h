// A set of calibration windows on their way through the model, in batches: the residual stream of
// each, and the input of the stage that it stands before.
#pragma once

#include <memory>
#include <vector>

#include "model/activation_store.h"
#include "model/forward.h"
#include "text/dataset.h"

namespace halftone {

// Which windows go together: whole ones, up to `most` tokens, or one that is longer. Longest first,
// each to the batch that it fills best, so that batches of uneven ones are near `most` too; those
// of one length stay in their order. The batch of the most tokens comes first, so that what serves
// it serves all.
struct WindowBatch {
  std::vector<int64_t> windows;
  int64_t tokens = 0;
};
std::vector<WindowBatch> cut_batches(const Windows& windows, int64_t most);

class WindowStream {
 public:
  // Embeds every window, in batches that keep the backend busy. All arguments outlive it.
  WindowStream(Forward& forward, const Windows& windows, ActivationBudget& budget);

  int64_t count() const { return static_cast<int64_t>(batches_.size()); }
  Batch batch(int64_t b) const;

  // The input of `next`'s linears for batch b, (tokens, input_width) in the compute dtype. When
  // `done` is given, its linears run first (through the forward's provider), and their result joins
  // the residual or becomes the next stage's input. The view is valid until the next call.
  // `weighed`, of attn_in and mlp_in: Forward::weighed_input() instead.
  ConstView advance(int64_t b, const StageId* done, const StageId& next, bool weighed = false);
  // The last stage's linears, whose result joins the residual: nothing follows within the block.
  void finish_block(int64_t b, const StageId& done);
  // One whole block at once, for streams that nobody stops within it; `tap` may look at the inputs
  // of its stages, which are not stored.
  void run_block(int64_t b, int layer, const StageTap& tap = {});

  // Frees what one batch at a time needs: it comes back with the next one.
  void release_scratch();
  // Frees all activations: nothing may be asked of it afterwards.
  void release();
  // The residual (tokens, hidden) f32 of batch b; valid until the next call.
  View residual(int64_t b) { return residuals_->open(b); }

 private:
  ConstView input_of(const Batch& batch, int64_t b, const StageId& id, ConstView residual);
  // y := the stage's linears of its input.
  View run_linears(const Batch& batch, int64_t b, const StageId& id, ConstView residual, Tensor& y);
  void join(const Batch& batch, int64_t b, const StageId& done, View residual);
  View scratch(Tensor& tensor, int64_t rows, int64_t cols, DType dtype);

  Forward& forward_;
  const Windows& windows_;
  const std::vector<WindowBatch> batches_;
  std::unique_ptr<ActivationStore> residuals_, inputs_;
  // One batch's; input_ and output_ of the stage that runs, result_ of what joins the residual,
  // next_input_ of the stage that follows, so that a pass over the batches allocates once.
  Tensor input_, output_, result_, next_input_;
};

}  // namespace halftone
