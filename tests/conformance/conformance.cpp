// See conformance.h.
#include "conformance/conformance.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace halftone::conformance {
namespace {

// Around a strided operand; 3 columns make the rows of a bf16 matrix begin at odd addresses.
constexpr int64_t kMarginRows = 1, kMarginLeft = 3, kMarginRight = 2;
constexpr float kMargin = 77;  // exact in every type
// A backend's code for older hardware, whatever the hardware here.
struct Variant {
  std::string_view ending;
  Instructions instructions;
};
constexpr Variant kVariants[] = {{"_earlier", Instructions::earlier},
                                 {"_oldest", Instructions::oldest}};

}  // namespace

Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed);
  Matrix matrix(rows, cols);
  for (float& value : matrix.values) {
    double sum = -6;  // Irwin-Hall: twelve uniform numbers have variance 1
    for (int i = 0; i < 12; ++i) sum += rng.uniform();
    value = static_cast<float>(sum);
  }
  return matrix;
}

Operand::Operand(Backend& backend, const Matrix& values, DType dtype, Layout layout)
    : backend_(backend) {
  const bool strided = layout == Layout::strided;
  const int64_t above = strided ? kMarginRows : 0, left = strided ? kMarginLeft : 0;
  const int64_t width = values.cols + (strided ? kMarginLeft + kMarginRight : 0);
  storage_ = backend.allocate(values.rows + 2 * above, width, dtype);
  view_ = storage_.view().rows_of(above, above + values.rows).cols_of(left, left + values.cols);
  backend.fill(storage_, kMargin);
  if (dtype == DType::u8) {
    const std::vector<uint8_t> bytes(values.values.begin(), values.values.end());
    backend.upload({bytes.data(), values.rows, values.cols, values.cols, DType::u8}, view_);
  } else {
    backend.upload({values.values.data(), values.rows, values.cols, values.cols}, view_);
  }
}

Matrix Operand::fetch() const {
  const View& all = storage_.view();
  Matrix stored(all.rows, all.cols);
  if (all.dtype == DType::u8) {
    std::vector<uint8_t> bytes(stored.values.size());
    backend_.download(all, {bytes.data(), all.rows, all.cols, all.cols, DType::u8});
    std::copy(bytes.begin(), bytes.end(), stored.values.begin());
  } else {
    backend_.download(all, {stored.values.data(), all.rows, all.cols, all.cols});
  }
  const int64_t above = (all.rows - view_.rows) / 2;
  const int64_t left = all.cols > view_.cols ? kMarginLeft : 0;
  Matrix inner(view_.rows, view_.cols);
  for (int64_t row = 0; row < all.rows; ++row) {
    for (int64_t col = 0; col < all.cols; ++col) {
      const int64_t r = row - above, c = col - left;
      if (r >= 0 && r < inner.rows && c >= 0 && c < inner.cols)
        inner.at(r, c) = stored.at(row, col);
      else
        EXPECT_EQ(stored.at(row, col), kMargin)
            << "written outside of the view at " << r << ", " << c;
    }
  }
  return inner;
}

// Sums that differ in the last bit of f32 can round to neighbours: one unit in the last place.
Tolerance tolerance_of(DType result) {
  switch (result) {
    case DType::bf16:
      return {.relative = 0x1p-7 + 1e-5, .absolute = 2e-6};
    case DType::f16:
      return {.relative = 0x1p-10 + 1e-5, .absolute = 2e-6};
    default:
      return {};
  }
}

void expect_close(const Matrix& expected, const Matrix& actual, Tolerance tolerance) {
  ASSERT_EQ(expected.rows, actual.rows);
  ASSERT_EQ(expected.cols, actual.cols);
  double largest = 0;
  for (float value : expected.values) largest = std::max(largest, std::abs(double{value}));
  double worst = 0;
  size_t at = 0, wrong = 0;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    const double want = expected.values[i], got = actual.values[i];
    const double allowed = tolerance.relative * std::abs(want) + tolerance.absolute * largest;
    if (std::abs(got - want) <= allowed) continue;  // false for NaN
    ++wrong;
    const double excess = std::isnan(got) ? INFINITY : std::abs(got - want) - allowed;
    if (excess > worst) worst = excess, at = i;
  }
  const int64_t position = static_cast<int64_t>(at), cols = std::max<int64_t>(expected.cols, 1);
  EXPECT_EQ(wrong, 0u) << "of " << expected.values.size() << "; worst at (" << position / cols
                       << ", " << position % cols << "): got " << actual.values[at] << ", expected "
                       << expected.values[at] << "; largest " << largest;
}

Matrix lower_triangle(Matrix matrix) {
  for (int64_t row = 0; row < matrix.rows; ++row)
    for (int64_t col = row + 1; col < matrix.cols; ++col) matrix.at(row, col) = 0;
  return matrix;
}

std::vector<std::string> tested_backends() {
  std::vector<std::string> names = backend_names();
  std::erase(names, "ref");
  for (const std::string& name : std::vector<std::string>(names))
    for (const Variant& variant : kVariants) names.push_back(name + std::string(variant.ending));
  return names;
}

TEST(Oracle, IsNotComparedWithItself) {
  GTEST_SKIP()
      << "ref: it is what the others are compared with; its own tests are backend_ref_test";
}

std::unique_ptr<Backend> Conformance::make(std::string name, int threads) {
  BackendOptions options{.threads = threads};
  for (const Variant& variant : kVariants) {
    if (!name.ends_with(variant.ending)) continue;
    name.resize(name.size() - variant.ending.size());
    options.instructions = variant.instructions;
  }
  return make_backend(name, options);
}

void Conformance::SetUp() {
  reference_ = make_backend("ref", {});
  try {
    tested_ = make(GetParam(), 0);
  } catch (const Error& error) {
    GTEST_SKIP() << GetParam() << " is not on this machine: " << error.what();
  }
}

void Conformance::compare(const Body& body, Tolerance tolerance) {
  const Matrix expected = body(*reference_);
  try {
    expect_close(expected, body(*tested_), tolerance);
  } catch (const std::exception& error) {  // here, so that the trace of the case is printed
    ADD_FAILURE() << error.what();
  }
}

}  // namespace halftone::conformance
