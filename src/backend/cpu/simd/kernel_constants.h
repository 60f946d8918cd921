// Numbers that the kernels of every instruction set share.
#pragma once

namespace halftone::simd {

inline constexpr double kTwoOverPi = 0.63661977236758134308;
inline constexpr double kHalfPi = 1.57079632679489661923;
inline constexpr float kLog2E = 1.44269504f;

// A score that no query has: finite, so that the difference of two is never NaN.
inline constexpr float kNoScore = -1e30f;
// A key that a query does not see; its weight is exactly zero.
inline constexpr float kMasked = -__builtin_inff();

}  // namespace halftone::simd
