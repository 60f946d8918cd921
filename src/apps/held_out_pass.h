// The held-out windows on their way through the blocks, by the quantized network and by the
// original one, and what they say of it at the end.
#pragma once

#include "apps/held_out_loss.h"
#include "apps/window_stream.h"
#include "base/profile.h"

namespace halftone {

class HeldOutPass {
 public:
  // All outlive it.
  HeldOutPass(Forward& quantized, Forward& original, const Windows& windows,
              ActivationBudget& budget);

  int64_t count() const { return quantized_.count(); }  // batches; 0: there is nothing to measure
  // Both through one block. Throws Error(interrupted) between two batches.
  void run(int layer);
  // After the last block. Throws as held_out_loss() does.
  HeldOutLoss measure(Profile* profile);

 private:
  Forward &quantized_forward_, &original_forward_;
  const Windows& windows_;
  WindowStream quantized_, original_;
};

}  // namespace halftone
