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
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/simd/quantizer_kernels.h"
#include "base/half.h"

namespace halftone::cpu {
namespace {

constexpr int64_t kColumns = 64;   // of h, in a tile
constexpr int64_t kRows = 256;     // of h, in a tile
constexpr int64_t kTokens = 2048;  // multiplied at once: bounds the copies of x

// Rows [row, row_end) of h and column block `block`; those above the diagonal do not count.
struct HessianTile {
  int64_t row = 0, row_end = 0, block = 0;
};

std::vector<HessianTile> tiles_of(int64_t inputs) {
  std::vector<HessianTile> tiles;
  for (int64_t block = 0; block * kColumns < inputs; ++block)
    for (int64_t row = block * kColumns; row < inputs; row += kRows)
      tiles.push_back({row, std::min(row + kRows, inputs), block});
  return tiles;
}

// One chunk of tokens: turned() is xᵀ, (inputs, tokens); packed(i) the columns of block i of x as
// oneDNN wants them.
class TurnedInputs {
 public:
  TurnedInputs(const HessianTools& tools, ConstView x, DType products)
      : tools_(tools),
        x_(x),
        products_(products),
        pack_(tools.matmul.pack_kernel(x.rows, std::min(kColumns, x.cols), products)),
        last_pack_(tools.matmul.pack_kernel(x.rows, (x.cols - 1) % kColumns + 1, products)),
        memory_(tools.scratch.lease(turned_bytes() + blocks() * packed_bytes())) {
    turned_ = {memory_.take(turned_bytes()), x.cols, x.rows, x.rows, products};
    packed_ = memory_.take(blocks() * packed_bytes());
  }

  // row_weights: of the chunk, or null.
  void fill(const float* row_weights) {
    tools_.pool.parallel_for(blocks(), 1, [&](int64_t block, int64_t) {
      const int64_t begin = block * kColumns, end = std::min(begin + kColumns, x_.cols);
      for (int64_t token = 0; token < x_.rows; token += tokens_at_once())
        turn(begin, end, token, row_weights);
      tools_.matmul.run(pack_of(block), row_of(begin), packed_ + block * packed_bytes());
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
  int64_t blocks() const { return (x_.cols + kColumns - 1) / kColumns; }
  int64_t turned_bytes() const {
    return Scratch::aligned(x_.rows * x_.cols * static_cast<int64_t>(size_of(products_)));
  }
  int64_t packed_bytes() const { return Scratch::aligned(std::max(pack_.bytes, last_pack_.bytes)); }
  const PackKernel& pack_of(int64_t block) const {
    return block + 1 < blocks() ? pack_ : last_pack_;
  }
  std::byte* row_of(int64_t col) const {
    return static_cast<std::byte*>(turned_.data) +
           col * turned_.ld * static_cast<int64_t>(size_of(products_));
  }
  int64_t tokens_a_word() const { return products_ == DType::bf16 ? 2 : 1; }
  int64_t tokens_at_once() const { return simd::kTurnedRows * tokens_a_word(); }

  float value(int64_t token, int64_t col, float root) const {
    return root * (x_.dtype == DType::f32 ? x_.row<float>(token)[col]
                                          : to_float(x_.row<bf16>(token)[col]));
  }

  // Words [cols) of a word row: one token as f32, or two of them as bf16.
  void stage(int64_t token, int64_t begin, int64_t end, const float* row_weights,
             uint32_t* words) const {
    const int64_t cols = end - begin;
    const bool second = token + 1 < x_.rows;
    const float root = row_weights ? std::sqrt(row_weights[token]) : 1;
    if (products_ == DType::f32) {
      for (int64_t i = 0; i < cols; ++i)
        words[i] = std::bit_cast<uint32_t>(value(token, begin + i, root));
    } else if (!row_weights && second) {
      const bf16* low = x_.row<bf16>(token) + begin;
      const bf16* high = x_.row<bf16>(token + 1) + begin;
      for (int64_t i = 0; i < cols; ++i)
        words[i] = low[i].bits | static_cast<uint32_t>(high[i].bits) << 16;
    } else {
      const float next = second && row_weights ? std::sqrt(row_weights[token + 1]) : 1;
      for (int64_t i = 0; i < cols; ++i) {
        words[i] = to_bf16(value(token, begin + i, root)).bits;
        if (second)
          words[i] |= static_cast<uint32_t>(to_bf16(value(token + 1, begin + i, next)).bits) << 16;
      }
    }
  }

  // Columns [begin, end) of up to tokens_at_once() tokens, by way of words in the first-level
  // cache.
  void turn(int64_t begin, int64_t end, int64_t token, const float* row_weights) {
    alignas(64) uint32_t words[simd::kTurnedRows * kColumns];
    alignas(64) float columns[simd::kTurnedRows * kColumns];
    const int64_t tokens = std::min(tokens_at_once(), x_.rows - token), cols = end - begin;
    const int64_t word_rows = (tokens + tokens_a_word() - 1) / tokens_a_word();
    for (int64_t row = 0; row < word_rows; ++row)
      stage(token + row * tokens_a_word(), begin, end, row_weights, words + row * cols);
    std::fill(words + word_rows * cols, words + simd::kTurnedRows * cols, 0u);
    simd::quantizer_kernels_for(tools_.isa)
        .transpose(reinterpret_cast<const float*>(words), cols, columns);
    const size_t element = size_of(products_);
    for (int64_t i = 0; i < cols; ++i)
      std::memcpy(row_of(begin + i) + static_cast<size_t>(token) * element,
                  columns + i * simd::kTurnedRows, static_cast<size_t>(tokens) * element);
  }

  const HessianTools& tools_;
  ConstView x_;
  DType products_;
  PackKernel pack_, last_pack_;  // of all blocks but the last, and of the last
  Scratch::Lease memory_;
  View turned_;
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
