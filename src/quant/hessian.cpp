// Second moments of a linear's inputs, summed by the backend.
#include "quant/hessian.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace halftone {

Hessian::Hessian(Backend& backend, int64_t inputs)
    : backend_(backend), sum_(backend.allocate(inputs, inputs, DType::f32)) {
  backend_.fill(sum_, 0);
}

Hessian::Hessian(Backend& backend, Tensor sum, int64_t tokens)
    : backend_(backend), sum_(std::move(sum)), tokens_(tokens) {
  assert(sum_.rows() == sum_.cols());
}

void Hessian::accumulate(ConstView x, ConstView row_weights) {
  assert(x.cols == inputs());
  backend_.accumulate_hessian(x, row_weights, sum_);
  tokens_ += x.rows;
  diagonal_.clear();
}

const std::vector<float>& Hessian::diagonal() const {
  if (!diagonal_.empty()) return diagonal_;
  const int64_t n = inputs();
  diagonal_.resize(static_cast<size_t>(n));
  const ConstView device{sum_.view().data, n, 1, n + 1, DType::f32, sum_.view().place};
  backend_.download(device, View{diagonal_.data(), n, 1, 1, DType::f32, Place::host});
  return diagonal_;
}

bool Hessian::finite() const {
  return std::ranges::all_of(diagonal(), [](float value) { return std::isfinite(value); });
}

}  // namespace halftone
