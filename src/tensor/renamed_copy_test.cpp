// A second name for a tensor: sorted in, read alike, and in place of one that had the name.
#include "tensor/renamed_copy.h"

#include <gtest/gtest.h>

namespace halftone {
namespace {

// "b" (1, 2) holds 1, 2 and "d" 3, 4.
class Numbers final : public WeightSource {
 public:
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t, int64_t, View out) const override {
    for (int64_t col = 0; col < 2; ++col)
      out.row<float>(0)[col] = values_[static_cast<size_t>(col) + (name == "b" ? 0 : 2)];
  }

 private:
  std::vector<StoredTensor> tensors_ = {{.name = "b", .rows = 1, .cols = 2, .bytes = 8},
                                        {.name = "d", .rows = 1, .cols = 2, .bytes = 8}};
  float values_[4] = {1, 2, 3, 4};
};

float first(const WeightSource& source, std::string_view name) {
  float values[2];
  source.read(name, 0, 1, {values, 1, 2, 2, DType::f32, Place::host});
  return values[0];
}

TEST(RenamedCopy, HasASecondName) {
  const RenamedCopy source(std::make_unique<Numbers>(), "b", "c");
  ASSERT_EQ(source.tensors().size(), 3u);
  EXPECT_EQ(source.tensors()[1].name, "c");
  EXPECT_EQ(source.find("c")->bytes, 0);
  EXPECT_EQ(first(source, "c"), 1);
  EXPECT_EQ(first(source, "d"), 3);
}

TEST(RenamedCopy, HidesWhatHadTheName) {
  const RenamedCopy source(std::make_unique<Numbers>(), "b", "d");
  ASSERT_EQ(source.tensors().size(), 2u);
  EXPECT_EQ(first(source, "d"), 1);
}

}  // namespace
}  // namespace halftone
