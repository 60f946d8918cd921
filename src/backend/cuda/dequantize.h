// What codes on the device stand for.
#pragma once

#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

// A quantized matrix, everything contiguous on the device.
struct DeviceCodes {
  const uint8_t* codes;     // (rows, cols)
  const float* scales;      // (rows, groups)
  const uint8_t* zeros;     // (rows, groups)
  const int32_t* group_of;  // (cols)
  int64_t groups = 0;
  DType rounded_to = DType::f32;  // scale · (code − zero) is rounded to this, then stored as out's
};
void dequantize(Context& context, const DeviceCodes& codes, View out, cudaStream_t stream);

}  // namespace halftone::cuda
