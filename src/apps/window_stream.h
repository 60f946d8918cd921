// A set of calibration windows on their way through the model: the residual stream of each, and the
// input of the stage that it stands before.
#pragma once

#include <memory>
#include <string>

#include "model/activation_store.h"
#include "model/forward.h"
#include "text/dataset.h"

namespace halftone {

class WindowStream {
 public:
  // `windows` and `forward` outlive it. Embeds every window. `spill_directory` empty: activations
  // stay in memory.
  WindowStream(Forward& forward, const Windows& windows, const std::string& spill_directory);

  int64_t count() const { return windows_.count(); }

  // The input of `next`'s linears for window w, (tokens, input_width) in the compute dtype. When
  // `done` is given, its linears run first (through the forward's provider), and their result joins
  // the residual or becomes the next stage's input. The view is valid until the next call.
  ConstView advance(int64_t w, const StageId* done, const StageId& next);
  // The last stage's linears, whose result joins the residual: nothing follows within the block.
  void finish_block(int64_t w, const StageId& done);
  // One whole block at once, for streams that nobody stops within it.
  void run_block(int64_t w, int layer);

  // Frees all activations: nothing may be asked of it afterwards.
  void release();
  // The residual (tokens, hidden) f32 of window w; valid until the next call.
  View residual(int64_t w);

 private:
  Batch batch(int64_t w) const;
  ConstView input_of(int64_t w, const StageId& id, ConstView residual);
  void apply(int64_t w, const StageId& done, View residual);
  View scratch(Tensor& tensor, int64_t cols, DType dtype);

  Forward& forward_;
  const Windows& windows_;
  std::unique_ptr<ActivationStore> residuals_, inputs_;
  // One window's; input_ and output_ of the stage that runs, next_input_ of the one that follows,
  // so that a pass over the windows allocates once.
  Tensor input_, output_, next_input_;
};

}  // namespace halftone
