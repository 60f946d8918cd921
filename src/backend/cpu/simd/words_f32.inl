// Attention's products in f32, whatever the inputs are stored in.
struct Words {
  static constexpr int kPair = 1;
  static constexpr int kExponentialTerms = 5;

  static Vec multiply_add(Vec sum, Vec a, Vec b) { return fma(a, b, sum); }
  static void copy_words(Source x, int64_t count, float* words) {
    for_vectors(count, [&](int64_t i, int lanes) { store(load(x, i, lanes), words + i, lanes); });
  }
  static void interleave(Source x, Source, int64_t count, float* words) {
    if (x.data) return copy_words(x, count, words);
    for (int64_t i = 0; i < count; ++i) words[i] = 0;
  }
  static void store_weights(Vec weights, int64_t i, float* row) { store(weights, row + i); }
};
