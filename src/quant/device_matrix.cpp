// Memory of a quantized matrix on the device, and its way to the host.
#include "quant/device_matrix.h"

namespace halftone {

DeviceMatrix::DeviceMatrix(Backend& backend, const Grid& matrix_grid, int64_t rows, int64_t cols)
    : grid(matrix_grid),
      codes(backend.allocate(rows, cols, DType::u8)),
      scales(backend.allocate(rows, grid.groups(cols), DType::f32)),
      zeros(backend.allocate(rows, grid.groups(cols), grid.offsets ? DType::f32 : DType::u8)) {
  for (int64_t c = 0; c < cols; ++c)
    group_of.push_back(static_cast<int32_t>(c / grid.group_width(cols)));
}

template <class Read>
QuantizedMatrix DeviceMatrix::read_with(Read read) const {
  const int64_t rows = codes.rows(), cols = codes.cols(), groups = scales.cols();
  QuantizedMatrix matrix{.grid = grid, .rows = rows, .cols = cols};
  matrix.resize(groups);
  read(codes, View{matrix.codes.data(), rows, cols, cols, DType::u8});
  read(scales, View{matrix.scales.data(), rows, groups, groups, DType::f32});
  if (grid.offsets)
    read(zeros, View{matrix.offsets.data(), rows, groups, groups, DType::f32});
  else
    read(zeros, View{matrix.zeros.data(), rows, groups, groups, DType::u8});
  return matrix;
}

QuantizedMatrix DeviceMatrix::download(Backend& backend) const {
  return read_with([&](ConstView from, View to) { backend.download(from, to); });
}

QuantizedMatrix DeviceMatrix::download(Backend& backend, Event ready) const {
  return read_with([&](ConstView from, View to) { backend.download_beside(ready, from, to); });
}

}  // namespace halftone
