// What a backend gets for free: fused operations composed of the primitives.
#include "backend/backend.h"

namespace halftone {

std::unique_ptr<Weight> Backend::prepare(const QuantizedMatrix& weight, DType compute) {
  HostAllocator host;
  Tensor dense(host, weight.rows, weight.cols, compute);
  dequantize(weight, 0, weight.rows, dense);
  return prepare(dense, compute);
}

void Backend::add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec, View y) {
  add(residual, x, residual);
  norm(residual, gain, spec, y);
}

}  // namespace halftone
