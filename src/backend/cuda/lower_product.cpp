// The triangle is cut into a square of half its size, two squares of a quarter, four … and so on
// down to triangles that are small enough to be taken as squares. Squares of one size are one
// batched product, whose operands lie in a and b as they are.
#include "backend/cuda/lower_product.h"

#include <cassert>

namespace halftone::cuda {
namespace {

constexpr int64_t kSmallest = 768;  // triangles are not cut below that
constexpr int64_t kMultiple = 8;    // of a triangle's side: operands stay aligned

// `count` equal rectangles of c, `stride` rows and columns apart.
struct Rectangles {
  int64_t row = 0, col = 0, rows = 0, cols = 0, count = 1, stride = 0;
};

void add_rectangles(Context& context, const LowerProduct& product, const Rectangles& part, View c) {
  const int64_t apart = product.transposed ? 1 : product.ld;  // elements between two of n
  const auto at = [&](const void* matrix, int64_t index) {
    return static_cast<const std::byte*>(matrix) +
           index * apart * static_cast<int64_t>(size_of(product.dtype));
  };
  const int64_t stride = part.count > 1 ? part.stride : 0;
  // To cuBLASLt, matrices are transposed: c's rows are columns.
  context.multiply({.dtype = product.dtype,
                    .transpose_a = !product.transposed,
                    .transpose_b = product.transposed,
                    .m = part.cols,
                    .n = part.rows,
                    .k = product.k,
                    .lda = product.ld,
                    .ldb = product.ld,
                    .ldc = c.ld,
                    .count = part.count,
                    .stride_a = stride * apart,
                    .stride_b = stride * apart,
                    .stride_c = stride * (c.ld + 1),
                    .alpha = product.alpha},
                   {.a = at(product.b, part.col),
                    .b = at(product.a, part.row),
                    .c = c.row<float>(part.row) + part.col});
}

}  // namespace

void add_lower_product(Context& context, const LowerProduct& product, View c) {
  assert(c.rows == product.n && c.cols == product.n && c.dtype == DType::f32);
  const int64_t n = product.n;
  if (n == 0 || product.k == 0) return;
  int64_t triangles = 1;
  while (n / (2 * triangles) >= kSmallest) triangles *= 2;
  const int64_t side = triangles == 1 ? n : n / (triangles * kMultiple) * kMultiple;
  for (int64_t count = 1; count < triangles; count *= 2) {
    const int64_t half = side * triangles / count / 2;
    add_rectangles(
        context, product,
        {.row = half, .col = 0, .rows = half, .cols = half, .count = count, .stride = 2 * half}, c);
  }
  add_rectangles(context, product, {.rows = side, .cols = side, .count = triangles, .stride = side},
                 c);
  const int64_t done = side * triangles;
  if (done < n) add_rectangles(context, product, {.row = done, .rows = n - done, .cols = n}, c);
}

}  // namespace halftone::cuda
