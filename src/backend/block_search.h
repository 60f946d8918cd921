// The search for scales and offsets of one group, or of the groups of a superblock, where a grid is
// a table of levels, has offsets that are not multiples of the scale, or shares one number among
// the groups of a superblock (ggml's types).
//
// Each group is fitted by itself first: a scale from a ladder of them and, from the best, by least
// squares on its codes; an offset likewise. In a superblock the best scales then become multiples
// of one unit, several units and multiples about each group's best tried against the same loss.
//
// Written once, for a Number that is a float (on a device whose compiler takes constexpr functions)
// or a vector of as many groups: all operations are f32 and in one order, so that every backend
// finds the same bits. Truths are numbers, 1 or 0. What a Number must have: backend/block_grid.h.
#pragma once

#include "backend/block_grid.h"

namespace halftone {

// A group's scale and what is subtracted from its levels; `scale` may be negative for tables of
// levels that are not symmetric about zero.
template <class Number>
struct BasicGroupScale {
  Number scale = 0, offset = 0;
};
using GroupScale = BasicGroupScale<float>;

// How many multiples to either side of the nearest are tried.
struct Reach {
  int scale, offset;
};

// Levels: what LevelLookup is for floats.
template <class Number, class Levels>
class BlockSearch {
 public:
  using Values = BasicGroupScale<Number>;
  struct Found {
    Values values;
    Number loss = __builtin_inff();
  };

  // A group on its way to a multiple of its superblock's unit.
  struct Member {
    Values wanted;  // what it would have by itself
    Number centre = 0;
    Values largest;  // over the superblock: the scale by magnitude, the first of equals; the offset
    Values best, best_unit;
    Number least = __builtin_inff();  // Σ of the superblock's losses
  };

  constexpr BlockSearch(const BlockGrid& grid, const Levels& levels)
      : grid_(grid), levels_(levels) {}

  // Σ importance · |w − ŵ|^power; ŵ is the nearest value. Group: `count`, and weight(i) and
  // importance(i) as Numbers.
  template <class Group>
  constexpr Number loss(const Group& group, const Values& values) const {
    const Number found = grid_.even ? even_loss(group, values) : table_loss(group, values.scale);
    const Number constant = where_equal(values.scale, Number(0), 1, 0);
    if (!any_above_zero(constant)) return found;
    return where(constant, loss_of_constant(group, Number(0) - values.offset), found);
  }

  // The best of the ladder, in numbers that f16 need not hold.
  template <class Group>
  constexpr Values fit(const Group& group) const {
    Number low = group.weight(0), high = low;
    for (int i = 1; i < group.count; ++i) {
      low = lesser(low, group.weight(i));
      high = greater(high, group.weight(i));
    }
    const Number extreme = where_less(high, Number(0) - low, low, high);
    const Values found =
        grid_.offsets ? fit_with_offset(group, lesser(low, Number(0)), greater(high, Number(0)))
        : grid_.even  ? fit_even(group, extreme)
                      : fit_table(group, extreme);
    // All zeros: nothing.
    return {where_equal(extreme, Number(0), Number(0), found.scale),
            where_equal(extreme, Number(0), Number(0), found.offset)};
  }

  // What is stored of a group with a scale of its own. All zeros: a table without a level 0 needs
  // scale 0, the others a scale that divides.
  constexpr Values stored(const Values& values) const {
    const Number nothing = grid_.even ? 1 : 0;
    return {where_equal(values.scale, Number(0), nothing, storable_in_f16(values.scale)),
            storable_in_f16(values.offset)};
  }

  // --- of a superblock: member(), its `largest` filled in by whoever has all of its groups; for
  // each trial try_unit(), the groups' losses added up from the first to the last, take_unit();
  // found() ---
  template <class Group>
  constexpr Member member(const Group& group) const {
    Member member;
    member.wanted = fit(group);
    member.centre = centre(group, member.wanted);
    member.best = nothing();
    return member;
  }
  constexpr int trials() const { return units() + (grid_.offsets ? 1 : 0); }
  template <class Group>
  constexpr Found try_unit(const Group& group, const Member& member, int trial) const {
    return best_multiples(group, member, unit_of(member, trial),
                          trial < units() ? reach() : further());
  }
  // What try_unit() found is taken where the superblock loses less than yet.
  constexpr void take_unit(const Values& found, const Number& sum, int trial,
                           Member& member) const {
    const Number better = where_less(sum, member.least, 1, 0);
    const Values unit = unit_of(member, trial);
    member.best = where(better, found, member.best);
    member.best_unit = where(better, unit, member.best_unit);
    member.least = where(better, sum, member.least);
  }
  constexpr Values found(const Member& member) const {
    return where(magnitude(member.largest.scale), member.best, nothing());
  }

  static constexpr Number magnitude(const Number& x) {
    return where_less(x, Number(0), Number(0) - x, x);
  }

 private:
  // Of groups that are all zeros.
  constexpr Values nothing() const { return {Number(grid_.even ? 1.0f : 0.0f), Number(0)}; }

  // The mean code, of weights as important as they are.
  template <class Group>
  constexpr Number centre(const Group& group, const Values& values) const {
    if (!grid_.offsets) return 0;
    Number sum = 0, all = 0;
    for (int i = 0; i < group.count; ++i) {
      sum = sum + group.importance(i) * group.weight(i);
      all = all + group.importance(i);
    }
    const Number mean = (sum / all + values.offset) / values.scale;
    const Number some = where_less(Number(0), all, mean, Number(0));
    return where_less(Number(0), values.scale, some, Number(0));
  }

  // The largest scale need not be the largest multiple: a unit a little larger or smaller may suit
  // the others better. `largest`: of the groups' scales, by magnitude, and of their offsets.
  constexpr int units() const { return grid_.offsets ? 9 : 6; }
  constexpr Values unit(int i, const Values& largest) const {
    const Number scale = largest.scale / Number(grid_.highest_scale);
    if (!grid_.offsets) {
      const float stretches[] = {1.0f, 0.97f, 1.03f, 0.94f, 1.06f, 1.1f};
      return {storable_in_f16(scale * Number(stretches[i])), Number(0)};
    }
    const Number offset = largest.offset / greater(Number(1), Number(grid_.highest_offset));
    const float stretches[] = {1.0f, 0.95f, 1.05f}, mores[] = {1.0f, 1.05f, 1.1f};
    return {storable_in_f16(scale * Number(stretches[i / 3])),
            storable_in_f16(offset * Number(mores[i % 3]))};
  }
  constexpr Reach reach() const { return grid_.offsets ? Reach{2, 1} : Reach{1, 0}; }
  // With offsets there is much to try, so the best unit's multiples are sought further away
  // afterwards.
  static constexpr Reach further() { return {6, 2}; }
  constexpr Values unit_of(const Member& member, int trial) const {
    return trial < units() ? unit(trial, member.largest) : member.best_unit;
  }

  // Multiples of `unit` near `wanted`. A line through weights and codes that turns about its centre
  // loses little: where the scale is another, so is the offset that goes with it.
  template <class Group>
  constexpr Found best_multiples(const Group& group, const Member& member, const Values& unit,
                                 Reach reach) const {
    const Values& wanted = member.wanted;
    const Number lowest = grid_.lowest_scale, highest = grid_.highest_scale;
    const Number none = 0, most = grid_.highest_offset;
    const Number scale = multiple_of(wanted.scale, unit.scale, lowest, highest);
    Found best;
    for (int ds = -reach.scale; ds <= reach.scale; ++ds) {
      const Number s = scale + Number(static_cast<float>(ds));
      const Number scale_there = within(s, lowest, highest);
      if (!any_above_zero(scale_there)) continue;
      const Number tried_scale = unit.scale * s;
      const Number turned = wanted.offset + member.centre * (tried_scale - wanted.scale);
      const Number offset = multiple_of(turned, unit.offset, none, most);
      for (int d = -reach.offset; d <= reach.offset; ++d) {
        const Number o = offset + Number(static_cast<float>(d));
        const Number there = scale_there * within(o, none, most);
        if (!any_above_zero(there)) continue;
        const Values tried{tried_scale, unit.offset * o};
        take(best, tried, loss(group, tried), there);
      }
    }
    return best;
  }

  // What is less, where `counts`.
  static constexpr void take(Found& best, const Values& tried, const Number& loss,
                             const Number& counts) {
    const Number better = counts * where_less(loss, best.loss, 1, 0);
    best.values = where(better, tried, best.values);
    best.loss = where(better, loss, best.loss);
  }

  static constexpr Number where(const Number& truth, const Number& x, const Number& y) {
    return where_less(Number(0), truth, x, y);
  }
  static constexpr Values where(const Number& truth, const Values& x, const Values& y) {
    return {where(truth, x.scale, y.scale), where(truth, x.offset, y.offset)};
  }

  // Of numbers; a NaN is equal to everything.
  static constexpr Number where_equal(const Number& a, const Number& b, const Number& x,
                                      const Number& y) {
    return where_less(a, b, y, where_less(b, a, y, x));
  }
  static constexpr Number within(const Number& x, const Number& lowest, const Number& highest) {
    return where_less(x, lowest, 0, where_less(highest, x, 0, 1));
  }

  // The multiple of a unit that is nearest, of those that there are.
  static constexpr Number multiple_of(const Number& value, const Number& unit, const Number& lowest,
                                      const Number& highest) {
    const Number multiple = where_equal(unit, Number(0), Number(0), value / unit);
    return round_small(bounded(multiple, lowest, highest));
  }

  // The lowest for what is not a number.
  static constexpr Number bounded(const Number& x, const Number& lowest, const Number& highest) {
    return lesser(greater(lowest, x), highest);
  }

  // For |x| well below 2^22.
  static constexpr Number round_small(const Number& x) {
    const Number no_fractions = 0x1.8p23f;
    return (x + no_fractions) - no_fractions;
  }

  // |x|^power, up to 6 % more (for 2.4): the exponent of x² is read off its bits as if they were a
  // logarithm. The excess comes again with every doubling of x², so that it weighs all sizes of
  // error about alike; the search compares losses of the same weights.
  constexpr Number power_of(const Number& x) const {
    const Number square = x * x;
    const Number one = 0x1p23f * 127;
    const Number bits = number_of_bits(square + Number(1e-37f));
    return square * bits_of_number((bits - one) * Number(grid_.exponent_beside_square) + one);
  }

  constexpr Number code_of(const Number& places) const {
    return bounded(round_small(places), Number(0), Number(grid_.largest));
  }

  // The level nearest to x when x is rounded first: the solver looks again. A NaN, of weights whose
  // squares overflow, has the lowest.
  constexpr Number nearest(const Number& x) const {
    constexpr float kHalf = BlockGrid::kWholes / 2;
    return levels_(bounded(round_small(x), Number(-kHalf), Number(kHalf - 1)));
  }

  template <class Group>
  constexpr Number loss_of_constant(const Group& group, const Number& value) const {
    Number sum = 0;
    for (int i = 0; i < group.count; ++i)
      sum = sum + group.importance(i) * power_of(group.weight(i) - value);
    return sum;
  }

  template <class Group>
  constexpr Number even_loss(const Group& group, const Values& values) const {
    const Number inverse = Number(1) / values.scale;
    const Number shift = grid_.offsets ? values.offset : Number(grid_.zero) * values.scale;
    Number sum = 0;
    for (int i = 0; i < group.count; ++i) {
      const Number shifted = group.weight(i) + shift;
      sum =
          sum + group.importance(i) * power_of(shifted - code_of(shifted * inverse) * values.scale);
    }
    return sum;
  }

  template <class Group>
  constexpr Number table_loss(const Group& group, const Number& scale) const {
    const Number inverse = Number(1) / scale;
    Number sum = 0;
    for (int i = 0; i < group.count; ++i) {
      const Number x = group.weight(i);
      sum = sum + group.importance(i) * power_of(x - scale * nearest(x * inverse));
    }
    return sum;
  }

  template <class Group>
  constexpr void try_scale(const Group& group, const Number& scale, const Number& counts,
                           Found& best) const {
    const Values tried{scale, Number(0)};
    take(best, tried, loss(group, tried), counts);
  }

  // The scale that suits the codes of the best one best, as long as that leads anywhere.
  template <class Group>
  constexpr Values refined(const Group& group, Found best) const {
    Number leads = 1;
    const Number zero = grid_.zero, largest = grid_.largest;
    for (int step = 0; step < 3 && any_above_zero(leads); ++step) {
      const Number inverse = Number(1) / best.values.scale;
      Number products = 0, squares = 0;
      for (int i = 0; i < group.count; ++i) {
        const Number x = group.weight(i) * inverse;
        const Number level =
            grid_.even ? bounded(round_small(x), Number(0) - zero, largest - zero) : nearest(x);
        products = products + group.importance(i) * level * group.weight(i);
        squares = squares + group.importance(i) * level * level;
      }
      leads = leads * where_less(Number(0), squares, 1, 0) * where_equal(products, Number(0), 0, 1);
      const Number before = best.loss;
      try_scale(group, products / squares, leads, best);
      leads = leads * where_less(best.loss, before, 1, 0);
    }
    return best.values;
  }

  // `extreme`: the weight of largest magnitude. The lowest level, of which there is one more, is
  // on its side where scales may be negative.
  template <class Group>
  constexpr Values fit_even(const Group& group, const Number& extreme) const {
    const Number largest = magnitude(extreme);
    if (!grid_.searched) return {Number(2) * largest / Number(grid_.largest), Number(0)};
    Found best;
    for (int side = 0; side < (grid_.signed_scales ? 2 : 1); ++side) {
      const Number whole = (side == 0 ? largest : Number(0) - largest) / Number(grid_.zero);
      for (int i = 0; i < 28; ++i)
        try_scale(group, whole * Number(1.04f - 0.02f * static_cast<float>(i)), 1, best);
    }
    return refined(group, best);
  }

  // `extreme`: the weight of largest magnitude, which may become either end of the table.
  template <class Group>
  constexpr Values fit_table(const Group& group, const Number& extreme) const {
    if (!grid_.searched) return {extreme / Number(grid_.lowest_level), Number(0)};
    Found best;
    for (int side = 0; side < 2; ++side) {
      const Number whole = extreme / Number(side == 0 ? grid_.lowest_level : grid_.highest_level);
      for (int i = 0; i < 14; ++i)
        try_scale(group, whole * Number(1.08f - 0.04f * static_cast<float>(i)), 1, best);
    }
    const Number coarse = best.values.scale;
    const float nears[] = {0.97f, 0.985f, 1.015f, 1.03f};
    for (int i = 0; i < 4; ++i) try_scale(group, coarse * Number(nears[i]), 1, best);
    return refined(group, best);
  }

  // From the range shrunk about its ends, and from where least squares on its codes leads.
  template <class Group>
  constexpr Values fit_with_offset(const Group& group, const Number& low,
                                   const Number& high) const {
    const Number largest = grid_.largest, range = high - low;
    Found best{{range / largest, Number(0) - low}};
    if (!grid_.searched) return best.values;
    best.loss = loss(group, best.values);
    for (int i = 0; i < 14; ++i) {
      const Number shrink = 1.04f - 0.03f * static_cast<float>(i);
      Values tried{shrink * range / largest, (Number(0) - low) * shrink};
      Number leads = 1;
      for (int step = 0; step < 3 && any_above_zero(leads); ++step) {
        take(best, tried, loss(group, tried), leads);
        tried = least_squares(group, tried);
        leads = leads * where_less(Number(0), tried.scale, 1, 0);
      }
    }
    return best.values;
  }

  // The line through weights and the codes that `values` give them; the offset not negative.
  template <class Group>
  constexpr Values least_squares(const Group& group, const Values& values) const {
    const Number inverse = Number(1) / values.scale;
    Number count = 0, codes = 0, squares = 0, sum = 0, products = 0;
    for (int i = 0; i < group.count; ++i) {
      const Number x = group.weight(i), counts = group.importance(i);
      const Number code = code_of((x + values.offset) * inverse);
      count = count + counts;
      codes = codes + counts * code;
      squares = squares + counts * code * code;
      sum = sum + counts * x;
      products = products + counts * code * x;
    }
    const Number determinant = count * squares - codes * codes;
    const Values line{(count * products - codes * sum) / determinant,
                      (codes * products - squares * sum) / determinant};
    const Number through_zero = where_less(Number(0), squares, products / squares, Number(0));
    const Number negative = where_less(line.offset, Number(0), 1, 0);
    const Values found = where(negative, {through_zero, Number(0)}, line);
    return where(where_less(Number(0), determinant, 1, 0), found, {});
  }

  const BlockGrid& grid_;
  const Levels levels_;
};

}  // namespace halftone
