// A device's weights travel to the host in panels of rows, are fitted by its threads, and what was
// found travels back.
#include "quant/fit_scales.h"

#include <algorithm>

#include "quant/block_fit.h"

namespace halftone {
namespace {

// All on the host.
void fit_rows(ThreadPool& threads, ConstView w, const GridFit& fit, View scales, View offsets,
              std::span<const float> importance) {
  threads.parallel_for(w.rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      fit_block_row(fit, {{w.row<float>(row), static_cast<size_t>(w.cols)}, importance},
                    scales.row<float>(row), fit.grid.offsets ? offsets.row<float>(row) : nullptr);
  });
}

void fit_panel(Backend& backend, ConstView w, const GridFit& fit, View scales, View offsets,
               std::span<const float> importance) {
  Allocator& host = backend.host_allocator();
  const Tensor weights(host, w.rows, w.cols, DType::f32);
  const Tensor found(host, w.rows, scales.cols, DType::f32);
  const Tensor found_offsets(host, fit.grid.offsets ? w.rows : 0, scales.cols, DType::f32);
  backend.download(w, weights);
  fit_rows(backend.host_threads(), weights, fit, found, found_offsets, importance);
  backend.upload(found, scales);
  if (fit.grid.offsets) backend.upload(found_offsets, offsets);
}

void store_zeros(Backend& backend, const Grid& grid, View zeros) {
  const Tensor host(backend.host_allocator(), zeros.rows, zeros.cols, DType::u8);
  const auto zero = static_cast<uint8_t>(grid.symmetric_zero());
  std::fill_n(host.row<uint8_t>(0), zeros.rows * zeros.cols, zero);
  backend.upload(host, zeros);
}

}  // namespace

void fit_scales(Backend& backend, ConstView w, const GridFit& fit, View scales, View zeros,
                std::span<const float> importance) {
  const Grid& grid = fit.grid;
  if (fits_on_device(grid)) {
    if (fit.search != ScaleSearch::importance) importance = {};
    const Tensor counts = backend.allocate(importance.empty() ? 0 : 1, w.cols, DType::f32);
    if (!importance.empty())
      backend.upload({importance.data(), 1, w.cols, w.cols, DType::f32, Place::host}, counts);
    return backend.fit_grid(w, fit, counts, scales, zeros);
  }
  if (!grid.offsets) store_zeros(backend, grid, zeros);
  if (backend.place() == Place::host)
    return fit_rows(backend.host_threads(), w, fit, scales, zeros, importance);
  const int64_t most = std::max(int64_t{1}, kMostFitWeights / w.cols);
  for (int64_t begin = 0; begin < w.rows; begin += most) {
    const int64_t end = std::min(w.rows, begin + most);
    fit_panel(backend, w.rows_of(begin, end), fit, scales.rows_of(begin, end),
              zeros.rows_of(begin, end), importance);
  }
}

}  // namespace halftone
