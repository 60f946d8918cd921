// CUDA: linear layers through cuBLASLt. Its fast kernels want matrices at multiples of 16 bytes;
// what is not is copied first, or after. Where it has no f32 bias for bf16 results, tiles of f32
// results are rounded after the bias is added.
#include <algorithm>
#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/cuda_weight.h"

namespace halftone::cuda {
namespace {

constexpr int64_t kTileBytes = int64_t{128} << 20;  // of f32 results: products of full speed

int64_t padded(int64_t count) { return (count + 7) / 8 * 8; }

bool aligned(ConstView view) {
  const int64_t size = static_cast<int64_t>(size_of(view.dtype));
  return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && view.ld * size % 16 == 0 &&
         view.cols * size % 16 == 0;
}

class LinearRun {
 public:
  LinearRun(Context& context, const CudaWeight& weight, ConstView bias)
      : context_(context), weight_(weight.view()), bias_(static_cast<const float*>(bias.data)) {
    weight_.cols = weight_.ld;  // what was padded are zeros
  }

  void run(ConstView x, const LinearResult& result) {
    const View y = result.y;
    if (x.dtype != weight_.dtype || !aligned(x) || x.cols != weight_.cols) {
      const Tensor packed = context_.temporary(x.rows, weight_.cols, weight_.dtype);
      if (x.cols != weight_.cols) context_.zero(packed);
      copy(context_, x, packed.view().cols_of(0, x.cols), context_.compute());
      return multiply(packed, y, result.accumulate);
    }
    multiply(x, y, result.accumulate);
  }

 private:
  void multiply(ConstView x, View y, bool accumulate) {
    const LinearProduct direct{
        .x = x, .w = weight_, .bias = bias_, .y = y, .accumulate = accumulate};
    const bool possible = aligned(y) && (y.dtype == DType::f32 || weight_.dtype == y.dtype);
    if (possible && context_.matmul().serves(direct)) return product(direct);
    const int64_t width = padded(y.cols);
    const int64_t rows =
        std::clamp<int64_t>(kTileBytes / (width * 4) / 128 * 128, 128, x.rows > 128 ? x.rows : 128);
    const Tensor tile = context_.temporary(std::min(rows, x.rows), width, DType::f32);
    for (int64_t row = 0; row < x.rows; row += rows) {
      const int64_t end = std::min(row + rows, x.rows);
      const View part = tile.view().rows_of(0, end - row).cols_of(0, y.cols);
      const View target = y.rows_of(row, end);
      if (accumulate) copy(context_, target, part, context_.compute());
      product({.x = x.rows_of(row, end),
               .w = weight_,
               .bias = bias_,
               .y = part,
               .accumulate = accumulate});
      copy(context_, part, target, context_.compute());
    }
  }

  void product(const LinearProduct& product) {
    context_.matmul().run(product, context_.workspace(), context_.compute());
  }

  Context& context_;
  ConstView weight_;
  const float* bias_;
};

}  // namespace

void linear(Context& context, ConstView x, const Weight& weight, ConstView bias,
            const LinearResult& result) {
  const auto& prepared = static_cast<const CudaWeight&>(weight);
  assert(x.cols == weight.cols && result.y.cols == weight.rows && x.rows == result.y.rows);
  assert(bias.empty() || (bias.cols == weight.rows && bias.dtype == DType::f32));
  assert(!result.accumulate || result.y.dtype == DType::f32);
  if (result.y.empty()) return;
  prepared.await();
  LinearRun(context, prepared, bias).run(x, result);
}

}  // namespace halftone::cuda
