// What a backend gets for free: fused operations composed of the primitives.
#include "backend/backend.h"

#include <algorithm>

#include "backend/block_fit.h"

namespace halftone {

void Backend::download_beside(Event, ConstView device, View host) { download(device, host); }

Event Backend::transfer(std::span<const Event>, ConstView from, View to) {
  if (from.place == Place::host)
    upload(from, to);
  else
    download(from, to);
  return 0;
}

std::unique_ptr<Weight> Backend::prepare(const QuantizedMatrix& weight, DType compute) {
  Tensor dense(host_allocator(), weight.rows, weight.cols, compute);
  dequantize(weight, 0, weight.rows, dense);
  return prepare(dense, compute);
}

std::unique_ptr<Weight> Backend::prepare(const CodeView& weight, DType compute) {
  const int64_t rows = weight.codes.rows, cols = weight.codes.cols, groups = weight.scales.cols;
  QuantizedMatrix matrix{.rows = rows, .cols = cols};
  matrix.group_of.assign(weight.group_of.begin(), weight.group_of.end());
  matrix.grid.table = weight.table;
  matrix.grid.offsets = weight.zeros.dtype == DType::f32;
  matrix.resize(groups);
  download(weight.codes, View{matrix.codes.data(), rows, cols, cols, DType::u8});
  download(weight.scales, View{matrix.scales.data(), rows, groups, groups, DType::f32});
  if (matrix.grid.offsets)
    download(weight.zeros, View{matrix.offsets.data(), rows, groups, groups, DType::f32});
  else
    download(weight.zeros, View{matrix.zeros.data(), rows, groups, groups, DType::u8});
  return prepare(matrix, compute);
}

void Backend::fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                         View offsets) {
  if (place() == Place::host)
    return fit_block_rows(host_threads(), fit, w, importance, scales, offsets);
  const Tensor counts(host_allocator(), importance.rows, importance.cols, DType::f32);
  if (!importance.empty()) download(importance, counts);
  constexpr int64_t kMostWeights = int64_t{1} << 20;  // that the host takes at a time
  const int64_t most = std::max(int64_t{1}, kMostWeights / w.cols);
  for (int64_t begin = 0; begin < w.rows; begin += most) {
    const int64_t end = std::min(w.rows, begin + most);
    const Tensor weights(host_allocator(), end - begin, w.cols, DType::f32);
    const Tensor found(host_allocator(), end - begin, scales.cols, DType::f32);
    const Tensor found_offsets(host_allocator(), fit.grid.offsets ? end - begin : 0, scales.cols,
                               DType::f32);
    download(w.rows_of(begin, end), weights);
    fit_block_rows(host_threads(), fit, weights, counts, found, found_offsets);
    upload(found, scales.rows_of(begin, end));
    if (fit.grid.offsets) upload(found_offsets, offsets.rows_of(begin, end));
  }
}

void Backend::add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec, View y) {
  add(residual, x, residual);
  norm(residual, gain, spec, y);
}

}  // namespace halftone
