// The operations on CUDA, one .cu each: what CudaBackend's virtuals of the same names call. Each is
// defined at the virtual's declaration in backend/backend.h; all queue on the compute stream. None
// uses float atomics: the same arguments give the same bytes.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

// copy.cu
void copy(Context& context, ConstView from, View to, cudaStream_t stream);
void fill(Context& context, View x, float value);

// linear.cpp; the weight is prepare_weight()'s (cuda_weight.h)
struct LinearResult {
  View y;
  bool accumulate = false;
};
void linear(Context& context, ConstView x, const Weight& weight, ConstView bias,
            const LinearResult& result);

// embed.cu, norm.cu, rope.cu, attention.cu, activation.cu
void embed(Context& context, std::span<const int32_t> ids, ConstView table, float scale, View y);
void norm(Context& context, ConstView x, ConstView gain, const NormSpec& spec, View y);
struct Addition {
  ConstView x;
  View residual;  // += x
};
void add_norm(Context& context, const Addition& addition, ConstView gain, const NormSpec& spec,
              View y);
struct Rotation {
  std::span<const int32_t> positions;
  ConstView frequencies;
  const RopeSpec& spec;
};
void rope(Context& context, ConstView x, const Rotation& rotation, View y);
struct AttentionInputs {
  ConstView q, k, v;
};
void attention(Context& context, const AttentionInputs& inputs, std::span<const Sequence> sequences,
               const AttentionSpec& spec, View y);
void gated_activation(Context& context, ConstView gate, ConstView up, Activation act, View y);
void add(Context& context, ConstView a, ConstView b, View y);
void softcap(Context& context, View x, float cap);

// score.cu
void score(Context& context, ConstView logits, ConstView base_logits,
           std::span<const int32_t> targets, View scores);

// The quantizer's: accumulate_hessian.cu, gather.cu, factor_ldl.cu, fit_grid.cu,
// fit_blocks.cu, quantize_columns.cu, codes.cu, multiply_add.cu
void accumulate_hessian(Context& context, ConstView x, ConstView row_weights, View h);
struct Damping {
  double dead_diagonal = 0, damping = 0;
};
void gather_symmetric(Context& context, ConstView h, std::span<const int32_t> order,
                      const Damping& damping, View out);
void factor_ldl(Context& context, View a, View status);
void gather_columns(Context& context, ConstView w, std::span<const int32_t> order, View out);
struct GridResults {
  View scales, zeros;  // of fit_blocks() offsets, or nothing
};
void fit_grid(Context& context, const GridInputs& inputs, const GridFit& fit,
              const GridResults& results);
// False, and nothing done, where groups have more than 128 weights.
bool fit_blocks(Context& context, const GridInputs& inputs, const GridFit& fit,
                const GridResults& results);
struct ColumnInputs {
  ConstView w, factor, scales, zeros;
};
struct ColumnResults {
  View target, codes, errors;
};
void quantize_columns(Context& context, const ColumnInputs& inputs, const ColumnBlock& block,
                      const Grid& grid, const ColumnResults& results);
void encode(Context& context, ConstView w, const Grid& grid, const CodeView& q);
void code_errors(Context& context, ConstView w, const CodeView& q, View errors);
void add_squares(Context& context, ConstView m, std::span<const double> weights, View sum);
void copy_diagonal_blocks(Context& context, ConstView a, View blocks);
struct ProductResult {
  View c;
  Products products = Products::full;
};
void multiply_add(Context& context, ConstView a, ConstView b, const ProductResult& result);

}  // namespace halftone::cuda
