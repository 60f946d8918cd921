// out (depth, kKeyTile) := words (kKeyTile, depth) transposed, in blocks that stay in few cache
// lines.
inline void transpose(const float* words, int64_t depth, float* out) {
  constexpr int64_t kBlock = 8;
  for (int64_t begin = 0; begin < depth; begin += kBlock) {
    const int64_t end = begin + kBlock < depth ? begin + kBlock : depth;
    for (int64_t key = 0; key < kKeyTile; ++key)
      for (int64_t i = begin; i < end; ++i) out[i * kKeyTile + key] = words[key * depth + i];
  }
}
