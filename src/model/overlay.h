// A provider in which some linears have other weights: those that a quantizer has just made, while
// what follows is calibrated on them.
#pragma once

#include <map>
#include <memory>

#include "model/weights.h"

namespace halftone {

class OverlayProvider final : public WeightProvider {
 public:
  // `base` outlives this.
  explicit OverlayProvider(WeightProvider& base) : base_(base) {}

  // From now on leases of `key` give `weight`, with the base's bias; the base's weight is not
  // loaded. Not while `key` is leased.
  void set(const TensorKey& key, std::unique_ptr<Weight> weight);
  // Back to the base's weights in this layer; the overlay's are freed.
  void clear(int layer);

  Lease linear(const TensorKey& key) override;
  void prefetch(std::span<const TensorKey> keys) override { base_.prefetch(keys); }
  ConstView vector(const TensorKey& key) override { return base_.vector(key); }
  EmbeddingView embedding(std::span<const int32_t> ids) override { return base_.embedding(ids); }
  void release_layer(int layer) override { base_.release_layer(layer); }

 protected:
  void end_lease(const TensorKey&) override {}

 private:
  WeightProvider& base_;
  std::map<TensorKey, std::unique_ptr<Weight>> weights_;
};

}  // namespace halftone
