// Scales and offsets of ggml's grids by backend/block_search.h: a thread a group, whose weights lie
// in shared memory, side by side with those of its neighbours; the groups of a superblock are lanes
// of one warp and add their losses in the host's order. Compiled without fused multiply-adds, so
// that every sum is the host's, bit for bit.
#include <cassert>

#include "backend/block_search.h"
#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

struct BlockProblem {
  const float* w;
  const float* importance;  // of each column; null: all alike
  float* scales;
  float* offsets;  // null: none
  int64_t w_ld, scales_ld, offsets_ld;
  int64_t groups, total;  // of a row, of all rows
  BlockGrid grid;
};

// A group's weights; weight i lies at i · kStride.
template <int kStride>
struct Group {
  const float* weights;
  const float* counts;
  int count;
  constexpr float weight(int i) const { return weights[i * kStride]; }
  constexpr float importance(int i) const { return counts[i * kStride]; }
};

using Search = BlockSearch<float, LevelLookup>;

// The values of the unit that costs the superblock's groups together least. All lanes of a warp
// call it.
template <int kThreads>
__device__ GroupScale fit_superblock(const Search& search, const Group<kThreads>& group,
                                     int lanes) {
  const int first = static_cast<int>(threadIdx.x) % 32 / lanes * lanes;
  const auto of_lane = [first](float value, int i) { return __shfl_sync(~0u, value, first + i); };
  Search::Member member = search.member(group);
  for (int i = 0; i < lanes; ++i) {
    const GroupScale other{of_lane(member.wanted.scale, i), of_lane(member.wanted.offset, i)};
    if (Search::magnitude(other.scale) > Search::magnitude(member.largest.scale))
      member.largest.scale = other.scale;
    member.largest.offset = fmaxf(member.largest.offset, other.offset);
  }
  for (int i = 0; i < search.trials(); ++i) {
    const Search::Found found = search.try_unit(group, member, i);
    float sum = 0;
    for (int lane = 0; lane < lanes; ++lane) sum += of_lane(found.loss, lane);
    search.take_unit(found.values, sum, i, member);
  }
  return search.found(member);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) fit_groups(const __grid_constant__ BlockProblem p) {
  extern __shared__ float shared[];
  float* levels = shared;
  const int width = p.grid.width, lanes = p.grid.together;
  float* weights = shared + BlockGrid::kWholes + threadIdx.x;
  float* counts = weights + width * kThreads;
  if (!p.grid.even)
    for (int i = threadIdx.x; i < BlockGrid::kWholes; i += kThreads) levels[i] = p.grid.nearest[i];

  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const bool stores = index < p.total;  // the others go along, for the sake of their warp
  const int64_t own = stores ? index : static_cast<int>(threadIdx.x) % lanes;
  const int64_t row = own / p.groups, at = own % p.groups;
  for (int i = 0; i < width; ++i) {
    const int64_t column = at * width + i;
    weights[i * kThreads] = p.w[row * p.w_ld + column];
    counts[i * kThreads] = p.importance == nullptr ? 1.0f : p.importance[column];
  }
  __syncthreads();

  const Search search(p.grid, {levels});
  const Group<kThreads> group{weights, counts, width};
  const GroupScale found =
      p.grid.superblocks ? fit_superblock(search, group, lanes) : search.stored(search.fit(group));
  if (!stores) return;
  p.scales[row * p.scales_ld + at] = found.scale;
  if (p.offsets != nullptr) p.offsets[row * p.offsets_ld + at] = found.offset;
}

template <int kThreads>
void launch(Context& context, const BlockProblem& problem) {
  const size_t bytes =
      (BlockGrid::kWholes + size_t{2} * kThreads * static_cast<size_t>(problem.grid.width)) * 4;
  const auto blocks = static_cast<unsigned>((problem.total + kThreads - 1) / kThreads);
  fit_groups<kThreads><<<blocks, kThreads, bytes, context.compute()>>>(problem);
  check_launch("fit_blocks");
}

}  // namespace

bool fit_blocks(Context& context, const GridInputs& inputs, const GridFit& fit,
                const GridResults& results) {
  const auto& [w, importance] = inputs;
  const auto& [scales, offsets] = results;
  const BlockGrid grid = block_grid(fit, !importance.empty());
  const int64_t groups = w.cols / grid.width;
  assert(w.dtype == DType::f32 && groups * grid.width == w.cols);
  assert(groups % grid.together == 0 && fit.grid.offsets == !offsets.empty());
  assert(importance.empty() || (importance.dtype == DType::f32 && importance.cols == w.cols));
  assert(grid.together <= 32 && 32 % grid.together == 0);  // lanes of one warp
  if (grid.width > 128) return false;
  if (w.empty()) return true;
  const BlockProblem problem{.w = w.row<float>(0),
                             .importance = importance.empty() ? nullptr : importance.row<float>(0),
                             .scales = scales.row<float>(0),
                             .offsets = offsets.empty() ? nullptr : offsets.row<float>(0),
                             .w_ld = w.ld,
                             .scales_ld = scales.ld,
                             .offsets_ld = offsets.ld,
                             .groups = groups,
                             .total = w.rows * groups,
                             .grid = grid};
  // 48 KB of shared memory hold two numbers for each weight.
  if (grid.width <= 32)
    launch<128>(context, problem);
  else
    launch<32>(context, problem);
  return true;
}

}  // namespace halftone::cuda
