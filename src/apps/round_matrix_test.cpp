// One weight among zeros, of every size: it is rounded, or refused where scales end.
#include "apps/round_matrix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format/ggml_grids.h"

namespace halftone {
namespace {

class OneWeight final : public WeightSource {
 public:
  explicit OneWeight(float value) : value_(value) {}
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view, int64_t row_begin, int64_t row_end, View out) const override {
    for (int64_t row = row_begin; row < row_end; ++row)
      for (int64_t col = 0; col < out.cols; ++col)
        out.row<float>(row - row_begin)[col] = row == 1 && col == 40 ? value_ : 0;
  }

 private:
  float value_;
  std::vector<StoredTensor> tensors_{{.name = "a.weight", .rows = 2, .cols = 256}};
};

TEST(RoundMatrix, RefusesWhatTheScalesOfATypeDoNotReach) {
  const auto backend = make_backend("cpu", {.threads = 1});
  for (const char* type :
       {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"}) {
    const auto grid = ggml_grid(type);
    ASSERT_TRUE(grid) << type;
    const PlannedModule module{"a", Role::q, 2, 256, *grid};
    for (const float value : {6e4f, -6e4f}) {
      const QuantizedMatrix matrix = round_matrix(*backend, OneWeight(value), module);
      EXPECT_NEAR(matrix.value(1, 40), value, 0.1 * std::abs(value)) << type;
    }
    for (const float value : {1e12f, -1e12f, 1e38f}) {
      try {
        round_matrix(*backend, OneWeight(value), module);
        ADD_FAILURE() << type << " took " << value;
      } catch (const Error& error) {
        EXPECT_EQ(error.exit(), Exit::bad_input);
        EXPECT_NE(std::string(error.what()).find("a.weight: row 1"), std::string::npos)
            << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace halftone
