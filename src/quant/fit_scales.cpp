#include "quant/fit_scales.h"

#include <algorithm>

namespace halftone {
namespace {

void store_zeros(Backend& backend, const Grid& grid, View zeros) {
  const Tensor host(backend.host_allocator(), zeros.rows, zeros.cols, DType::u8);
  const auto zero = static_cast<uint8_t>(grid.symmetric_zero());
  std::fill_n(host.row<uint8_t>(0), zeros.rows * zeros.cols, zero);
  backend.upload(host, zeros);
}

}  // namespace

void fit_scales(Backend& backend, ConstView w, const GridFit& fit, View scales, View zeros,
                std::span<const float> importance) {
  if (fit.search != ScaleSearch::importance) importance = {};
  const Tensor counts = backend.allocate(importance.empty() ? 0 : 1, w.cols, DType::f32);
  if (!importance.empty())
    backend.upload({importance.data(), 1, w.cols, w.cols, DType::f32, Place::host}, counts);
  if (has_plain_levels(fit.grid)) return backend.fit_grid(w, fit, counts, scales, zeros);
  if (!fit.grid.offsets) store_zeros(backend, fit.grid, zeros);
  backend.fit_blocks(w, fit, counts, scales, fit.grid.offsets ? zeros : View{});
}

}  // namespace halftone
