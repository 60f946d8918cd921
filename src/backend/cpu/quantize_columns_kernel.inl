// One panel of rows of one block of columns, rows across vector lanes; quantize_columns.cpp
// includes it once for each instruction set.

// Rounds column k of the panel, whose feedback is complete in `wanted`.
inline void round_column(const Panel& panel, int64_t k, int64_t lane, Vector wanted) {
  const int64_t at = k * kPanelRows + lane;
  const int64_t group = static_cast<int64_t>(panel.group_of[k]) * kPanelRows + lane;
  const Vector scale = Vector::load(panel.scales + group);
  const Vector zero = Vector::load(panel.zeros + group);
  const Vector code = smaller(larger(round_even(wanted / scale) + zero, Vector::all(0)),
                              Vector::all(panel.largest_code));
  const Vector value = scale * (code - zero);
  code.store_bytes(panel.codes + at);
  (wanted - value).store(panel.target + at);
  (Vector::load(panel.errors + at) - value).store(panel.errors + at);
}

// target[:, begin … begin + kColumnsAtOnce) += Σ_{j >= from} errors[:, j] · L[j, begin …), for the
// two vectors of rows at `lane`: each error that is read serves all of the columns.
inline void add_feedback(const Panel& panel, int64_t begin, int64_t from, int64_t lane) {
  constexpr int kColumns = Vector::kColumnsAtOnce;
  constexpr int kWidth = Vector::kWidth;
  Vector low[kColumns], high[kColumns];
  for (int i = 0; i < kColumns; ++i) {
    low[i] = Vector::load(panel.target + (begin + i) * kPanelRows + lane);
    high[i] = Vector::load(panel.target + (begin + i) * kPanelRows + lane + kWidth);
  }
  for (int64_t j = from; j < panel.columns; ++j) {
    const float* factor = panel.factor + j * panel.factor_ld + begin;
    const Vector low_error = Vector::load(panel.errors + j * kPanelRows + lane);
    const Vector high_error = Vector::load(panel.errors + j * kPanelRows + lane + kWidth);
    for (int i = 0; i < kColumns; ++i) {
      low[i] = multiply_add(low_error, Vector::all(factor[i]), low[i]);
      high[i] = multiply_add(high_error, Vector::all(factor[i]), high[i]);
    }
  }
  for (int i = 0; i < kColumns; ++i) {
    low[i].store(panel.target + (begin + i) * kPanelRows + lane);
    high[i].store(panel.target + (begin + i) * kPanelRows + lane + kWidth);
  }
}

// Columns [begin, end), last to first, those from `end` on being fed back already.
inline void round_columns(const Panel& panel, int64_t begin, int64_t end) {
  for (int64_t lane = 0; lane < kPanelRows; lane += Vector::kWidth) {
    for (int64_t k = end - 1; k >= begin; --k) {
      Vector wanted = Vector::load(panel.target + k * kPanelRows + lane);
      for (int64_t j = k + 1; j < end; ++j)
        wanted = multiply_add(Vector::load(panel.errors + j * kPanelRows + lane),
                              Vector::all(panel.factor[j * panel.factor_ld + k]), wanted);
      round_column(panel, k, lane, wanted);
    }
  }
}

void quantize_panel(const Panel& panel) {
  constexpr int64_t kColumns = Vector::kColumnsAtOnce;
  int64_t end = panel.columns;
  for (; end >= kColumns; end -= kColumns) {
    if (end < panel.columns)
      for (int64_t lane = 0; lane < kPanelRows; lane += 2 * Vector::kWidth)
        add_feedback(panel, end - kColumns, end, lane);
    round_columns(panel, end - kColumns, end);
  }
  if (end == 0) return;
  // Fewer columns than fit at once are left: the same sums, one column at a time.
  for (int64_t k = end - 1; k >= 0; --k) {
    for (int64_t lane = 0; lane < kPanelRows; lane += Vector::kWidth) {
      Vector wanted = Vector::load(panel.target + k * kPanelRows + lane);
      for (int64_t j = k + 1; j < panel.columns; ++j)
        wanted = multiply_add(Vector::load(panel.errors + j * kPanelRows + lane),
                              Vector::all(panel.factor[j * panel.factor_ld + k]), wanted);
      round_column(panel, k, lane, wanted);
    }
  }
}
