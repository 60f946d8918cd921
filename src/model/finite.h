// Whether values are numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/tensor.h"

namespace halftone {

struct NotFinite {
  int64_t row = 0, col = 0;
  bool nan = false;  // else infinite
};
// The first value of a host matrix (f32, bf16 or f16) that is NaN or infinite.
std::optional<NotFinite> find_not_finite(ConstView x);
// Throws Error(bad_input) naming the first such value of rows [row_begin, …) of a tensor.
void check_finite(std::string_view tensor, int64_t row_begin, ConstView rows);

}  // namespace halftone
