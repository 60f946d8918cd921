// GPTQ's inner loop (docs/methods.md §3) over a block of columns. Rows do not depend on each other:
// panels of rows are turned so that a vector holds one column of many rows.
#include <algorithm>
#include <cassert>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/simd/quantizer_kernels.h"

namespace halftone::cpu {
namespace {

using simd::kPanelRows;

// The groups that occur in a block, and each column's place among them: with activation order a
// block meets any of them, without it one or two.
struct BlockGroups {
  std::vector<int32_t> groups, group_of;

  explicit BlockGroups(const ColumnBlock& block) {
    const auto columns = block.group_of.subspan(static_cast<size_t>(block.begin),
                                                static_cast<size_t>(block.end - block.begin));
    groups.assign(columns.begin(), columns.end());
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    for (int32_t group : columns)
      group_of.push_back(static_cast<int32_t>(
          std::lower_bound(groups.begin(), groups.end(), group) - groups.begin()));
  }
};

struct Operands {
  ConstView w, scales, zeros;
  View target, codes, errors;
  int64_t begin = 0;  // the block's first column
};

// Copies of a panel's operands, turned. Rows beyond the last have weight 0 and scale 1.
class TurnedPanel {
 public:
  TurnedPanel(const BlockGroups& groups, ConstView factor, const ColumnBlock& block,
              const Grid& grid)
      : groups_(groups),
        columns_(block.end - block.begin),
        target_(static_cast<size_t>(columns_ * kPanelRows)),
        errors_(target_.size()),
        codes_(target_.size()),
        scales_(groups.groups.size() * kPanelRows, 1.0f),
        zeros_(scales_.size(), 0.0f) {
    panel_ = {.columns = columns_,
              .target = target_.data(),
              .errors = errors_.data(),
              .codes = codes_.data(),
              .scales = scales_.data(),
              .zeros = zeros_.data(),
              .group_of = groups.group_of.data(),
              .factor = factor.row<float>(block.begin) + block.begin,
              .factor_ld = factor.ld,
              .largest_code = static_cast<float>(grid.levels() - 1),
              .offsets = grid.offsets,
              .levels = levels_of(grid.table).data()};
  }

  const simd::ColumnPanel& panel() const { return panel_; }

  void read(const Operands& from, int64_t row_begin, int64_t row_end) {
    if (row_end - row_begin < kPanelRows) {
      std::fill(target_.begin(), target_.end(), 0.0f);
      std::fill(errors_.begin(), errors_.end(), 0.0f);
      std::fill(scales_.begin(), scales_.end(), 1.0f);
      std::fill(zeros_.begin(), zeros_.end(), 0.0f);
    }
    for (int64_t row = row_begin; row < row_end; ++row) {
      const size_t lane = static_cast<size_t>(row - row_begin);
      const float* target = from.target.row<float>(row) + from.begin;
      const float* weights = from.w.row<float>(row) + from.begin;
      for (int64_t k = 0; k < columns_; ++k) {
        const size_t at = static_cast<size_t>(k * kPanelRows) + lane;
        target_[at] = target[k];
        errors_[at] = weights[k];
      }
      for (size_t i = 0; i < groups_.groups.size(); ++i) {
        scales_[i * kPanelRows + lane] = from.scales.row<float>(row)[groups_.groups[i]];
        zeros_[i * kPanelRows + lane] = from.zeros.dtype == DType::f32
                                            ? from.zeros.row<float>(row)[groups_.groups[i]]
                                            : from.zeros.row<uint8_t>(row)[groups_.groups[i]];
      }
    }
  }

  void write(const Operands& to, int64_t row_begin, int64_t row_end) const {
    for (int64_t row = row_begin; row < row_end; ++row) {
      const size_t lane = static_cast<size_t>(row - row_begin);
      float* target = to.target.row<float>(row) + to.begin;
      float* errors = to.errors.row<float>(row);
      uint8_t* codes = to.codes.row<uint8_t>(row) + to.begin;
      for (int64_t k = 0; k < columns_; ++k) {
        const size_t at = static_cast<size_t>(k * kPanelRows) + lane;
        target[k] = target_[at];
        errors[k] = errors_[at];
        codes[k] = codes_[at];
      }
    }
  }

 private:
  const BlockGroups& groups_;
  int64_t columns_;
  std::vector<float> target_, errors_;
  std::vector<uint8_t> codes_;
  std::vector<float> scales_, zeros_;
  simd::ColumnPanel panel_;
};

}  // namespace

void cpu_quantize_columns(ThreadPool& pool, simd::Isa isa, ConstView w, View target,
                          ConstView factor, const ColumnBlock& block, const Grid& grid,
                          ConstView scales, ConstView zeros, View codes, View errors) {
  assert(w.dtype == DType::f32 && target.dtype == DType::f32 && factor.dtype == DType::f32);
  assert(scales.dtype == DType::f32 && codes.dtype == DType::u8);
  assert(errors.dtype == DType::f32 && errors.cols >= block.end - block.begin);
  assert(zeros.dtype == (grid.offsets ? DType::f32 : DType::u8));
  assert(static_cast<int64_t>(block.group_of.size()) == w.cols);
  const BlockGroups groups(block);
  const Operands operands{.w = w,
                          .scales = scales,
                          .zeros = zeros,
                          .target = target,
                          .codes = codes,
                          .errors = errors,
                          .begin = block.begin};
  const simd::QuantizerKernels& kernels = simd::quantizer_kernels_for(isa);
  pool.parallel_for(w.rows, kPanelRows, [&](int64_t row_begin, int64_t row_end) {
    TurnedPanel turned(groups, factor, block, grid);
    turned.read(operands, row_begin, row_end);
    kernels.quantize_panel(turned.panel());
    turned.write(operands, row_begin, row_end);
  });
}

}  // namespace halftone::cpu
