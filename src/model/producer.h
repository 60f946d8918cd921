// What a stage's input comes from, channel by channel: where a factor that the stage's linears take
// can be divided out again without changing what the model computes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/weights.h"

namespace halftone {

// A norm's gain, whose outputs only this stage reads (q, k, v; gate, up); or a linear whose outputs
// reach the stage one by one, in proportion: v reaches o through sums over positions, up reaches
// down through a product with act(gate).
struct Producer {
  TensorKey key;
  // (inputs of the stage): the producer's output that each is in proportion to. A head of keys and
  // values reaches every head of its queries: there several inputs share one.
  std::vector<int32_t> channel_of;
};

// Nothing where the family has no such tensor.
std::optional<Producer> producer_of(const ModelTensors& tensors, const StageId& id);

// The weights of a stage's linears.
std::vector<TensorKey> linears_of(const ModelTensors& tensors, const StageId& id);

}  // namespace halftone
