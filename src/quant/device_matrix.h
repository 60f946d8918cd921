// A quantized matrix as it lies on the device while it is made.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "tensor/quantized.h"

namespace halftone {

struct DeviceMatrix {
  DeviceMatrix(Backend& backend, const Grid& grid, int64_t rows, int64_t cols);

  CodeView view() const { return {codes, scales, zeros, group_of, grid.table}; }
  int64_t rows() const { return codes.rows(); }
  int64_t cols() const { return codes.cols(); }
  // Waits for the device.
  QuantizedMatrix download(Backend& backend) const;
  // By Backend::download_beside(): from any thread.
  QuantizedMatrix download(Backend& backend, Event ready) const;

  Grid grid;
  Tensor codes;                   // (rows, cols) u8, original order
  Tensor scales, zeros;           // (rows, groups) f32, u8; or offsets, f32
  std::vector<int32_t> group_of;  // (cols): groups of neighbouring columns

 private:
  template <class Read>
  QuantizedMatrix read_with(Read read) const;
};

}  // namespace halftone
