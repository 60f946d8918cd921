// Our own vector kernels: each algorithm is written once (*.inl) over a vector type and compiled
// for every instruction set; a table of functions is chosen once, at run time.
#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"

namespace halftone::simd {

enum class Isa : uint8_t { scalar, avx2, avx512, avx512_bf16, amx };

// The newest that this processor and system have.
Isa detect_isa();

// Whether attend_bf16() is faster than attend(): by AMX it is; vdpbf16ps multiplies twice as fast
// as f32's FMA on AMD's Zen 4 and 5, but half as fast on Intel's processors.
bool has_fast_bf16_products(Isa isa);

// A run of elements of f32, bf16 or f16; arithmetic is in f32.
struct Source {
  const void* data = nullptr;
  DType dtype = DType::f32;
};
struct Target {
  void* data = nullptr;
  DType dtype = DType::f32;
};

// Row `row` of a view from column `col` on.
inline Source source(ConstView x, int64_t row, int64_t col = 0) {
  const int64_t offset = (row * x.ld + col) * static_cast<int64_t>(size_of(x.dtype));
  return {static_cast<const std::byte*>(x.data) + offset, x.dtype};
}
inline Target target(View y, int64_t row, int64_t col = 0) {
  const int64_t offset = (row * y.ld + col) * static_cast<int64_t>(size_of(y.dtype));
  return {static_cast<std::byte*>(y.data) + offset, y.dtype};
}

// One head's halves (x_i, x_{i+half}) turned by the angles of one row.
struct Rotation {
  const float* cosine = nullptr;  // half
  const float* sine = nullptr;
  int64_t half = 0;
};

// The largest of a row and the first place where it stands.
struct Largest {
  float value = 0;
  int64_t index = 0;
};

// Σ exp(x_i − max x) of a model's and of a base's logits, and Σ exp(b_i − max b) · ((b_i − max b) −
// (x_i − max x)).
struct DivergenceSums {
  double model = 0, base = 0, weighted = 0;
};

// A block of queries of one sequence that share a key-value head, for all of its query heads.
// Row r of the task is query r / group, head r % group.
struct AttentionTask {
  ConstView q, k, v;  // q: (queries, ≥ group·head_dim) from the first head on; k, v: (keys,
  View y;             // ≥ head_dim) of the head; y as q
  int64_t group = 1;  // query heads to the key-value head
  int64_t first_position = 0;  // of the first query, counted in keys
  const AttentionSpec* spec = nullptr;
  void* scratch = nullptr;  // attention_scratch_bytes() of it
};

struct Kernels {
  Isa isa = Isa::scalar;
  void (*convert)(Source x, Target y, int64_t count);
  void (*scale)(Source x, float factor, Target y, int64_t count);
  void (*add)(Source a, Source b, Target y, int64_t count);
  void (*gated_activation)(Source gate, Source up, Activation act, Target y, int64_t count);
  void (*softcap)(Target x, float cap, int64_t count);
  void (*norm)(Source x, Source gain, const NormSpec& spec, Target y, int64_t count);
  // cosine and sine of position · frequency, both times magnitude; the angle is rounded to f32.
  void (*angles)(float position, std::span<const float> frequencies, float magnitude, float* cosine,
                 float* sine);
  void (*rotate)(Source x, const Rotation& rotation, Target y);
  Largest (*largest)(const float* x, int64_t count);
  double (*sum_exp)(const float* x, float shift, int64_t count);  // Σ exp(x_i − shift)
  DivergenceSums (*divergence)(const float* x, float x_shift, const float* base, float base_shift,
                               int64_t count);
  // Whether attend() multiplies in bf16; then q, k and v are all bf16.
  void (*attend)(const AttentionTask& task);
  void (*attend_bf16)(const AttentionTask& task);  // null where the processor lacks bf16 products
};

// What a task of `rows` = queries · group rows needs.
int64_t attention_scratch_bytes(int64_t rows, int64_t head_dim);

// The table for an instruction set that the processor has.
const Kernels& kernels_for(Isa isa);

// One table a translation unit, compiled for its instruction set.
extern const Kernels kScalarKernels, kAvx2Kernels, kAvx512Kernels;
void attend_avx512_bf16(const AttentionTask& task);
void attend_amx(const AttentionTask& task);

}  // namespace halftone::simd
