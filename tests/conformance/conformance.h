// What the conformance tests share: a test for each backend of the build, operands on its device —
// dense, or strided within a guarded margin — and the comparison with the reference backend.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace halftone::conformance {

// A matrix on the host, in f32.
struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<float> values;

  Matrix() = default;
  Matrix(int64_t row_count, int64_t col_count, float value = 0)
      : rows(row_count), cols(col_count), values(static_cast<size_t>(rows * cols), value) {}
  float& at(int64_t row, int64_t col) { return values[static_cast<size_t>(row * cols + col)]; }
  float at(int64_t row, int64_t col) const { return values[static_cast<size_t>(row * cols + col)]; }
};

// Roughly normal, standard deviation 1, the same on every machine.
Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed);

enum class Layout { dense, strided };

// A matrix on a backend's device; when strided, within a larger one whose margin must stay as it
// is.
class Operand {
 public:
  Operand(Backend& backend, const Matrix& values, DType dtype, Layout layout);
  Operand(Backend& backend, int64_t rows, int64_t cols, DType dtype, Layout layout)
      : Operand(backend, Matrix(rows, cols), dtype, layout) {}

  View view() const { return view_; }
  operator View() const { return view_; }
  operator ConstView() const { return view_; }
  // The values, when the margin is untouched; otherwise the test fails.
  Matrix fetch() const;

 private:
  Backend& backend_;
  Tensor storage_;
  View view_;
};

// |actual − expected| ≤ relative · |expected| + absolute · max|expected|.
struct Tolerance {
  double relative = 2e-6, absolute = 2e-6;
};
inline constexpr Tolerance kExact{.relative = 0, .absolute = 0};
// What a result of this type may be off by: the next value of the type, beside f32's errors.
Tolerance tolerance_of(DType result);

void expect_close(const Matrix& expected, const Matrix& actual, Tolerance tolerance);
// `matrix` with zeros above the diagonal.
Matrix lower_triangle(Matrix matrix);

// The backends of this build but for the oracle, which is what they are compared with; each also
// with its code for older hardware ("cuda_earlier", "cuda_oldest").
std::vector<std::string> tested_backends();

// One test for each of tested_backends(); what is not on this machine is skipped, with the reason.
class Conformance : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  // A backend by a name of tested_backends().
  static std::unique_ptr<Backend> make(std::string name, int threads);

  using Body = std::function<Matrix(Backend&)>;
  // Runs `body` on the backend under test and on the reference.
  void compare(const Body& body, Tolerance tolerance);

  std::unique_ptr<Backend> tested_, reference_;
};

}  // namespace halftone::conformance
