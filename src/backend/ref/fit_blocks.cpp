// Reference backend: scales and offsets of ggml's grids, docs/methods.md §2 ("ggml's types") word
// for word, a group after the other. Sums are f32 in the order of the columns, as the definition
// has them, so that every backend finds these very bits.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

// ŵ = scale · level − offset.
struct Values {
  float scale = 0, offset = 0;
};

struct Try {
  Values values;
  float loss = std::numeric_limits<float>::infinity();
};

struct Group {
  std::span<const float> weights, importance;
  size_t size() const { return weights.size(); }
};

// Neither of two infinities' differences nor a quotient of zeros is anything to go by.
bool zero_or_nan(float x) { return !(x < 0) && !(x > 0); }

// The lowest for what is not a number.
float bounded(float x, float lowest, float highest) {
  return x > lowest ? std::min(x, highest) : lowest;
}

// Nearest in f16, finite, not 0 unless it was.
float in_f16(float x) {
  if (x == 0) return 0;
  return std::copysign(bounded(round_to_f16(std::abs(x)), 0x1p-24f, 65504.0f), x);
}

// |x|^power, but for the power 2 up to 6 % more: log2(x²) is read off the bits of x².
float quick_power(float x, float power) {
  const float square = x * x, one = 0x1p23f * 127;
  const auto bits = static_cast<float>(std::bit_cast<int32_t>(square + 1e-37f));
  const auto result = static_cast<int32_t>((bits - one) * (power / 2 - 1) + one);
  return square * std::bit_cast<float>(result);
}

// One group with numbers of its own, not yet rounded to what is stored.
class GroupFit {
 public:
  GroupFit(const GridFit& fit, bool weighed)
      : grid_(fit.grid),
        searches_(fit.search != ScaleSearch::minmax),
        power_(searches_ && !weighed ? fit.power : 2),
        levels_(levels_of(fit.grid.table)),
        even_(levels_.empty()),
        highest_code_(static_cast<float>(fit.grid.levels() - 1)),
        zero_(static_cast<float>(fit.grid.symmetric_zero())) {
    assert(even_ || !grid_.offsets);
  }

  bool even() const { return even_; }

  // Σ importance · |w − ŵ|^power.
  float loss(const Group& group, const Values& values) const {
    const float inverse = 1 / values.scale;
    const float shift = grid_.offsets ? values.offset : zero_ * values.scale;
    float sum = 0;
    for (size_t i = 0; i < group.size(); ++i) {
      const float w = group.weights[i], shifted = w + shift;
      float error = 0;
      if (zero_or_nan(values.scale))
        error = w - -values.offset;
      else if (even_)
        error = shifted - code_of(shifted * inverse) * values.scale;
      else
        error = w - values.scale * level_near(w * inverse);
      sum += group.importance[i] * quick_power(error, power_);
    }
    return sum;
  }

  Values fit(const Group& group) const {
    const auto [low, high] = std::minmax_element(group.weights.begin(), group.weights.end());
    const float extreme = *high < -*low ? *low : *high;
    if (zero_or_nan(extreme)) return {};
    if (grid_.offsets) return fit_with_offset(group, std::min(*low, 0.0f), std::max(*high, 0.0f));
    return even_ ? fit_even(group, std::abs(extreme)) : fit_table(group, extreme);
  }

 private:
  float code_of(float places) const { return bounded(std::nearbyint(places), 0, highest_code_); }

  // The level nearest to x rounded to a whole number, the lower one of two.
  float level_near(float x) const {
    const float whole = bounded(std::nearbyint(x), -128, 127);
    return *std::min_element(levels_.begin(), levels_.end(), [&](float a, float b) {
      return std::abs(whole - a) < std::abs(whole - b);
    });
  }

  void attempt(const Group& group, const Values& values, Try& best) const {
    const float lost = loss(group, values);
    if (lost < best.loss) best = {values, lost};
  }

  // Even levels about a zero.
  Values fit_even(const Group& group, float largest) const {
    if (!searches_) return {2 * largest / highest_code_, 0};
    Try best;
    for (const float end : {largest, -largest}) {
      if (end < 0 && !grid_.signed_scales) continue;
      for (int i = 0; i < 28; ++i)
        attempt(group, {end / zero_ * (1.04f - 0.02f * static_cast<float>(i)), 0}, best);
    }
    return refined(group, best);
  }

  Values fit_table(const Group& group, float extreme) const {
    if (!searches_) return {extreme / levels_.front(), 0};
    Try best;
    for (const float end : {levels_.front(), levels_.back()})
      for (int i = 0; i < 14; ++i)
        attempt(group, {extreme / end * (1.08f - 0.04f * static_cast<float>(i)), 0}, best);
    const float coarse = best.values.scale;
    for (const float near : {0.97f, 0.985f, 1.015f, 1.03f})
      attempt(group, {coarse * near, 0}, best);
    return refined(group, best);
  }

  // The scale that suits the best one's codes best, three times at most.
  Values refined(const Group& group, Try best) const {
    for (int step = 0; step < 3; ++step) {
      const float inverse = 1 / best.values.scale;
      float products = 0, squares = 0;
      for (size_t i = 0; i < group.size(); ++i) {
        const float w = group.weights[i], c = group.importance[i];
        const float level =
            even_ ? bounded(std::nearbyint(w * inverse), -zero_, highest_code_ - zero_)
                  : level_near(w * inverse);
        products += c * level * w;
        squares += c * level * level;
      }
      if (!(squares > 0) || zero_or_nan(products)) break;
      const float before = best.loss;
      attempt(group, {products / squares, 0}, best);
      if (!(best.loss < before)) break;
    }
    return best.values;
  }

  // low ≤ 0 ≤ high
  Values fit_with_offset(const Group& group, float low, float high) const {
    const float range = high - low;
    const Values whole = {range / highest_code_, -low};
    if (!searches_) return whole;
    Try best{whole, loss(group, whole)};
    for (int i = 0; i < 14; ++i) {
      const float shrink = 1.04f - 0.03f * static_cast<float>(i);
      Values tried = {shrink * range / highest_code_, -low * shrink};
      for (int step = 0; step < 3; ++step) {
        attempt(group, tried, best);
        tried = line_through(group, tried);
        if (!(tried.scale > 0)) break;
      }
    }
    return best.values;
  }

  // Least squares of the weights over the codes that `values` give them; a scale of 0 where there
  // is no line. An offset is not negative: else the line goes through zero.
  Values line_through(const Group& group, const Values& values) const {
    const float inverse = 1 / values.scale;
    float count = 0, codes = 0, squares = 0, sum = 0, products = 0;
    for (size_t i = 0; i < group.size(); ++i) {
      const float w = group.weights[i], c = group.importance[i];
      const float code = code_of((w + values.offset) * inverse);
      count += c;
      codes += c * code;
      squares += c * code * code;
      sum += c * w;
      products += c * code * w;
    }
    const float determinant = count * squares - codes * codes;
    if (!(determinant > 0)) return {};
    const Values line = {(count * products - codes * sum) / determinant,
                         (codes * products - squares * sum) / determinant};
    if (!(line.offset < 0)) return line;
    return {squares > 0 ? products / squares : 0, 0};
  }

  const Grid& grid_;
  const bool searches_;
  const float power_;
  const std::span<const float> levels_;
  const bool even_;
  const float highest_code_, zero_;
};

// The groups of a superblock, whose numbers are multiples of one unit.
class SuperblockFit {
 public:
  SuperblockFit(const GridFit& fit, const GroupFit& of_group)
      : of_group_(of_group), offsets_(fit.grid.offsets) {
    const auto multiples = static_cast<float>(1 << fit.grid.multiple_bits);
    lowest_ = of_group.even() ? 1 : -multiples / 2;  // even levels are divided by their scale
    highest_ = offsets_ ? multiples - 1 : multiples / 2 - 1;
  }

  std::vector<Values> fit(std::span<const Group> groups) const {
    const std::vector<Values> nothing(groups.size(), {of_group_.even() ? 1.0f : 0.0f, 0});
    std::vector<Values> wanted;
    Values largest;
    for (const Group& group : groups) {
      wanted.push_back(of_group_.fit(group));
      if (std::abs(wanted.back().scale) > std::abs(largest.scale))
        largest.scale = wanted.back().scale;
      largest.offset = std::max(largest.offset, wanted.back().offset);
    }
    if (largest.scale == 0) return nothing;
    std::vector<Values> best = nothing;
    float least = std::numeric_limits<float>::infinity();
    Values best_unit;
    const auto try_unit = [&](const Values& unit, int scales, int offsets) {
      std::vector<Values> found;
      float sum = 0;
      for (size_t i = 0; i < groups.size(); ++i) {
        const Try one = best_multiples(groups[i], wanted[i], unit, scales, offsets);
        found.push_back(one.values);
        sum += one.loss;
      }
      if (!(sum < least)) return;
      least = sum;
      best = std::move(found);
      best_unit = unit;
    };
    for (const Values& unit : units(largest)) try_unit(unit, offsets_ ? 2 : 1, offsets_ ? 1 : 0);
    if (offsets_) try_unit(Values(best_unit), 6, 2);
    return best;
  }

 private:
  // The largest scale and offset as the highest multiples of theirs, and near that.
  std::vector<Values> units(const Values& largest) const {
    std::vector<Values> units;
    const float scale = largest.scale / highest_;
    if (!offsets_) {
      for (const float stretch : {1.0f, 0.97f, 1.03f, 0.94f, 1.06f, 1.1f})
        units.push_back({in_f16(scale * stretch), 0});
      return units;
    }
    const float offset = largest.offset / highest_;
    for (const float stretch : {1.0f, 0.95f, 1.05f})
      for (const float more : {1.0f, 1.05f, 1.1f})
        units.push_back({in_f16(scale * stretch), in_f16(offset * more)});
    return units;
  }

  static float nearest_multiple(float value, float unit, float lowest, float highest) {
    return std::nearbyint(bounded(zero_or_nan(unit) ? 0 : value / unit, lowest, highest));
  }

  // `scales` and `offsets`: how many multiples to either side of the nearest are tried. Where the
  // scale is another than wanted, the line through weights and codes turns about its centre, and
  // the offset goes along.
  Try best_multiples(const Group& group, const Values& wanted, const Values& unit, int scales,
                     int offsets) const {
    const float most = offsets_ ? highest_ : 0, middle = offsets_ ? centre(group, wanted) : 0;
    const float nearest = nearest_multiple(wanted.scale, unit.scale, lowest_, highest_);
    Try best;
    for (int ds = -scales; ds <= scales; ++ds) {
      const float s = nearest + static_cast<float>(ds);
      if (s < lowest_ || s > highest_) continue;
      const float scale = unit.scale * s;
      const float turned = wanted.offset + middle * (scale - wanted.scale);
      const float offset = nearest_multiple(turned, unit.offset, 0, most);
      for (int d = -offsets; d <= offsets; ++d) {
        const float o = offset + static_cast<float>(d);
        if (o < 0 || o > most) continue;
        const Values tried = {scale, unit.offset * o};
        const float lost = of_group_.loss(group, tried);
        if (lost < best.loss) best = {tried, lost};
      }
    }
    return best;
  }

  // The mean code, of weights as important as they are.
  static float centre(const Group& group, const Values& values) {
    float sum = 0, all = 0;
    for (size_t i = 0; i < group.size(); ++i) {
      sum += group.importance[i] * group.weights[i];
      all += group.importance[i];
    }
    return all > 0 && values.scale > 0 ? (sum / all + values.offset) / values.scale : 0;
  }

  const GroupFit& of_group_;
  const bool offsets_;
  float lowest_ = 0, highest_ = 0;  // multiples of a scale's unit
};

// What is stored of a group with numbers of its own. Of zeros: even levels are divided by their
// scale; a table without a level 0 needs scale 0.
Values stored(const Values& values, bool even) {
  if (zero_or_nan(values.scale)) return {even ? 1.0f : 0.0f, in_f16(values.offset)};
  return {in_f16(values.scale), in_f16(values.offset)};
}

}  // namespace

void RefBackend::fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                            View offsets) {
  const int64_t width = fit.grid.group_size, groups = fit.grid.groups(w.cols);
  const int64_t together = fit.grid.superblock > 0 ? fit.grid.superblock / width : 1;
  assert(groups * width == w.cols && groups % together == 0);
  assert(scales.cols == groups && fit.grid.offsets == !offsets.empty());
  const std::vector<float> counts = importance.empty()
                                        ? std::vector<float>(static_cast<size_t>(w.cols), 1.0f)
                                        : load_row(importance, 0);
  const GroupFit of_group(fit, !importance.empty());
  const SuperblockFit of_superblock(fit, of_group);
  for (int64_t row = 0; row < w.rows; ++row) {
    const std::vector<float> weights = load_row(w, row);
    for (int64_t begin = 0; begin < groups; begin += together) {
      std::vector<Group> members;
      for (int64_t group = begin; group < begin + together; ++group) {
        const auto at = static_cast<size_t>(group * width), size = static_cast<size_t>(width);
        members.push_back(
            {std::span(weights).subspan(at, size), std::span(counts).subspan(at, size)});
      }
      const std::vector<Values> found =
          fit.grid.superblock > 0
              ? of_superblock.fit(members)
              : std::vector<Values>{stored(of_group.fit(members[0]), of_group.even())};
      for (size_t i = 0; i < found.size(); ++i) {
        scales.row<float>(row)[begin + static_cast<int64_t>(i)] = found[i].scale;
        if (fit.grid.offsets)
          offsets.row<float>(row)[begin + static_cast<int64_t>(i)] = found[i].offset;
      }
    }
  }
}

}  // namespace halftone::ref
