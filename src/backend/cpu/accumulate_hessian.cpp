// h += xᵀ · diag(row_weights) · x, the lower triangle: x is turned and packed once, then multiplied
// with itself by tiles of fixed size, whose sums over a chunk of tokens are added to h in f32.
//
// bf16 inputs are multiplied as bf16 where the processor does that, and otherwise as f32, which is
// the same but for the order of the sums. A row's weight is taken as its square root on both sides,
// rounded to the type of the products: what is added is a Gram matrix then, never indefinite.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/simd/quantizer_kernels.h"
#include "base/half.h"

namespace halftone::cpu {
namespace {

constexpr int64_t kColumns = kPackColumns;  // of h, in a tile
constexpr int64_t kRows = 256;              // of h, in a tile
constexpr int64_t kTokens = 2048;           // multiplied at once: bounds the copies of x

// Rows [row, row_end) of h and column block `block`; those above the diagonal do not count.
struct HessianTile {
  int64_t row = 0, row_end = 0, block = 0;
};

// Neighbouring tiles share rows: their turned inputs stay in the cache.
std::vector<HessianTile> tiles_of(int64_t inputs) {
  std::vector<HessianTile> tiles;
  for (int64_t row = 0; row < inputs; row += kRows) {
    const int64_t row_end = std::min(row + kRows, inputs);
    for (int64_t block = 0; block * kColumns < row_end; ++block)
      tiles.push_back({std::max(row, block * kColumns), row_end, block});
  }
  return tiles;
}

// words[i] |= the bits of root · x[i], as f32 or as the bf16 that is `half` of the word.
template <class T>
void stage_row(const T* x, int64_t count, float root, DType products, int64_t half,
               uint32_t* words) {
  const auto value = [&](int64_t i) {
    if constexpr (std::is_same_v<T, float>)
      return root * x[i];
    else
      return root * to_float(x[i]);
  };
  if (products == DType::f32) {
    for (int64_t i = 0; i < count; ++i) words[i] = std::bit_cast<uint32_t>(value(i));
  } else {
    for (int64_t i = 0; i < count; ++i)
      words[i] |= static_cast<uint32_t>(to_bf16(value(i)).bits) << 16 * half;
  }
}

// One chunk of tokens twice: as xᵀ (inputs, tokens), and by blocks of columns as oneDNN wants them
// on the right of a product.
class TurnedInputs {
 public:
  TurnedInputs(const HessianTools& tools, ConstView x, DType products)
      : tools_(tools),
        kernels_(simd::quantizer_kernels_for(tools.isa)),
        x_(x),
        products_(products),
        pack_(tools.matmul.pack_kernel(x.rows, std::min(kColumns, x.cols), products)),
        last_pack_(tools.matmul.pack_kernel(x.rows, (x.cols - 1) % kColumns + 1, products)),
        memory_(tools.scratch.lease(turned_bytes() + blocks() * packed_bytes())) {
    turned_ = memory_.take(turned_bytes());
    packed_ = memory_.take(blocks() * packed_bytes());
  }

  // row_weights: of the chunk, or null.
  void fill(const float* row_weights) {
    tools_.pool.parallel_for(blocks(), 1, [&](int64_t block, int64_t) {
      const PackKernel& pack = pack_of(block);
      std::byte* packed = packed_ + block * packed_bytes();
      if (pack.direct)
        return stage_and_turn(block, row_weights, reinterpret_cast<uint32_t*>(packed));
      Scratch::Lease scratch = tools_.scratch.lease(pack.staged_bytes);
      std::byte* staged = scratch.take(pack.staged_bytes);
      stage_and_turn(block, row_weights, reinterpret_cast<uint32_t*>(staged));
      tools_.matmul.run(pack, staged, packed);
    });
  }

  void multiply(const HessianTile& tile, View h) {
    const PackKernel& pack = pack_of(tile.block);
    const int64_t col = tile.block * kColumns, cols = std::min(kColumns, x_.cols - col);
    const MatmulShape shape{
        .rows = tile.row_end - tile.row, .inputs = x_.rows, .outputs = cols, .compute = products_};
    const MatmulKernel kernel = tools_.matmul.kernel(shape, pack.layout);
    const int64_t sum_bytes = shape.rows * cols * 4;
    Scratch::Lease scratch =
        tools_.scratch.lease(Scratch::aligned(sum_bytes) + Scratch::aligned(kernel.scratch_bytes));
    float* sums = reinterpret_cast<float*>(scratch.take(sum_bytes));
    tools_.matmul.run(kernel, {.x = row_of(tile.row),
                               .weight = packed_ + tile.block * packed_bytes(),
                               .y = sums,
                               .scratch = scratch.take(kernel.scratch_bytes)});
    for (int64_t row = tile.row; row < tile.row_end; ++row, sums += cols) {
      float* to = h.row<float>(row) + col;
      const int64_t below = std::min(cols, row + 1 - col);
      for (int64_t i = 0; i < below; ++i) to[i] += sums[i];
    }
  }

 private:
  int64_t element() const { return static_cast<int64_t>(size_of(products_)); }
  int64_t blocks() const { return (x_.cols + kColumns - 1) / kColumns; }
  int64_t turned_bytes() const { return Scratch::aligned(x_.rows * x_.cols * element()); }
  int64_t packed_bytes() const { return Scratch::aligned(std::max(pack_.bytes, last_pack_.bytes)); }
  const PackKernel& pack_of(int64_t block) const {
    return block + 1 < blocks() ? pack_ : last_pack_;
  }
  std::byte* row_of(int64_t col) const { return turned_ + col * x_.rows * element(); }
  int64_t tokens_a_word() const { return products_ == DType::bf16 ? 2 : 1; }

  // The block's columns as words (tokens / tokens_a_word, kColumns), and turned.
  void stage_and_turn(int64_t block, const float* row_weights, uint32_t* words) {
    const int64_t begin = block * kColumns, cols = std::min(kColumns, x_.cols - begin);
    const int64_t word_rows =
        pack_of(block).staged_bytes / (kColumns * static_cast<int64_t>(sizeof(uint32_t)));
    alignas(64) float turned[simd::kTurnedRows * kColumns];
    for (int64_t first = 0; first < word_rows; first += simd::kTurnedRows) {
      const int64_t rows = std::min(simd::kTurnedRows, word_rows - first);
      for (int64_t row = first; row < first + rows; ++row)
        stage(row * tokens_a_word(), begin, cols, row_weights, words + row * kColumns);
      const int64_t token = first * tokens_a_word();
      const int64_t tokens = std::min(rows * tokens_a_word(), x_.rows - token);
      if (tokens <= 0) continue;
      turn(words + first * kColumns, rows, turned);
      for (int64_t i = 0; i < cols; ++i)
        std::memcpy(row_of(begin + i) + token * element(), turned + i * simd::kTurnedRows,
                    static_cast<size_t>(tokens * element()));
    }
  }

  // turned (kColumns, kTurnedRows) := words (rows, kColumns) transposed.
  void turn(const uint32_t* words, int64_t rows, float* turned) const {
    if (rows == simd::kTurnedRows)
      return kernels_.transpose(reinterpret_cast<const float*>(words), kColumns, turned);
    alignas(64) uint32_t padded[simd::kTurnedRows * kColumns] = {};
    std::copy(words, words + rows * kColumns, padded);
    kernels_.transpose(reinterpret_cast<const float*>(padded), kColumns, turned);
  }

  // One row of words: a token as f32, or two of them as bf16; zeros beyond x.
  void stage(int64_t token, int64_t begin, int64_t cols, const float* row_weights,
             uint32_t* words) const {
    if (products_ == DType::bf16 && !row_weights && token + 1 < x_.rows) {
      kernels_.pair_rows(x_.row<bf16>(token) + begin, x_.row<bf16>(token + 1) + begin, cols, words);
      std::fill(words + cols, words + kColumns, 0u);
      return;
    }
    std::fill(words, words + kColumns, 0u);
    if (token >= x_.rows) return;
    for (int64_t half = 0; half < tokens_a_word() && token + half < x_.rows; ++half) {
      const float root = row_weights ? std::sqrt(row_weights[token + half]) : 1;
      if (x_.dtype == DType::f32)
        stage_row(x_.row<float>(token + half) + begin, cols, root, products_, half, words);
      else
        stage_row(x_.row<bf16>(token + half) + begin, cols, root, products_, half, words);
    }
  }

  const HessianTools& tools_;
  const simd::QuantizerKernels& kernels_;
  ConstView x_;
  DType products_;
  PackKernel pack_, last_pack_;  // of all blocks but the last, and of the last
  Scratch::Lease memory_;
  std::byte* turned_ = nullptr;
  std::byte* packed_ = nullptr;
};

}  // namespace

void cpu_accumulate_hessian(const HessianTools& tools, ConstView x, ConstView row_weights, View h) {
  assert(h.rows == x.cols && h.cols == x.cols && h.dtype == DType::f32);
  assert(x.dtype == DType::f32 || x.dtype == DType::bf16);
  assert(row_weights.empty() || (row_weights.cols == x.rows && row_weights.dtype == DType::f32));
  const DType products = x.dtype == DType::bf16 && tools.native_bf16 ? DType::bf16 : DType::f32;
  const std::vector<HessianTile> tiles = tiles_of(x.cols);
  for (int64_t begin = 0; begin < x.rows; begin += kTokens) {
    TurnedInputs inputs(tools, x.rows_of(begin, std::min(begin + kTokens, x.rows)), products);
    inputs.fill(row_weights.empty() ? nullptr : row_weights.row<float>(0) + begin);
    tools.pool.parallel_for(static_cast<int64_t>(tiles.size()), 1, [&](int64_t tile, int64_t) {
      inputs.multiply(tiles[static_cast<size_t>(tile)], h);
    });
  }
}

}  // namespace halftone::cpu
