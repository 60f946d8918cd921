// GPTQ's inner loop over one panel of rows and block of columns; see quantizer_kernels.h.

// A code and what it stands for before scale and offset.
struct Rounded {
  Vec code, level;
};

// The nearest of a table's levels, the lower one of two.
inline Rounded nearest_level(const ColumnPanel& panel, Vec wanted) {
  Rounded rounded{broadcast(0), broadcast(panel.levels[0])};
  for (int i = 1; i <= static_cast<int>(panel.largest_code); ++i) {
    const float below = panel.levels[i - 1], above = panel.levels[i];
    const Vec middle = broadcast(0.5f * (below + above));
    rounded.code = rounded.code + select_less(middle, wanted, broadcast(1), broadcast(0));
    rounded.level =
        rounded.level + select_less(middle, wanted, broadcast(above - below), broadcast(0));
  }
  return rounded;
}

// Columns of grids that are not even, or have offsets.
inline void round_general_column(const ColumnPanel& panel, int64_t at, Vec scale, Vec zero,
                                 Vec wanted) {
  const Vec steps = panel.offsets ? (wanted + zero) / scale : wanted / scale + zero;
  Rounded rounded;
  if (panel.levels) {
    rounded = nearest_level(panel, steps);
  } else {
    rounded.code = minimum(maximum(round_nearest(steps), broadcast(0)),
                           broadcast(panel.largest_code));
    rounded.level = rounded.code;
  }
  const Vec value =
      panel.offsets ? scale * rounded.level - zero : scale * (rounded.level - zero);
  store_bytes(rounded.code, panel.codes + at);
  store(wanted - value, panel.target + at);
  store(load(panel.errors + at) - value, panel.errors + at);
}

// Rounds column k of the panel, whose feedback is complete in `wanted`.
inline void round_column(const ColumnPanel& panel, int64_t k, int64_t lane, Vec wanted) {
  const int64_t at = k * kPanelRows + lane;
  const int64_t group = static_cast<int64_t>(panel.group_of[k]) * kPanelRows + lane;
  const Vec scale = load(panel.scales + group), zero = load(panel.zeros + group);
  if (panel.levels || panel.offsets) return round_general_column(panel, at, scale, zero, wanted);
  const Vec code = minimum(maximum(round_nearest(wanted / scale) + zero, broadcast(0)),
                           broadcast(panel.largest_code));
  const Vec value = scale * (code - zero);
  store_bytes(code, panel.codes + at);
  store(wanted - value, panel.target + at);
  store(load(panel.errors + at) - value, panel.errors + at);
}

// Rounds column k once it has the feedback of columns k + 1 … end − 1.
inline void finish_column(const ColumnPanel& panel, int64_t k, int64_t end) {
  for (int64_t lane = 0; lane < kPanelRows; lane += Vec::kWidth) {
    Vec wanted = load(panel.target + k * kPanelRows + lane);
    for (int64_t j = k + 1; j < end; ++j)
      wanted = fma(load(panel.errors + j * kPanelRows + lane),
                   broadcast(panel.factor[j * panel.factor_ld + k]), wanted);
    round_column(panel, k, lane, wanted);
  }
}

// target[:, begin … begin + kColumnsAtOnce) += Σ_{j >= from} errors[:, j] · L[j, begin …), for the
// two vectors of rows at `lane`: each error that is read serves all of the columns.
inline void add_feedback(const ColumnPanel& panel, int64_t begin, int64_t from, int64_t lane) {
  Vec low[kColumnsAtOnce], high[kColumnsAtOnce];
  for (int i = 0; i < kColumnsAtOnce; ++i) {
    low[i] = load(panel.target + (begin + i) * kPanelRows + lane);
    high[i] = load(panel.target + (begin + i) * kPanelRows + lane + Vec::kWidth);
  }
  for (int64_t j = from; j < panel.columns; ++j) {
    const float* factor = panel.factor + j * panel.factor_ld + begin;
    const Vec low_error = load(panel.errors + j * kPanelRows + lane);
    const Vec high_error = load(panel.errors + j * kPanelRows + lane + Vec::kWidth);
    for (int i = 0; i < kColumnsAtOnce; ++i) {
      low[i] = fma(low_error, broadcast(factor[i]), low[i]);
      high[i] = fma(high_error, broadcast(factor[i]), high[i]);
    }
  }
  for (int i = 0; i < kColumnsAtOnce; ++i) {
    store(low[i], panel.target + (begin + i) * kPanelRows + lane);
    store(high[i], panel.target + (begin + i) * kPanelRows + lane + Vec::kWidth);
  }
}

void quantize_panel(const ColumnPanel& panel) {
  int64_t end = panel.columns;
  for (; end >= kColumnsAtOnce; end -= kColumnsAtOnce) {
    const int64_t begin = end - kColumnsAtOnce;
    for (int64_t lane = 0; lane < kPanelRows; lane += 2 * Vec::kWidth)
      add_feedback(panel, begin, end, lane);
    for (int64_t k = end - 1; k >= begin; --k) finish_column(panel, k, end);
  }
  // The first few columns, fewer than fit at once.
  for (int64_t k = end - 1; k >= 0; --k) finish_column(panel, k, panel.columns);
}
