// Making the CPU backend, and the operations that are functions of quant_ops.h.
#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "backend/block_fit.h"
#include "backend/cpu/cpu_operations.h"
#include "backend/cpu/quant_ops.h"
#include "backend/cpu/simd/quantizer_kernels.h"
#include "base/count_text.h"

namespace halftone {

namespace {

simd::Isa isa_of(Instructions instructions) {
  switch (instructions) {
    case Instructions::earlier:
      return simd::Isa::avx2;
    case Instructions::oldest:
      return simd::Isa::scalar;
    default:
      return simd::detect_isa();
  }
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<cpu::CpuBackend>(options, isa_of(options.instructions));
}

namespace cpu {
namespace {

// The elements that a thread should get at least: about ten microseconds' work.
constexpr int64_t kElementsPerChunk = 1 << 14;

// A matrix of so many bytes is where memory peaks (a Hessian, a factor): scratch that idles makes
// room for it, and its pages are touched again later, which is little beside such a matrix's work.
constexpr int64_t kLargeMatrix = int64_t{32} << 20;

// "model name : AMD EPYC 9B14" of /proc/cpuinfo.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "x86-64 processor";
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options, simd::Isa isa)
    : pool_(options.threads),
      kernels_(simd::kernels_for(std::min(isa, simd::detect_isa()))),
      scratch_(allocator_) {
  info_.backend = "cpu";
  info_.threads = pool_.size();
  info_.device = fmt::format("{}, {}", processor_name(), count_text(info_.threads, "thread"));
  info_.instructions = effective_instructions();
  info_.native_bf16 = info_.instructions == "amx_bf16" || info_.instructions == "avx512_bf16";
}

Tensor CpuBackend::allocate(int64_t rows, int64_t cols, DType dtype) {
  if (View{nullptr, rows, cols, cols, dtype}.bytes() >= kLargeMatrix) scratch_.release_idle();
  return Tensor(allocator_, rows, cols, dtype);
}

void CpuBackend::for_rows(int64_t rows, int64_t cols, const std::function<void(int64_t)>& body) {
  const int64_t grain = std::max<int64_t>(1, kElementsPerChunk / std::max<int64_t>(cols, 1));
  pool_.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

void CpuBackend::accumulate_hessian(ConstView x, ConstView row_weights, View h) {
  cpu_accumulate_hessian({.pool = pool_,
                          .matmul = matmul_,
                          .scratch = scratch_,
                          .isa = kernels_.isa,
                          .native_bf16 = info_.native_bf16},
                         x, row_weights, h);
}

void CpuBackend::gather_symmetric(ConstView h, std::span<const int32_t> order, double dead_diagonal,
                                  double damping, View out) {
  cpu_gather_symmetric(pool_, h, order, dead_diagonal, damping, out);
}

void CpuBackend::factor_ldl(View a, View status) { cpu_factor_ldl(pool_, a, status); }

void CpuBackend::gather_columns(ConstView w, std::span<const int32_t> order, View out) {
  cpu_gather_columns(pool_, w, order, out);
}

void CpuBackend::fit_grid(ConstView w, const GridFit& fit, ConstView importance, View scales,
                          View zeros) {
  cpu_fit_grid(pool_, kernels_.isa, {w, importance}, fit, scales, zeros);
}

void CpuBackend::fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                            View offsets) {
  fit_block_rows(pool_, fit, w, importance, scales, offsets,
                 simd::quantizer_kernels_for(kernels_.isa).fit_block_row);
}

void CpuBackend::quantize_columns(ConstView w, View target, ConstView factor,
                                  const ColumnBlock& block, const Grid& grid, ConstView scales,
                                  ConstView zeros, View codes, View errors) {
  cpu_quantize_columns(pool_, kernels_.isa, w, target, factor, block, grid, scales, zeros, codes,
                       errors);
}

void CpuBackend::encode(ConstView w, const Grid& grid, const CodeView& q) {
  cpu_encode(pool_, w, grid, q);
}

void CpuBackend::code_errors(ConstView w, const CodeView& q, View errors) {
  cpu_code_errors(pool_, w, q, errors);
}

void CpuBackend::add_squares(ConstView m, std::span<const double> weights, View sum) {
  cpu_add_squares(pool_, m, weights, sum);
}

void CpuBackend::copy_diagonal_blocks(ConstView a, View blocks) {
  cpu_copy_diagonal_blocks(pool_, a, blocks);
}

void CpuBackend::multiply_add(ConstView a, ConstView b, View c, Products) {
  cpu_multiply_add(pool_, a, b, c);
}

}  // namespace cpu
}  // namespace halftone
