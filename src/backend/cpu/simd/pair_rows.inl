// words[i] := low[i] in its lower half, high[i] in its upper: two tokens of a column as a word. The
// compiler makes vectors of this.
inline void pair_rows(const bf16* low, const bf16* high, int64_t count, uint32_t* words) {
  for (int64_t i = 0; i < count; ++i)
    words[i] = low[i].bits | static_cast<uint32_t>(high[i].bits) << 16;
}
