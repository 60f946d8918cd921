// Each group is fitted by itself first: a scale from a ladder of them, an offset by least squares
// on the codes. In a superblock the best scales then become multiples of one unit, the unit and
// each group's neighbouring multiples tried against the same loss.
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
  explicit Groups(const GridFit& fit)
      : grid_(fit.grid),
        levels_(levels_of(fit.grid.table)),
        power_(fit.search == ScaleSearch::power ? fit.power : 2.0f),
        searched_(fit.search == ScaleSearch::power),
        largest_(static_cast<float>(fit.grid.levels() - 1)),
        zero_(static_cast<float>(fit.grid.symmetric_zero())) {
    for (int x = 0; x < kSteps && !levels_.empty(); ++x) nearest_[x] = nearest_of(x - kSteps / 2);
  }

  float loss(std::span<const float> w, Values values) const {
    if (values.scale == 0) return loss_of_constant(w, -values.offset);
    return levels_.empty() ? even_loss(w, values) : table_loss(w, values.scale);
  }

  // The best of the ladder, in numbers that f16 need not hold.
  Values fit(std::span<const float> w) const {
    const auto [low, high] = std::minmax_element(w.begin(), w.end());
    if (*low == 0 && *high == 0) return {};
    if (grid_.offsets) return fit_with_offset(w, std::min(*low, 0.0f), std::max(*high, 0.0f));
    return levels_.empty() ? fit_even(w, std::max(-*low, *high))
                           : fit_table(w, std::abs(*low) > *high ? *low : *high);
  }

  const Grid& grid() const { return grid_; }

 private:
  float loss_of_constant(std::span<const float> w, float value) const {
    float sum = 0;
    for (const float x : w) sum += power_(x - value);
    return sum;
  }

  float even_loss(std::span<const float> w, Values values) const {
    const float inverse = 1 / values.scale;
    const float shift = grid_.offsets ? values.offset : zero_ * values.scale;
    float sum = 0;
    for (const float x : w) {
      const float code = std::clamp(round_small((x + shift) * inverse), 0.0f, largest_);
      sum += power_(x - (code * values.scale - shift));
    }
    return sum;
  }

  float table_loss(std::span<const float> w, float scale) const {
    const float inverse = 1 / scale;
    float sum = 0;
    for (const float x : w) sum += power_(x - scale * nearest(x * inverse));
    return sum;
  }

  // The level nearest to x when x is rounded first: the solver looks again.
  float nearest(float x) const {
    const float place = std::clamp(round_small(x), -kSteps / 2.0f, kSteps / 2.0f - 1);
    return nearest_[static_cast<int>(place) + kSteps / 2];
  }

  float nearest_of(int x) const {
    const auto distance = [x](float level) { return std::abs(static_cast<float>(x) - level); };
    return *std::min_element(levels_.begin(), levels_.end(),
                             [&](float a, float b) { return distance(a) < distance(b); });
  }

  // For |x| well below 2^22.
  static float round_small(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

  Values fit_even(std::span<const float> w, float largest) const {
    const float whole = largest / zero_;  // the largest weight is the lowest level
    if (!searched_) return {2 * largest / largest_, 0};
    Values best;
    float least = INFINITY;
    for (int i = 0; i < 36; ++i) {
      const Values tried{whole * (1.04f - 0.01f * static_cast<float>(i)), 0};
      const float now = loss(w, tried);
      if (now < least) least = now, best = tried;
    }
    return best;
  }

  // `extreme`: the weight of largest magnitude, which may become either end of the table.
  Values fit_table(std::span<const float> w, float extreme) const {
    if (!searched_) return {extreme / levels_.front(), 0};
    Values best;
    float least = INFINITY;
    const auto try_scale = [&](float scale) {
      const float now = loss(w, {scale, 0});
      if (now < least) least = now, best.scale = scale;
    };
    for (const float end : {levels_.front(), levels_.back()})
      for (int i = 0; i < 10; ++i)
        try_scale(extreme / end * (1.08f - 0.045f * static_cast<float>(i)));
    const float coarse = best.scale;
    for (const float near : {0.97f, 0.985f, 1.015f, 1.03f}) try_scale(coarse * near);
    return best;
  }

  // From the range shrunk about its ends, and from where least squares on its codes leads.
  Values fit_with_offset(std::span<const float> w, float low, float high) const {
    Values best{(high - low) / largest_, -low};
    if (!searched_) return best;
    float least = loss(w, best);
    for (int i = 0; i < 14; ++i) {
      const float shrink = 1.04f - 0.03f * static_cast<float>(i);
      Values tried{shrink * (high - low) / largest_, -low * shrink};
      for (int step = 0; step < 3; ++step) {
        const float now = loss(w, tried);
        if (now < least) least = now, best = tried;
        tried = least_squares(w, tried);
        if (!(tried.scale > 0)) break;
      }
    }
    return best;
  }

  // The line through weights and the codes that `values` give them; the offset not negative.
  Values least_squares(std::span<const float> w, Values values) const {
    const float inverse = 1 / values.scale;
    float codes = 0, squares = 0, sum = 0, products = 0;
    for (const float x : w) {
      const float code = std::clamp(round_small((x + values.offset) * inverse), 0.0f, largest_);
      codes += code;
      squares += code * code;
      sum += x;
      products += code * x;
    }
    const auto count = static_cast<float>(w.size());
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

class Superblock {
 public:
  Superblock(const Groups& groups, std::span<const float> weights)
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
    for (size_t at = 0; at < weights.size(); at += width_) {
      parts_.push_back(weights.subspan(at, width_));
      wanted_.push_back(groups.fit(parts_.back()));
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
    // The largest scale need not be the largest multiple: a unit a little larger or smaller may
    // suit the others better.
    for (const float stretch : {1.0f, 0.97f, 1.03f, 0.94f, 1.06f, 1.1f}) {
      const auto most = static_cast<float>(scales_.highest);
      const Values unit{
          storable(largest.scale / most * stretch),
          storable(largest.offset / std::max(1.0f, static_cast<float>(offsets_.highest)))};
      try_unit(unit);
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

  void try_unit(Values unit) {
    float sum = 0;
    std::vector<Values> found;
    for (size_t i = 0; i < parts_.size() && sum < least_; ++i) {
      const auto [values, loss] = best_multiples(i, unit);
      found.push_back(values);
      sum += loss;
    }
    if (!(sum < least_) || found.size() != parts_.size()) return;
    least_ = sum;
    best_ = found;
  }

  std::pair<Values, float> best_multiples(size_t i, Values unit) const {
    const int scale = multiple_of(wanted_[i].scale, unit.scale, scales_);
    const int offset = multiple_of(wanted_[i].offset, unit.offset, offsets_);
    const int spread = groups_.grid().offsets ? 1 : 0;
    Values best;
    float least = INFINITY;
    for (int s = std::max(scale - 1, scales_.lowest); s <= std::min(scale + 1, scales_.highest);
         ++s)
      for (int o = std::max(offset - spread, offsets_.lowest);
           o <= std::min(offset + spread, offsets_.highest); ++o) {
        const Values tried{unit.scale * static_cast<float>(s), unit.offset * static_cast<float>(o)};
        const float loss = groups_.loss(parts_[i], tried);
        if (loss < least) least = loss, best = tried;
      }
    return {best, least};
  }

  const Groups& groups_;
  size_t width_;
  Range scales_{0, 0}, offsets_{0, 0};
  std::vector<std::span<const float>> parts_;
  std::vector<Values> wanted_, best_;
  float least_ = INFINITY;
};

}  // namespace

void fit_block_row(const GridFit& fit, std::span<const float> weights, float* scales,
                   float* offsets) {
  const Grid& grid = fit.grid;
  const Groups groups(fit);
  assert((offsets != nullptr) == grid.offsets && grid.group_size > 0);
  const auto step = static_cast<size_t>(grid.superblock > 0 ? grid.superblock : grid.group_size);
  const size_t groups_a_step = step / static_cast<size_t>(grid.group_size);
  assert(weights.size() % step == 0);
  for (size_t at = 0; at < weights.size(); at += step, scales += groups_a_step) {
    const std::span<const float> part = weights.subspan(at, step);
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

float block_loss(const GridFit& fit, std::span<const float> weights, float scale, float offset) {
  return Groups(fit).loss(weights, {scale, offset});
}

}  // namespace halftone
