#include "apps/held_out_pass.h"

#include "apps/token_scores.h"
#include "base/interrupt.h"

namespace halftone {
namespace {

void run_batches(WindowStream& stream, int layer) {
  for (int64_t b = 0; b < stream.count(); ++b) {
    throw_if_interrupted();
    stream.run_block(b, layer);
  }
}

}  // namespace

HeldOutPass::HeldOutPass(Forward& quantized, Forward& original, const Windows& windows,
                         ActivationBudget& budget)
    : quantized_forward_(quantized),
      original_forward_(original),
      windows_(windows),
      quantized_(quantized, windows, budget),
      original_(original, windows, budget) {}

// A block at once takes all of a block's temporary matrices: nobody else's at the same time.
void HeldOutPass::run(int layer) {
  run_batches(quantized_, layer);
  quantized_forward_.release_scratch();
  run_batches(original_, layer);
  original_forward_.release_scratch();
  quantized_.release_scratch();
  original_.release_scratch();
}

HeldOutLoss HeldOutPass::measure(Profile* profile) {
  if (windows_.count() == 0) return {};
  const ProfileScope scope(profile, "held-out loss");
  TokenScores scores;
  for (int64_t b = 0; b < count(); ++b) {
    throw_if_interrupted();
    const Batch batch = quantized_.batch(b);
    std::vector<int64_t> rows;
    std::vector<int32_t> targets;
    for (int64_t row = 0; row + 1 < batch.tokens(); ++row) {
      const auto next = static_cast<size_t>(row) + 1;
      if (batch.positions[next] == 0) continue;  // of another window
      rows.push_back(row);
      targets.push_back(batch.ids[next]);
    }
    score_rows({.forward = &quantized_forward_, .residual = quantized_.residual(b)},
               {.forward = &original_forward_, .residual = original_.residual(b)}, rows, targets,
               scores);
  }
  return held_out_loss(scores, windows_, "quantized");
}

}  // namespace halftone
