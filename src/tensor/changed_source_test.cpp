// Rows read through changes, whichever rows are asked for.
#include "tensor/changed_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/half.h"

namespace halftone {
namespace {

using testing::ElementsAre;

// "a" (4, 2) holds 1 … 8, "b" (1, 2) holds 9, 10; both can be read where they lie.
class Numbers final : public WeightSource {
 public:
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t begin, int64_t end, View out) const override {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t col = 0; col < 2; ++col)
        out.row<float>(row - begin)[col] = values_[static_cast<size_t>(2 * row + col) + base(name)];
  }
  std::optional<ConstView> mapped(std::string_view name) const override {
    return ConstView{values_ + base(name), find(name)->rows, 2, 2, DType::f32, Place::host};
  }

 private:
  static size_t base(std::string_view name) { return name == "a" ? 0 : 8; }
  std::vector<StoredTensor> tensors_ = {
      {.name = "a", .rows = 4, .cols = 2, .encoding = "f32", .bytes = 32},
      {.name = "b", .rows = 1, .cols = 2, .rank = 1, .encoding = "f32", .bytes = 8}};
  float values_[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
};

template <class T>
std::vector<float> rows_of(const WeightSource& source, std::string_view name, int64_t begin,
                           int64_t end, DType dtype) {
  std::vector<T> values(static_cast<size_t>(2 * (end - begin)));
  source.read(name, begin, end, {values.data(), end - begin, 2, 2, dtype, Place::host});
  std::vector<float> floats;
  for (const T value : values) floats.push_back(to_float(value));
  return floats;
}
std::vector<float> rows_of(const WeightSource& source, std::string_view name, int64_t begin,
                           int64_t end) {
  std::vector<float> values(static_cast<size_t>(2 * (end - begin)));
  source.read(name, begin, end, {values.data(), end - begin, 2, 2, DType::f32, Place::host});
  return values;
}

TEST(ChangedSource, ChangesTheRowsThatWereNamedInTurn) {
  ChangedSource source(std::make_unique<Numbers>());
  EXPECT_TRUE(source.mapped("a").has_value());
  source.change("a", 1, 3, [](int64_t begin, View rows) {
    for (int64_t row = 0; row < rows.rows; ++row)
      rows.row<float>(row)[0] += 100 * static_cast<float>(begin + row);
  });
  source.change("a", 0, 4, [](int64_t, View rows) {
    for (int64_t row = 0; row < rows.rows; ++row) rows.row<float>(row)[1] *= 1.0009766f;
  });
  EXPECT_THAT(rows_of(source, "a", 0, 4), ElementsAre(1, 2 * 1.0009766f, 103, 4 * 1.0009766f, 205,
                                                      6 * 1.0009766f, 7, 8 * 1.0009766f));
  EXPECT_THAT(rows_of(source, "a", 2, 3), ElementsAre(205, 6 * 1.0009766f));
  EXPECT_THAT(rows_of<bf16>(source, "a", 2, 3, DType::bf16), ElementsAre(205, 6));
  EXPECT_THAT(rows_of(source, "b", 0, 1), ElementsAre(9, 10));
}

TEST(ChangedSource, SaysWhatIsNoLongerTheFiles) {
  ChangedSource source(std::make_unique<Numbers>());
  source.change("a", 0, 1, [](int64_t, View) {});
  EXPECT_FALSE(source.mapped("a").has_value());
  EXPECT_TRUE(source.mapped("b").has_value());
  EXPECT_EQ(source.find("a")->bytes, 0);
  EXPECT_EQ(source.find("b")->bytes, 8);
}

}  // namespace
}  // namespace halftone
