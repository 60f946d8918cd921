// The search for scales and offsets of one group, or of the groups of a superblock, where a grid is
// a table of levels, has offsets that are not multiples of the scale, or shares one number among
// the groups of a superblock (ggml's types).
//
// Each group is fitted by itself first: a scale from a ladder of them and, from the best, by least
// squares on its codes; an offset likewise. In a superblock the best scales then become multiples
// of one unit, several units and multiples about each group's best tried against the same loss.
//
// All of it is constexpr, in f32 and in one order, so that a device whose compiler takes it finds
// what the host finds, bit for bit. What goes through the rows and adds up the groups of a
// superblock is the backend's (backend/block_fit.cpp has the host's).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>

#include "backend/backend.h"
#include "base/half.h"

namespace halftone {

// A group's scale and what is subtracted from its levels; `scale` may be negative for tables of
// levels that are not symmetric about zero.
struct GroupScale {
  float scale = 0, offset = 0;
};

// Weights of a group, and how much the error of each counts; weight i lies at i · kStride.
template <int kStride>
struct GroupWeights {
  const float* weights;
  const float* importance;
  int count;

  constexpr float weight(int i) const { return weights[i * kStride]; }
  constexpr float counts(int i) const { return importance[i * kStride]; }
};

// How many multiples to either side of the nearest are tried.
struct Reach {
  int scale, offset;
};

// The level of a table that is nearest to each whole number; zeros of even levels.
struct NearestLevels {
  static constexpr int kCount = 256;  // −128 … 127: tables of ggml's are of int8
  float levels[kCount] = {};

  explicit NearestLevels(LevelTable table) {
    const std::span<const float> all = levels_of(table);
    for (int i = 0; i < kCount && !all.empty(); ++i) {
      const auto x = static_cast<float>(i - kCount / 2);
      const auto distance = [x](float level) { return level < x ? x - level : level - x; };
      levels[i] = *std::min_element(all.begin(), all.end(),
                                    [&](float a, float b) { return distance(a) < distance(b); });
    }
  }
};

class BlockSearch {
 public:
  // weighed: by importance, errors count by their squares. `nearest`: NearestLevels of the table,
  // referenced.
  BlockSearch(const GridFit& fit, bool weighed, const float* nearest);
  constexpr BlockSearch() = default;  // of nothing
  // The same with the levels somewhere else.
  constexpr BlockSearch with(const float* nearest) const {
    BlockSearch other = *this;
    other.nearest_ = nearest;
    return other;
  }

  // Σ importance · |w − ŵ|^power; ŵ is the nearest value.
  template <int kStride>
  constexpr float loss(const GroupWeights<kStride>& group, GroupScale values) const {
    if (values.scale == 0) return loss_of_constant(group, -values.offset);
    return even_ ? even_loss(group, values) : table_loss(group, values.scale);
  }

  // The best of the ladder, in numbers that f16 need not hold.
  template <int kStride>
  constexpr GroupScale fit(const GroupWeights<kStride>& group) const {
    float low = group.weight(0), high = low;
    for (int i = 1; i < group.count; ++i) {
      low = std::min(low, group.weight(i));
      high = std::max(high, group.weight(i));
    }
    if (low == 0 && high == 0) return {};
    if (offsets_) return fit_with_offset(group, std::min(low, 0.0f), std::max(high, 0.0f));
    const float extreme = -low > high ? low : high;
    return even_ ? fit_even(group, extreme) : fit_table(group, extreme);
  }

  // What is stored of a group with a scale of its own. All zeros: a table without a level 0 needs
  // scale 0, the others a scale that divides.
  constexpr GroupScale stored(GroupScale values) const {
    if (values.scale == 0 && even_) return {1, storable(values.offset)};
    return {storable(values.scale), storable(values.offset)};
  }

  // --- of a superblock ---
  // Of groups that are all zeros.
  constexpr GroupScale nothing() const { return {even_ ? 1.0f : 0.0f, 0}; }

  // The mean code, of weights as important as they are.
  template <int kStride>
  constexpr float centre(const GroupWeights<kStride>& group, GroupScale values) const {
    if (!offsets_) return 0;
    float sum = 0, all = 0;
    for (int i = 0; i < group.count; ++i) {
      sum += group.counts(i) * group.weight(i);
      all += group.counts(i);
    }
    return values.scale > 0 && all > 0 ? (sum / all + values.offset) / values.scale : 0;
  }

  // The largest scale need not be the largest multiple: a unit a little larger or smaller may suit
  // the others better. `largest`: of the groups' scales, by magnitude, and of their offsets.
  constexpr int units() const { return offsets_ ? 9 : 6; }
  constexpr GroupScale unit(int i, GroupScale largest) const {
    const float scale = largest.scale / static_cast<float>(scales_.highest);
    const float offset =
        largest.offset / std::max(1.0f, static_cast<float>(multiples_of_offset_.highest));
    if (offsets_) {
      const float stretches[] = {1.0f, 0.95f, 1.05f}, mores[] = {1.0f, 1.05f, 1.1f};
      return {storable(scale * stretches[i / 3]), storable(offset * mores[i % 3])};
    }
    const float stretches[] = {1.0f, 0.97f, 1.03f, 0.94f, 1.06f, 1.1f};
    return {storable(scale * stretches[i]), 0};
  }
  constexpr Reach reach() const { return offsets_ ? Reach{2, 1} : Reach{1, 0}; }
  // With offsets there is much to try, so the best unit's multiples are sought further away
  // afterwards.
  constexpr bool seeks_further() const { return offsets_; }
  constexpr Reach further() const { return {6, 2}; }

  struct Found {
    GroupScale values;
    float loss = std::numeric_limits<float>::infinity();
  };
  // Multiples of `unit` near `wanted`. A line through weights and codes that turns about its centre
  // loses little: where the scale is another, so is the offset that goes with it.
  template <int kStride>
  constexpr Found best_multiples(const GroupWeights<kStride>& group, GroupScale wanted,
                                 float centre, GroupScale unit, Reach reach) const {
    const int scale = multiple_of(wanted.scale, unit.scale, scales_);
    Found best;
    for (int s = std::max(scale - reach.scale, scales_.lowest);
         s <= std::min(scale + reach.scale, scales_.highest); ++s) {
      const float tried_scale = unit.scale * static_cast<float>(s);
      const float turned = wanted.offset + centre * (tried_scale - wanted.scale);
      const int offset = multiple_of(turned, unit.offset, multiples_of_offset_);
      for (int o = std::max(offset - reach.offset, multiples_of_offset_.lowest);
           o <= std::min(offset + reach.offset, multiples_of_offset_.highest); ++o) {
        const GroupScale tried{tried_scale, unit.offset * static_cast<float>(o)};
        const float now = loss(group, tried);
        if (now < best.loss) best = {tried, now};
      }
    }
    return best;
  }

  static constexpr float magnitude(float x) { return x < 0 ? -x : x; }

 private:
  struct Range {
    int lowest, highest;
  };

  // Multiples of a unit: what a superblock's groups may have.
  static constexpr int multiple_of(float value, float unit, Range range) {
    if (unit == 0) return std::clamp(0, range.lowest, range.highest);
    const float bounded = std::min(std::max(static_cast<float>(range.lowest), value / unit),
                                   static_cast<float>(range.highest));
    return static_cast<int>(round_small(bounded));
  }

  // Nearest in f16, finite, not 0 unless it was.
  static constexpr float storable(float value) {
    if (value == 0) return 0;
    const float rounded = std::clamp(magnitude(round_to_f16(value)), 0x1p-24f, 65504.0f);
    return value < 0 ? -rounded : rounded;
  }

  // For |x| well below 2^22.
  static constexpr float round_small(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

  // |x|^power, within 2 %: the exponent of x² is read off its bits as if they were a logarithm. The
  // search compares losses of the same weights, and 2 % of an error's weight does not turn it.
  constexpr float power_of(float x) const {
    const float square = x * x;
    constexpr float kOne = 0x1p23f * 127;
    const auto bits = static_cast<float>(std::bit_cast<int32_t>(square + 1e-37f));
    return square *
           std::bit_cast<float>(static_cast<int32_t>((bits - kOne) * exponent_of_square_ + kOne));
  }

  // The level nearest to x when x is rounded first: the solver looks again. A NaN, of weights whose
  // squares overflow, has the lowest (std::clamp would let it through).
  constexpr float nearest(float x) const {
    constexpr int kHalf = NearestLevels::kCount / 2;
    const float place = std::min(std::max(-static_cast<float>(kHalf), round_small(x)),
                                 static_cast<float>(kHalf - 1));
    return nearest_[static_cast<int>(place) + kHalf];
  }

  template <int kStride>
  constexpr float loss_of_constant(const GroupWeights<kStride>& group, float value) const {
    float sum = 0;
    for (int i = 0; i < group.count; ++i)
      sum += group.counts(i) * power_of(group.weight(i) - value);
    return sum;
  }

  template <int kStride>
  constexpr float even_loss(const GroupWeights<kStride>& group, GroupScale values) const {
    const float inverse = 1 / values.scale;
    const float shift = offsets_ ? values.offset : zero_ * values.scale;
    float sum = 0;
    for (int i = 0; i < group.count; ++i) {
      const float shifted = group.weight(i) + shift;
      const float code = std::clamp(round_small(shifted * inverse), 0.0f, largest_);
      sum += group.counts(i) * power_of(shifted - code * values.scale);
    }
    return sum;
  }

  template <int kStride>
  constexpr float table_loss(const GroupWeights<kStride>& group, float scale) const {
    const float inverse = 1 / scale;
    float sum = 0;
    for (int i = 0; i < group.count; ++i) {
      const float x = group.weight(i);
      sum += group.counts(i) * power_of(x - scale * nearest(x * inverse));
    }
    return sum;
  }

  template <int kStride>
  constexpr void try_scale(const GroupWeights<kStride>& group, float scale, Found& best) const {
    const float now = loss(group, {scale, 0});
    if (now < best.loss) best = {{scale, 0}, now};
  }

  // The scale that suits the codes of the best one best, as long as that leads anywhere.
  template <int kStride>
  constexpr GroupScale refined(const GroupWeights<kStride>& group, Found best) const {
    for (int step = 0; step < 3; ++step) {
      const float inverse = 1 / best.values.scale;
      float products = 0, squares = 0;
      for (int i = 0; i < group.count; ++i) {
        const float x = group.weight(i) * inverse;
        const float level =
            even_ ? std::clamp(round_small(x), -zero_, largest_ - zero_) : nearest(x);
        products += group.counts(i) * level * group.weight(i);
        squares += group.counts(i) * level * level;
      }
      const float before = best.loss;
      if (squares > 0 && products != 0) try_scale(group, products / squares, best);
      if (!(best.loss < before)) break;
    }
    return best.values;
  }

  // `extreme`: the weight of largest magnitude. The lowest level, of which there is one more, is
  // on its side where scales may be negative.
  template <int kStride>
  constexpr GroupScale fit_even(const GroupWeights<kStride>& group, float extreme) const {
    const float largest = magnitude(extreme);
    if (!searched_) return {2 * largest / largest_, 0};
    Found best;
    for (int side = 0; side < (signed_scales_ ? 2 : 1); ++side) {
      const float whole = (side == 0 ? largest : -largest) / zero_;
      for (int i = 0; i < 28; ++i)
        try_scale(group, whole * (1.04f - 0.02f * static_cast<float>(i)), best);
    }
    return refined(group, best);
  }

  // `extreme`: the weight of largest magnitude, which may become either end of the table.
  template <int kStride>
  constexpr GroupScale fit_table(const GroupWeights<kStride>& group, float extreme) const {
    if (!searched_) return {extreme / lowest_level_, 0};
    Found best;
    for (int side = 0; side < 2; ++side) {
      const float whole = extreme / (side == 0 ? lowest_level_ : highest_level_);
      for (int i = 0; i < 14; ++i)
        try_scale(group, whole * (1.08f - 0.04f * static_cast<float>(i)), best);
    }
    const float coarse = best.values.scale;
    const float nears[] = {0.97f, 0.985f, 1.015f, 1.03f};
    for (int i = 0; i < 4; ++i) try_scale(group, coarse * nears[i], best);
    return refined(group, best);
  }

  // From the range shrunk about its ends, and from where least squares on its codes leads.
  template <int kStride>
  constexpr GroupScale fit_with_offset(const GroupWeights<kStride>& group, float low,
                                       float high) const {
    Found best{{(high - low) / largest_, -low}};
    if (!searched_) return best.values;
    best.loss = loss(group, best.values);
    for (int i = 0; i < 14; ++i) {
      const float shrink = 1.04f - 0.03f * static_cast<float>(i);
      GroupScale tried{shrink * (high - low) / largest_, -low * shrink};
      for (int step = 0; step < 3; ++step) {
        const float now = loss(group, tried);
        if (now < best.loss) best = {tried, now};
        tried = least_squares(group, tried);
        if (!(tried.scale > 0)) break;
      }
    }
    return best.values;
  }

  // The line through weights and the codes that `values` give them; the offset not negative.
  template <int kStride>
  constexpr GroupScale least_squares(const GroupWeights<kStride>& group, GroupScale values) const {
    const float inverse = 1 / values.scale;
    float count = 0, codes = 0, squares = 0, sum = 0, products = 0;
    for (int i = 0; i < group.count; ++i) {
      const float x = group.weight(i), counts = group.counts(i);
      const float code = std::clamp(round_small((x + values.offset) * inverse), 0.0f, largest_);
      count += counts;
      codes += counts * code;
      squares += counts * code * code;
      sum += counts * x;
      products += counts * code * x;
    }
    const float determinant = count * squares - codes * codes;
    if (!(determinant > 0)) return {};
    const GroupScale line{(count * products - codes * sum) / determinant,
                          (codes * products - squares * sum) / determinant};
    if (line.offset < 0) return {squares > 0 ? products / squares : 0.0f, 0};
    return line;
  }

  const float* nearest_ = nullptr;
  bool even_ = true, offsets_ = false, signed_scales_ = false, searched_ = false;
  float exponent_of_square_ = 0;  // what |error|^power is of error²
  float largest_ = 0, zero_ = 0;  // codes
  float lowest_level_ = 0, highest_level_ = 0;
  Range scales_{0, 0}, multiples_of_offset_{0, 0};
};

inline BlockSearch::BlockSearch(const GridFit& fit, bool weighed, const float* nearest)
    : nearest_(nearest),
      even_(fit.grid.table == LevelTable::even),
      offsets_(fit.grid.offsets),
      signed_scales_(fit.grid.signed_scales),
      searched_(fit.search != ScaleSearch::minmax),
      exponent_of_square_((searched_ && !weighed ? fit.power : 2.0f) / 2 - 1),
      largest_(static_cast<float>(fit.grid.levels() - 1)),
      zero_(static_cast<float>(fit.grid.symmetric_zero())) {
  if (!even_) {
    const std::span<const float> levels = levels_of(fit.grid.table);
    lowest_level_ = levels.front();
    highest_level_ = levels.back();
  }
  if (fit.grid.superblock == 0) return;
  // Even levels are divided by their scale: never 0.
  const int bits = fit.grid.multiple_bits;
  if (offsets_) {
    scales_ = {1, (1 << bits) - 1};
    multiples_of_offset_ = {0, scales_.highest};
  } else if (even_) {
    scales_ = {1, (1 << (bits - 1)) - 1};
  } else {
    scales_ = {-(1 << (bits - 1)), (1 << (bits - 1)) - 1};
  }
}

}  // namespace halftone
