// The products of attention over words in registers: tiles of kRowTile rows. Included before
// attention.inl; Words::multiply_add(acc, a, b) is acc + the product of words, lane by lane.
constexpr int64_t kRowTile = 6;
constexpr int64_t kDepthTile = 1;
constexpr int64_t kRowBlock = 24;  // their scores stay in the first-level cache

template <int kVectors>
inline void multiply_tile(const TileOperands& t) {
  constexpr int kRows = static_cast<int>(kRowTile);
  Vec sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVectors; ++j)
      sum[r][j] = t.factors ? load(t.c + r * t.c_stride + j * Vec::kWidth) * broadcast(t.factors[r])
                            : broadcast(0.0f);
  for (int64_t k = 0; k < t.depth; ++k) {
    Vec b[kVectors];
    for (int j = 0; j < kVectors; ++j) b[j] = load(t.b + k * t.b_stride + j * Vec::kWidth);
    for (int r = 0; r < kRows; ++r) {
      const Vec a = broadcast(t.a[r * t.a_stride + k]);
      for (int j = 0; j < kVectors; ++j) sum[r][j] = Words::multiply_add(sum[r][j], a, b[j]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVectors; ++j) store(sum[r][j], t.c + r * t.c_stride + j * Vec::kWidth);
}

// `rows` a multiple of kRowTile, `cols` of kWidth.
inline void multiply(const TileOperands& all, int64_t rows, int64_t cols) {
  constexpr int64_t kWide = Vec::kTileVectors * Vec::kWidth;
  for (int64_t col = 0; col < cols;) {
    const bool wide = col + kWide <= cols;
    for (int64_t row = 0; row < rows; row += kRowTile) {
      TileOperands t = all;
      t.a += row * t.a_stride;
      t.b += col;
      t.c += row * t.c_stride + col;
      if (t.factors) t.factors += row;
      if (wide)
        multiply_tile<Vec::kTileVectors>(t);
      else
        multiply_tile<1>(t);
    }
    col += wide ? kWide : Vec::kWidth;
  }
}
