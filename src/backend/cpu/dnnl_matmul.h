// The one place that knows oneDNN's interface, which differs between 2.x (Debian 12) and 3.x
// (Debian 13): y (rows, outputs) := x (rows, inputs) · Wᵀ + bias [+ y].
//
// oneDNN is built on OpenMP, which would cut sums by the number of threads. Each call here runs on
// the calling thread alone; the backend's pool hands out tiles of fixed size.
#pragma once

#include <compare>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/cpu/simd/kernels.h"
#include "base/thread_pool.h"
#include "tensor/tensor.h"

namespace halftone::cpu {

// What oneDNN compiles a kernel for. x and y are contiguous: for strided ones 2.x falls back to
// reference loops, a thousand times slower.
struct MatmulShape {
  int64_t rows = 0, inputs = 0, outputs = 0;
  DType compute = DType::f32;  // of x and W: f32 or bf16
  DType result = DType::f32;   // of y: f32 or bf16
  bool bias = false;           // f32
  bool accumulate = false;     // y f32
  auto operator<=>(const MatmulShape&) const = default;
};

// A weight in the blocked layout that oneDNN chose, and where the columns of Wᵀ can be cut.
struct PackedWeight {
  struct Slice {
    int64_t begin = 0, end = 0;  // outputs
    int64_t offset = 0;          // bytes from the start of `bytes`
    dnnl::memory::desc layout;
  };
  int64_t inputs = 0, outputs = 0;
  DType dtype = DType::f32;
  dnnl::memory::desc layout;
  std::vector<Slice> slices;  // cover all outputs; one when the layout cannot be cut
  Tensor bytes;
};

// A compiled product for one shape and weight layout. Copies are cheap: handles.
struct MatmulKernel {
  dnnl::matmul primitive;
  dnnl::memory::desc x, weight, bias, y, scratchpad;
  int64_t scratch_bytes = 0;
};

// How a block of Wᵀ (inputs, outputs ≤ kPackColumns) that lives for one product becomes what oneDNN
// wants. It is staged as rows of kPackColumns 32-bit words, a float or two neighbouring inputs in
// bf16, zeros beyond the edges, which is oneDNN's own layout on most processors.
inline constexpr int64_t kPackColumns = 64;
struct PackKernel {
  dnnl::reorder primitive;  // not used when direct
  dnnl::memory::desc staged, layout;
  bool direct = false;  // staged is the layout
  int64_t staged_bytes = 0, bytes = 0;
};

struct MatmulOperands {
  const void* x = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;
  void* y = nullptr;
  void* scratch = nullptr;  // MatmulKernel::scratch_bytes, 64-byte aligned
};

class MatmulEngine {
 public:
  MatmulEngine();

  // W (outputs, inputs), f32, bf16 or f16, rounded to `dtype` (f32 or bf16).
  PackedWeight pack(ConstView weight, DType dtype, Allocator& allocator, ThreadPool& pool,
                    const simd::Kernels& kernels);

  // Compiled at the first call for a shape, then remembered. Any thread may call.
  MatmulKernel kernel(const MatmulShape& shape, const dnnl::memory::desc& weight);

  void run(const MatmulKernel& kernel, const MatmulOperands& operands);

  // Compiled at the first call for a shape, like kernel().
  PackKernel pack_kernel(int64_t inputs, int64_t outputs, DType dtype);
  void run(const PackKernel& kernel, const void* staged, void* packed);

 private:
  MatmulKernel compile(const MatmulShape& shape, const dnnl::memory::desc& weight) const;
  std::vector<PackedWeight::Slice> slices_of(const PackedWeight& weight) const;

  using Key = std::pair<MatmulShape, dnnl::memory::dims>;

  dnnl::engine engine_;
  std::mutex mutex_;
  std::map<Key, MatmulKernel> kernels_;
  std::map<std::tuple<int64_t, int64_t, DType>, PackKernel> pack_kernels_;
};

// The newest instructions that oneDNN will use here: "amx_bf16", "avx512_bf16", "avx512", "avx2" or
// "sse41".
std::string effective_instructions();

}  // namespace halftone::cpu
