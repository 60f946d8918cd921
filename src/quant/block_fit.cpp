// Each group is fitted by itself first: a scale from a ladder of them and, from the best, by least
// squares on its codes; an offset likewise. In a superblock the best scales then become multiples
// of one unit, several units and multiples about each group's best tried against the same loss.
#include "quant/block_fit.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <vector>

#include "base/half.h"

namespace halftone {
namespace {

// |x|^power, within 2 %: the exponent of x² is read off its bits as if they were a logarithm. The
// search compares losses of the same weights, and 2 % of an error's weight does not turn it.
struct Power {
  float exponent;  // of x²

  explicit Power(float power) : exponent(power / 2 - 1) {}
  float operator()(float x) const {
    const float square = x * x;
    constexpr float kOne = 0x1p23f * 127;
    const float bits = static_cast<float>(std::bit_cast<int32_t>(square + 1e-37f));
    return square * std::bit_cast<float>(static_cast<int32_t>((bits - kOne) * exponent + kOne));
  }
};

// What can be stored beside a group's codes. `scale` may be negative for tables of levels that are
// not symmetric about zero.
struct Values {
  float scale = 0, offset = 0;
};

class Groups {
 public:
  Groups(const GridFit& fit, bool weighed)
      : grid_(fit.grid),
        levels_(levels_of(fit.grid.table)),
        power_(fit.search != ScaleSearch::minmax && !weighed ? fit.power : 2.0f),
        searched_(fit.search != ScaleSearch::minmax),
        largest_(static_cast<float>(fit.grid.levels() - 1)),
        zero_(static_cast<float>(fit.grid.symmetric_zero())) {
    for (int x = 0; x < kSteps && !levels_.empty(); ++x) nearest_[x] = nearest_of(x - kSteps / 2);
  }

  float loss(const WeighedRow& row, Values values) const {
    if (values.scale == 0) return loss_of_constant(row, -values.offset);
    return levels_.empty() ? even_loss(row, values) : table_loss(row, values.scale);
  }

  // The best of the ladder, in numbers that f16 need not hold.
  Values fit(const WeighedRow& row) const {
    const auto [low, high] = std::minmax_element(row.weights.begin(), row.weights.end());
    if (*low == 0 && *high == 0) return {};
    if (grid_.offsets) return fit_with_offset(row, std::min(*low, 0.0f), std::max(*high, 0.0f));
    const float extreme = -*low > *high ? *low : *high;
    return levels_.empty() ? fit_even(row, extreme) : fit_table(row, extreme);
  }

  const Grid& grid() const { return grid_; }

 private:
  float loss_of_constant(const WeighedRow& row, float value) const {
    float sum = 0;
    for (size_t i = 0; i < row.weights.size(); ++i)
      sum += row.importance[i] * power_(row.weights[i] - value);
    return sum;
  }

  float even_loss(const WeighedRow& row, Values values) const {
    const float inverse = 1 / values.scale;
    const float shift = grid_.offsets ? values.offset : zero_ * values.scale;
    float sum = 0;
    for (size_t i = 0; i < row.weights.size(); ++i) {
      const float shifted = row.weights[i] + shift;
      const float code = std::clamp(round_small(shifted * inverse), 0.0f, largest_);
      sum += row.importance[i] * power_(shifted - code * values.scale);
    }
    return sum;
  }

  float table_loss(const WeighedRow& row, float scale) const {
    const float inverse = 1 / scale;
    float sum = 0;
    for (size_t i = 0; i < row.weights.size(); ++i) {
      const float x = row.weights[i];
      sum += row.importance[i] * power_(x - scale * nearest(x * inverse));
    }
    return sum;
  }

  // The level nearest to x when x is rounded first: the solver looks again. A NaN, of weights whose
  // squares overflow, has the lowest (std::clamp would let it through).
  float nearest(float x) const {
    const float place = std::min(std::max(-kSteps / 2.0f, round_small(x)), kSteps / 2.0f - 1);
    return nearest_[static_cast<int>(place) + kSteps / 2];
  }

  float nearest_of(int x) const {
    const auto distance = [x](float level) { return std::abs(static_cast<float>(x) - level); };
    return *std::min_element(levels_.begin(), levels_.end(),
                             [&](float a, float b) { return distance(a) < distance(b); });
  }

  // For |x| well below 2^22.
  static float round_small(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

  // `extreme`: the weight of largest magnitude. The lowest level, of which there is one more, is
  // on its side where scales may be negative.
  Values fit_even(const WeighedRow& row, float extreme) const {
    const float largest = std::abs(extreme);
    if (!searched_) return {2 * largest / largest_, 0};
    Values best;
    float least = INFINITY;
    const auto try_ladder = [&](float whole) {
      for (int i = 0; i < 28; ++i)
        try_scale(row, whole * (1.04f - 0.02f * static_cast<float>(i)), best, least);
    };
    try_ladder(largest / zero_);
    if (grid_.signed_scales) try_ladder(-largest / zero_);
    refine_scale(row, best, least);
    return best;
  }

  void try_scale(const WeighedRow& row, float scale, Values& best, float& least) const {
    const float now = loss(row, {scale, 0});
    if (now < least) least = now, best.scale = scale;
  }

  // The scale that suits the codes of the best one best, as long as that leads anywhere.
  void refine_scale(const WeighedRow& row, Values& best, float& least) const {
    for (int step = 0; step < 3; ++step) {
      const float inverse = 1 / best.scale;
      float products = 0, squares = 0;
      for (size_t i = 0; i < row.weights.size(); ++i) {
        const float x = row.weights[i] * inverse;
        const float level =
            levels_.empty() ? std::clamp(round_small(x), -zero_, largest_ - zero_) : nearest(x);
        products += row.importance[i] * level * row.weights[i];
        squares += row.importance[i] * level * level;
      }
      const float before = least;
      if (squares > 0 && products != 0) try_scale(row, products / squares, best, least);
      if (!(least < before)) return;
    }
  }

  // `extreme`: the weight of largest magnitude, which may become either end of the table.
  Values fit_table(const WeighedRow& row, float extreme) const {
    if (!searched_) return {extreme / levels_.front(), 0};
    Values best;
    float least = INFINITY;
    for (const float end : {levels_.front(), levels_.back()})
      for (int i = 0; i < 14; ++i)
        try_scale(row, extreme / end * (1.08f - 0.04f * static_cast<float>(i)), best, least);
    const float coarse = best.scale;
    for (const float near : {0.97f, 0.985f, 1.015f, 1.03f})
      try_scale(row, coarse * near, best, least);
    refine_scale(row, best, least);
    return best;
  }

  // From the range shrunk about its ends, and from where least squares on its codes leads.
  Values fit_with_offset(const WeighedRow& row, float low, float high) const {
    Values best{(high - low) / largest_, -low};
    if (!searched_) return best;
    float least = loss(row, best);
    for (int i = 0; i < 14; ++i) {
      const float shrink = 1.04f - 0.03f * static_cast<float>(i);
      Values tried{shrink * (high - low) / largest_, -low * shrink};
      for (int step = 0; step < 3; ++step) {
        const float now = loss(row, tried);
        if (now < least) least = now, best = tried;
        tried = least_squares(row, tried);
        if (!(tried.scale > 0)) break;
      }
    }
    return best;
  }

  // The line through weights and the codes that `values` give them; the offset not negative.
  Values least_squares(const WeighedRow& row, Values values) const {
    const float inverse = 1 / values.scale;
    float count = 0, codes = 0, squares = 0, sum = 0, products = 0;
    for (size_t i = 0; i < row.weights.size(); ++i) {
      const float x = row.weights[i], counts = row.importance[i];
      const float code = std::clamp(round_small((x + values.offset) * inverse), 0.0f, largest_);
      count += counts;
      codes += counts * code;
      squares += counts * code * code;
      sum += counts * x;
      products += counts * code * x;
    }
    const float determinant = count * squares - codes * codes;
    if (!(determinant > 0)) return {};
    Values line{(count * products - codes * sum) / determinant,
                (codes * products - squares * sum) / determinant};
    if (line.offset < 0) line = {squares > 0 ? products / squares : 0.0f, 0};
    return line;
  }

  Grid grid_;
  std::span<const float> levels_;
  static constexpr int kSteps = 256;  // tables of ggml's are of int8
  float nearest_[kSteps] = {};
  Power power_;
  bool searched_;
  float largest_, zero_;
};

// Nearest in f16, finite, not 0 unless it was.
float storable(float value) {
  if (value == 0) return 0;
  const float rounded = std::clamp(std::abs(round_to_f16(value)), 0x1p-24f, 65504.0f);
  return std::copysign(rounded, value);
}

// Multiples of a unit: what a superblock's groups may have.
struct Range {
  int lowest, highest;
};

int multiple_of(float value, float unit, Range range) {
  const float multiple = unit == 0 ? 0 : std::nearbyint(value / unit);
  return static_cast<int>(
      std::clamp(multiple, static_cast<float>(range.lowest), static_cast<float>(range.highest)));
}

// How many multiples to either side of the nearest are tried.
struct Reach {
  int scale, offset;
};

// The mean code, of weights as important as they are.
float centre(const WeighedRow& row, Values values) {
  float sum = 0, all = 0;
  for (size_t i = 0; i < row.weights.size(); ++i) {
    sum += row.importance[i] * row.weights[i];
    all += row.importance[i];
  }
  return values.scale > 0 && all > 0 ? (sum / all + values.offset) / values.scale : 0;
}

class Superblock {
 public:
  Superblock(const Groups& groups, const WeighedRow& row)
      : groups_(groups), width_(static_cast<size_t>(groups.grid().group_size)) {
    const int bits = groups.grid().multiple_bits;
    // Even levels are divided by their scale: never 0.
    if (groups.grid().offsets) {
      scales_ = {1, (1 << bits) - 1};
      offsets_ = {0, scales_.highest};
    } else if (groups.grid().table == LevelTable::even) {
      scales_ = {1, (1 << (bits - 1)) - 1};
    } else {
      scales_ = {-(1 << (bits - 1)), (1 << (bits - 1)) - 1};
    }
    for (size_t at = 0; at < row.weights.size(); at += width_) {
      parts_.push_back(row.part(at, width_));
      wanted_.push_back(groups.fit(parts_.back()));
      centres_.push_back(groups.grid().offsets ? centre(parts_.back(), wanted_.back()) : 0);
    }
  }

  void fit(float* scales, float* offsets) {
    Values largest;
    for (const Values& wanted : wanted_) {
      if (std::abs(wanted.scale) > std::abs(largest.scale)) largest.scale = wanted.scale;
      largest.offset = std::max(largest.offset, wanted.offset);
    }
    if (largest.scale == 0) return store_nothing(scales, offsets);
    best_.assign(parts_.size(), {});
    const Values unit{largest.scale / static_cast<float>(scales_.highest),
                      largest.offset / std::max(1.0f, static_cast<float>(offsets_.highest))};
    // The largest scale need not be the largest multiple: a unit a little larger or smaller may
    // suit the others better. With offsets there is much to try, so the best units' multiples are
    // sought further away afterwards.
    if (!groups_.grid().offsets) {
      for (const float stretch : {1.0f, 0.97f, 1.03f, 0.94f, 1.06f, 1.1f})
        try_unit({storable(unit.scale * stretch), 0}, {1, 0});
    } else {
      for (const float stretch : {1.0f, 0.95f, 1.05f})
        for (const float more : {1.0f, 1.05f, 1.1f})
          try_unit({storable(unit.scale * stretch), storable(unit.offset * more)}, {2, 1});
      try_unit(best_unit_, {6, 2});
    }
    for (size_t i = 0; i < parts_.size(); ++i) {
      scales[i] = best_[i].scale;
      if (offsets != nullptr) offsets[i] = best_[i].offset;
    }
  }

 private:
  // Nothing but zeros: any scale where there is a level 0.
  void store_nothing(float* scales, float* offsets) const {
    const bool uneven = groups_.grid().table != LevelTable::even;
    std::fill_n(scales, parts_.size(), uneven ? 0.0f : 1.0f);
    if (offsets != nullptr) std::fill_n(offsets, parts_.size(), 0.0f);
  }

  void try_unit(Values unit, Reach reach) {
    float sum = 0;
    std::vector<Values> found;
    for (size_t i = 0; i < parts_.size() && sum < least_; ++i) {
      const auto [values, loss] = best_multiples(i, unit, reach);
      found.push_back(values);
      sum += loss;
    }
    if (!(sum < least_) || found.size() != parts_.size()) return;
    least_ = sum;
    best_ = found;
    best_unit_ = unit;
  }

  // A line through weights and codes that turns about its centre loses little: where the scale is
  // another, so is the offset that goes with it.
  std::pair<Values, float> best_multiples(size_t i, Values unit, Reach reach) const {
    const Values wanted = wanted_[i];
    const int scale = multiple_of(wanted.scale, unit.scale, scales_);
    Values best;
    float least = INFINITY;
    for (int s = std::max(scale - reach.scale, scales_.lowest);
         s <= std::min(scale + reach.scale, scales_.highest); ++s) {
      const float tried_scale = unit.scale * static_cast<float>(s);
      const float turned = wanted.offset + centres_[i] * (tried_scale - wanted.scale);
      const int offset = multiple_of(turned, unit.offset, offsets_);
      for (int o = std::max(offset - reach.offset, offsets_.lowest);
           o <= std::min(offset + reach.offset, offsets_.highest); ++o) {
        const Values tried{tried_scale, unit.offset * static_cast<float>(o)};
        const float loss = groups_.loss(parts_[i], tried);
        if (loss < least) least = loss, best = tried;
      }
    }
    return {best, least};
  }

  const Groups& groups_;
  size_t width_;
  Range scales_{0, 0}, offsets_{0, 0};
  std::vector<WeighedRow> parts_;
  std::vector<Values> wanted_, best_;
  std::vector<float> centres_;
  Values best_unit_;
  float least_ = INFINITY;
};

}  // namespace

void fit_block_row(const GridFit& fit, const WeighedRow& row, float* scales, float* offsets) {
  const Grid& grid = fit.grid;
  const Groups groups(fit, !row.importance.empty());
  assert((offsets != nullptr) == grid.offsets && grid.group_size > 0);
  const auto step = static_cast<size_t>(grid.superblock > 0 ? grid.superblock : grid.group_size);
  const size_t groups_a_step = step / static_cast<size_t>(grid.group_size);
  assert(row.weights.size() % step == 0);
  std::vector<float> alike;
  if (row.importance.empty()) alike.assign(row.weights.size(), 1.0f);
  const WeighedRow weighed{row.weights, alike.empty() ? row.importance : alike};
  for (size_t at = 0; at < row.weights.size(); at += step, scales += groups_a_step) {
    const WeighedRow part = weighed.part(at, step);
    if (grid.superblock > 0) {
      Superblock(groups, part).fit(scales, offsets);
    } else {
      const Values values = groups.fit(part);
      // All zeros: a table without a level 0 needs scale 0, the others a scale that divides.
      const bool nothing = values.scale == 0 && grid.table == LevelTable::even;
      *scales = nothing ? 1 : storable(values.scale);
      if (offsets != nullptr) *offsets = storable(values.offset);
    }
    if (offsets != nullptr) offsets += groups_a_step;
  }
}

float block_loss(const GridFit& fit, const WeighedRow& row, float scale, float offset) {
  return Groups(fit, false).loss(row, {scale, offset});
}

}  // namespace halftone
