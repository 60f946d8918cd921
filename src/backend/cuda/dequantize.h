// What codes on the device stand for.
#pragma once

#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

// A quantized matrix, everything contiguous on the device.
struct DeviceCodes {
  const uint8_t* codes;     // (rows, cols)
  ConstView scales, zeros;  // (rows, groups); zeros u8, or offsets f32
  const int32_t* group_of;  // (cols)
  LevelTable table = LevelTable::even;
  DType rounded_to = DType::f32;  // values are rounded to this, then stored as out's
};
void dequantize(Context& context, const DeviceCodes& codes, View out, cudaStream_t stream);

}  // namespace halftone::cuda
