// Causal attention without the matrix of scores (FlashAttention-2, arXiv 2307.08691): tiles of keys
// pass by a block of queries, whose running maximum, sum and output are rescaled as the maximum
// grows.
//
// The includer defines Vec, a `struct Words` that says how elements lie in 32-bit words,
//   kPair                     elements in a word: 1 (f32) or 2 (bf16)
//   kExponentialTerms         what the precision of the weights asks for
//   copy_words(source, n, p)  n elements as words at p, zeros behind them in the last
//   interleave(a, b, n, p)    kPair rows of n elements as words
//   store_weights(vec, i, p)  softmax weights i … of a row at p
// and the products over such words:
//   kRowTile, kDepthTile      rows and depth come as multiples of these
//   kRowBlock                 rows whose scores are held at a time, at most kMostRows
//   multiply(operands, rows, cols)
// Memory is laid out by AttentionLayout.

// One task's state: see AttentionLayout.
struct AttentionState {
  AttentionState(const AttentionTask& given)
      : task(given),
        layout(given.q.rows * given.group, given.spec->head_dim),
        rows(given.q.rows * given.group),
        padded_rows(round_up(rows, kRowTile)),
        words((given.spec->head_dim + Words::kPair - 1) / Words::kPair),
        depth(round_up(words, kDepthTile)),
        scale_log2(given.spec->softcap > 0 ? kLog2E : given.spec->scale * kLog2E) {}

  float* at(int64_t offset) const { return static_cast<float*>(task.scratch) + offset; }
  // Keys that row r sees: [first_key, last_key). From a table: divisions would cost as much as a
  // vector's exponentials.
  int32_t* last_keys() const { return static_cast<int32_t*>(task.scratch) + layout.last_keys; }
  int64_t last_key(int64_t r) const { return last_keys()[r]; }
  int64_t first_key(int64_t r) const {
    const int64_t window = task.spec->window;
    return window > 0 && last_key(r) > window ? last_key(r) - window : 0;
  }

  const AttentionTask& task;
  AttentionLayout layout;
  int64_t rows, padded_rows;
  int64_t words, depth;  // of a query or key, without and with what pads
  float scale_log2;  // of a score, to the base-2 exponent of its weight
};

// One query or key as words, zeros up to the depth.
inline void pack_row(const AttentionState& s, Source x, float* out) {
  Words::copy_words(x, s.task.spec->head_dim, out);
  for (int64_t i = s.words; i < s.depth; ++i) out[i] = 0;
}

inline void pack_queries(const AttentionState& s) {
  const int64_t dim = s.task.spec->head_dim;
  float* out = s.at(s.layout.queries);
  for (int64_t r = 0; r < s.padded_rows; ++r, out += s.depth) {
    const int64_t row = r < s.rows ? r : s.rows - 1;  // what pads is never stored
    pack_row(s, source(s.task.q, row / s.task.group, row % s.task.group * dim), out);
  }
  for (int64_t i = 0; i < s.padded_rows * s.layout.padded_dim; ++i) s.at(s.layout.output)[i] = 0;
  for (int64_t r = 0; r < s.padded_rows; ++r) {
    s.at(s.layout.largest)[r] = kNoScore;
    s.last_keys()[r] = static_cast<int32_t>(s.task.first_position + r / s.task.group + 1);
    for (int64_t lane = 0; lane < kLanes; ++lane) s.at(s.layout.sum)[r * kLanes + lane] = 0;
  }
}

// The next tile's rows, too far apart for the hardware to foresee.
inline void prefetch_row(ConstView x, int64_t row, int64_t count) {
  if (row >= x.rows) return;
  const char* bytes = static_cast<const char*>(source(x, row).data);
  const int64_t size = count * (x.dtype == DType::f32 ? 4 : 2);
  for (int64_t i = 0; i < size; i += 64) __builtin_prefetch(bytes + i, 0, 2);
}

// Keys [begin, begin + count) to (depth, kKeyTile), values to (keys / kPair, padded_dim); zeros
// where there are none.
inline void pack_tile(const AttentionState& s, int64_t begin, int64_t count) {
  const int64_t dim = s.task.spec->head_dim;
  float* staging = s.at(s.layout.staging);
  for (int64_t key = 0; key < count; ++key) {
    pack_row(s, source(s.task.k, begin + key), staging + key * s.depth);
    prefetch_row(s.task.k, begin + key + kKeyTile, dim);
    prefetch_row(s.task.v, begin + key + kKeyTile, dim);
  }
  for (int64_t i = count * s.depth; i < kKeyTile * s.depth; ++i) staging[i] = 0;
  transpose(staging, s.depth, s.at(s.layout.keys));

  float* values = s.at(s.layout.values);
  for (int64_t key = 0; key < kKeyTile; key += Words::kPair, values += s.layout.padded_dim) {
    const int64_t left = count - key;
    Words::interleave(left > 0 ? source(s.task.v, begin + key) : Source{},
                        left > 1 ? source(s.task.v, begin + key + 1) : Source{}, dim, values);
    for (int64_t i = dim; i < s.layout.padded_dim; ++i) values[i] = 0;
  }
}

inline Vec exponential(Vec x) { return exp2_of_negative<Words::kExponentialTerms>(x); }

// Scores of row r to keys [begin, begin + width) become weights; returns the factor by which what
// was summed before shrinks.
inline float weigh_row(const AttentionState& s, int64_t r, int64_t begin, int64_t width,
                       float* row) {
  const AttentionSpec& spec = *s.task.spec;
  if (spec.softcap > 0) {
    const Vec inner = broadcast(spec.scale / spec.softcap);
    for (int64_t i = 0; i < width; i += Vec::kWidth)
      store(broadcast(spec.softcap) * tanh_of(load(row + i) * inner), row + i);
  }
  const int64_t last = s.last_key(r) - begin, first_seen = s.first_key(r) - begin;
  for (int64_t i = last < 0 ? 0 : last; i < width; ++i) row[i] = kMasked;
  for (int64_t i = 0; i < first_seen && i < width; ++i) row[i] = kMasked;

  Vec most = load(row);
  for (int64_t i = Vec::kWidth; i < width; i += Vec::kWidth) most = maximum(most, load(row + i));
  float* largest_seen = s.at(s.layout.largest) + r;
  const float before = *largest_seen;
  const float found = largest_of(most);
  const float now = found > before ? found : before;
  *largest_seen = now;

  const float shift = now * s.scale_log2;
  float shrink = 1;
  if (now > before) shrink = first_of(exponential(broadcast(before * s.scale_log2 - shift)));
  float* sum = s.at(s.layout.sum) + r * kLanes;
  Vec total = load(sum) * broadcast(shrink);
  for (int64_t i = 0; i < width; i += Vec::kWidth) {
    const Vec weight = exponential(fma(load(row + i), broadcast(s.scale_log2), broadcast(-shift)));
    total = total + weight;
    Words::store_weights(weight, i, row);
  }
  store(total, sum);
  return shrink;
}

// Rows [row, row + count) of the task against the tile of keys [begin, end).
inline void attend_block(const AttentionState& s, int64_t row, int64_t begin, int64_t end) {
  const int64_t left = s.rows - row < kRowBlock ? s.rows - row : kRowBlock;
  const int64_t padded = round_up(left, kRowTile);
  const int64_t seen = s.last_key(row + left - 1) < end ? s.last_key(row + left - 1) : end;
  if (seen <= begin || s.first_key(row) >= end) return;
  // Whole register tiles: masking what is too much is cheaper than narrow tiles.
  const int64_t width = round_up(seen - begin, kWideTile);

  float* scores = s.at(s.layout.scores);
  multiply({.a = s.at(s.layout.queries) + row * s.depth,
            .a_stride = s.depth,
            .b = s.at(s.layout.keys),
            .b_stride = kKeyTile,
            .depth = s.depth,
            .c = scores,
            .c_stride = kKeyTile,
            .factors = nullptr},
           padded, width);
  float factors[kRowBlock] = {};
  for (int64_t r = 0; r < left; ++r)
    factors[r] = weigh_row(s, row + r, begin, width, scores + r * kKeyTile);
  multiply({.a = scores,
            .a_stride = kKeyTile,
            .b = s.at(s.layout.values),
            .b_stride = s.layout.padded_dim,
            .depth = width / Words::kPair,
            .c = s.at(s.layout.output) + row * s.layout.padded_dim,
            .c_stride = s.layout.padded_dim,
            .factors = factors},
           padded, s.layout.padded_dim);
}

inline void store_output(const AttentionState& s) {
  const int64_t dim = s.task.spec->head_dim;
  for (int64_t r = 0; r < s.rows; ++r) {
    const float* out = s.at(s.layout.output) + r * s.layout.padded_dim;
    const Vec inverse = broadcast(1.0f / sum_of(load(s.at(s.layout.sum) + r * kLanes)));
    const Target y = target(s.task.y, r / s.task.group, r % s.task.group * dim);
    for_vectors(dim,
                [&](int64_t i, int lanes) { store(load(out + i, lanes) * inverse, y, i, lanes); });
  }
}

inline void attend_task(const AttentionTask& task) {
  const AttentionState state(task);
  pack_queries(state);
  const int64_t end = state.last_key(state.rows - 1);
  for (int64_t key = state.first_key(0) / kKeyTile * kKeyTile; key < end; key += kKeyTile) {
    const int64_t count = end - key < kKeyTile ? end - key : kKeyTile;
    pack_tile(state, key, count);
    for (int64_t row = 0; row < state.rows; row += kRowBlock)
      attend_block(state, row, key, key + count);
  }
  store_output(state);
}
