// Sequences of uneven lengths, packed one after the other: each comes out as if it were alone, and
// what a padded batch adds to a Hessian is what the packed one adds, once the padding is left out.
#include <algorithm>

#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

constexpr int64_t kLengths[] = {1, 300, 17, 129, 64, 255};
constexpr RopeSpec kQueryRope{.heads = 4, .head_dim = 64}, kKeyRope{.heads = 2, .head_dim = 64};

Matrix rows_of(const Matrix& matrix, int64_t begin, int64_t end) {
  Matrix part(end - begin, matrix.cols);
  std::copy(matrix.values.begin() + begin * matrix.cols, matrix.values.begin() + end * matrix.cols,
            part.values.begin());
  return part;
}

struct Packed {
  Matrix q, k, v;
  std::vector<int32_t> positions;
  std::vector<Sequence> sequences;
};

// Positions begin anew in each sequence.
Packed pack(std::span<const int64_t> lengths) {
  Packed packed;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    for (int64_t i = 0; i < length; ++i) packed.positions.push_back(static_cast<int32_t>(i));
    packed.sequences.push_back({begin, length, begin, length});
    begin += length;
  }
  packed.q = random_matrix(begin, kQueryRope.heads * kQueryRope.head_dim, 1);
  packed.k = random_matrix(begin, kKeyRope.heads * kKeyRope.head_dim, 2);
  packed.v = random_matrix(begin, packed.k.cols, 3);
  return packed;
}

Packed alone(const Packed& all, const Sequence& sequence) {
  const int64_t begin = sequence.q_begin, count = sequence.q_count, end = begin + count;
  return {.q = rows_of(all.q, begin, end),
          .k = rows_of(all.k, begin, end),
          .v = rows_of(all.v, begin, end),
          .positions = {all.positions.begin() + begin, all.positions.begin() + end},
          .sequences = {{0, count, 0, count}}};
}

Matrix rotate_and_attend(Backend& backend, const Packed& packed, DType dtype, int window) {
  Matrix rates(1, kQueryRope.head_dim / 2);
  for (int64_t i = 0; i < rates.cols; ++i) rates.at(0, i) = 1 / static_cast<float>(1 + 10 * i);
  const Operand frequencies(backend, rates, DType::f32, Layout::dense);
  const Operand q(backend, packed.q, dtype, Layout::dense);
  const Operand k(backend, packed.k, dtype, Layout::dense);
  const Operand v(backend, packed.v, dtype, Layout::dense);
  const Operand y(backend, packed.q.rows, packed.q.cols, dtype, Layout::dense);
  backend.rope(q, packed.positions, frequencies, kQueryRope, q);
  backend.rope(k, packed.positions, frequencies, kKeyRope, k);
  const AttentionSpec spec{.heads = kQueryRope.heads,
                           .kv_heads = kKeyRope.heads,
                           .head_dim = kQueryRope.head_dim,
                           .scale = 0.125f,
                           .window = window};
  backend.attention(q, k, v, packed.sequences, spec, y);
  return y.fetch();
}

class UnevenBatch : public Conformance {};

// To the last bit, on the oracle too.
TEST_P(UnevenBatch, ASequenceIsAsIfItWereAlone) {
  const Packed packed = pack(kLengths);
  for (Backend* backend : {tested_.get(), reference_.get()})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const int window : {0, 50}) {
        SCOPED_TRACE(testing::Message()
                     << backend->info().backend << ", " << name_of(dtype) << ", window " << window);
        const Matrix together = rotate_and_attend(*backend, packed, dtype, window);
        for (const Sequence& sequence : packed.sequences) {
          const Matrix single = rotate_and_attend(*backend, alone(packed, sequence), dtype, window);
          expect_close(single,
                       rows_of(together, sequence.q_begin, sequence.q_begin + sequence.q_count),
                       kExact);
        }
      }
}

// As a padded batch would have it, its padding weighted with nothing; and not as one whose padding
// is taken for tokens.
TEST_P(UnevenBatch, NoPaddingIsInTheHessian) {
  constexpr int64_t kInputs = 130;
  const int64_t longest = *std::ranges::max_element(kLengths);
  int64_t tokens = 0;
  for (const int64_t length : kLengths) tokens += length;
  const Matrix x = random_matrix(tokens, kInputs, 4);
  Matrix padded(static_cast<int64_t>(std::size(kLengths)) * longest, kInputs, 0.5f);
  Matrix weights(1, padded.rows), ones(1, padded.rows, 1);
  int64_t at = 0, row = 0;
  for (const int64_t length : kLengths) {
    std::copy(x.values.begin() + at * kInputs, x.values.begin() + (at + length) * kInputs,
              padded.values.begin() + row * kInputs);
    for (int64_t i = 0; i < length; ++i) weights.at(0, row + i) = 1;
    at += length;
    row += longest;
  }
  for (const DType dtype : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    const auto hessian = [&](const Matrix& inputs, const Matrix* row_weights) {
      const Operand on_device(*tested_, inputs, dtype, Layout::dense);
      const Operand h(*tested_, kInputs, kInputs, DType::f32, Layout::dense);
      if (!row_weights) {
        tested_->accumulate_hessian(on_device, {}, h);
      } else {
        const Operand w(*tested_, *row_weights, DType::f32, Layout::dense);
        tested_->accumulate_hessian(on_device, w, h);
      }
      return lower_triangle(h.fetch());
    };
    const Matrix ragged = hessian(x, nullptr);
    expect_close(hessian(padded, &weights), ragged, {.relative = 0, .absolute = 1e-5});
    EXPECT_GT(std::abs(hessian(padded, &ones).at(0, 0) - ragged.at(0, 0)), 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, UnevenBatch, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
