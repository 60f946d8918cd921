#include "model/overlay.h"

#include <utility>

namespace halftone {

void OverlayProvider::set(const TensorKey& key, std::unique_ptr<Weight> weight) {
  weights_.insert_or_assign(key, std::move(weight));
}

void OverlayProvider::clear(int layer) {
  std::erase_if(weights_, [layer](const auto& entry) { return entry.first.layer == layer; });
}

WeightProvider::Lease OverlayProvider::linear(const TensorKey& key) {
  const auto found = weights_.find(key);
  if (found == weights_.end()) return base_.linear(key);
  TensorKey bias = key;
  bias.part = Part::bias;
  return Lease(this, key, {.weight = found->second.get(), .bias = base_.vector(bias)});
}

}  // namespace halftone
