// A tensor's way from its file to the device, by all threads of the host: straight from where it
// lies when the file is mapped and dense, else by way of a copy.
#pragma once

#include <memory>

#include "model/weights.h"

namespace halftone {

class WeightReader {
 public:
  // Both outlive it.
  WeightReader(Backend& backend, const ModelTensors& tensors)
      : backend_(backend), tensors_(tensors) {}

  // Throw Error(bad_input) for values that are not finite.
  std::unique_ptr<Weight> prepare(const TensorKey& key, DType compute) const;
  // device (rows, cols) f32: the weight's rows from `row_begin` on.
  void upload(const TensorKey& key, View device, int64_t row_begin = 0) const;

 private:
  struct Rows {
    int64_t begin = 0, count = 0;
  };
  // What the host has: the mapped file's own rows, or a copy in `dtype` that lives in `memory`.
  ConstView read(const TensorKey& key, const Rows& rows, DType dtype, Tensor& memory) const;

  Backend& backend_;
  const ModelTensors& tensors_;
};

}  // namespace halftone
