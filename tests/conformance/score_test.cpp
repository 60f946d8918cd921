// What a prediction is worth: likelihood, divergence, the same top token; the soft cap of logits.
#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

class Score : public Conformance {
 protected:
  static Matrix scaled(Matrix matrix, float factor) {
    for (float& value : matrix.values) value *= factor;
    return matrix;
  }
};

TEST_P(Score, LikelihoodAndDivergence) {
  for (int64_t vocab : {1, 7, 1003, 49152}) {
    for (Layout layout : {Layout::dense, Layout::strided}) {
      const std::vector<int32_t> targets = {0, static_cast<int32_t>(vocab - 1),
                                            static_cast<int32_t>(vocab / 2)};
      const Matrix model = scaled(random_matrix(3, vocab, 1), 4);
      const Matrix base = scaled(random_matrix(3, vocab, 2), 4);
      SCOPED_TRACE(testing::Message() << vocab << " columns");
      compare(
          [&](Backend& backend) {
            const Operand logits(backend, model, DType::f32, layout);
            const Operand base_logits(backend, base, DType::f32, layout);
            const Operand scores(backend, 3, kScoreColumns, DType::f32, layout);
            backend.score(logits, base_logits, targets, scores);
            return scores.fetch();
          },
          Tolerance{.relative = 2e-6, .absolute = 1e-7});
    }
  }
}

TEST_P(Score, WithoutABase) {
  const std::vector<int32_t> targets = {5, 0, 76};
  compare(
      [&](Backend& backend) {
        const Operand logits(backend, random_matrix(3, 77, 3), DType::f32, Layout::dense);
        const Operand scores(backend, 3, kScoreColumns, DType::f32, Layout::dense);
        backend.score(logits, {}, targets, scores);
        Matrix all = scores.fetch(), likelihood(3, 1);
        for (int64_t row = 0; row < 3; ++row) likelihood.at(row, 0) = all.at(row, kNll);
        return likelihood;
      },
      Tolerance{});
}

TEST_P(Score, AModelAgainstItself) {
  const Operand logits(*tested_, scaled(random_matrix(4, 5001, 4), 6), DType::f32, Layout::dense);
  const Operand scores(*tested_, 4, kScoreColumns, DType::f32, Layout::dense);
  tested_->score(logits, logits, std::vector<int32_t>{1, 2, 3, 4}, scores);
  const Matrix result = scores.fetch();
  for (int64_t row = 0; row < 4; ++row) {
    EXPECT_NEAR(result.at(row, kKl), 0, 1e-6);
    EXPECT_EQ(result.at(row, kNll), result.at(row, kBaseNll));
    EXPECT_EQ(result.at(row, kSameTop), 1);
  }
}

// A uniform distribution is known: log n, whatever the common offset of the logits.
TEST_P(Score, KnowsTheUniformDistribution) {
  const Operand logits(*tested_, Matrix(1, 262144, 1000.0f), DType::f32, Layout::dense);
  const Operand scores(*tested_, 1, kScoreColumns, DType::f32, Layout::dense);
  tested_->score(logits, {}, std::vector<int32_t>{77}, scores);
  EXPECT_NEAR(scores.fetch().at(0, kNll), 12.476649250079015, 12.5e-6);
}

TEST_P(Score, Softcap) {
  for (Layout layout : {Layout::dense, Layout::strided}) {
    compare(
        [&](Backend& backend) {
          const Operand x(backend, scaled(random_matrix(3, 77, 5), 40), DType::f32, layout);
          backend.softcap(x, 30);
          return x.fetch();
        },
        Tolerance{});
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Score, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
