// a = L D Lᵀ in place (docs/methods.md §3), right-looking by tiles: Cholesky of a diagonal tile by
// LAPACK, the tiles below it by a triangular solve, the rest by products, each library call on one
// thread and one tile; then C = L √D is taken apart.
#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/sgemm.h"

namespace halftone::cpu {
namespace {

constexpr int64_t kTile = 192;

// c -= a · bᵀ; a (m, k), b (n, k), c (m, n), all with leading dimension ld.
void subtract_product(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k,
                      int64_t ld) {
  sgemm({.m = m, .n = n, .k = k, .alpha = -1, .a = {a, ld}, .b = {b, ld, true}, .c = c, .ldc = ld});
}
void subtract_product(const double* a, const double* b, double* c, int64_t m, int64_t n, int64_t k,
                      int64_t ld) {
  const auto i = [](int64_t size) { return static_cast<blasint>(size); };
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, i(m), i(n), i(k), -1, a, i(ld), b, i(ld), 1,
              c, i(ld));
}

// x := x · C⁻ᵀ; x (m, n), C (n, n) lower.
void solve_rows(const float* c, float* x, int64_t m, int64_t n, int64_t ld) {
  cblas_strsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
              static_cast<blasint>(m), static_cast<blasint>(n), 1, c, static_cast<blasint>(ld), x,
              static_cast<blasint>(ld));
}
void solve_rows(const double* c, double* x, int64_t m, int64_t n, int64_t ld) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
              static_cast<blasint>(m), static_cast<blasint>(n), 1, c, static_cast<blasint>(ld), x,
              static_cast<blasint>(ld));
}

// A row-major lower triangle is LAPACK's upper one.
lapack_int cholesky(float* a, int64_t n, int64_t ld) {
  return LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', static_cast<lapack_int>(n), a,
                             static_cast<lapack_int>(ld));
}
lapack_int cholesky(double* a, int64_t n, int64_t ld) {
  return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', static_cast<lapack_int>(n), a,
                             static_cast<lapack_int>(ld));
}

// 0, or 1 + the index of the first pivot of the tile that is not positive and finite.
template <class T>
int32_t factor_diagonal(T* a, int64_t n, int64_t ld) {
  const lapack_int failed = cholesky(a, n, ld);
  const int64_t good = failed > 0 ? failed - 1 : n;
  for (int64_t i = 0; i < good; ++i)  // LAPACK lets NaN and infinity pass
    if (!(a[i * ld + i] > 0) || !std::isfinite(a[i * ld + i])) return static_cast<int32_t>(i + 1);
  return failed > 0 ? static_cast<int32_t>(failed) : 0;
}

template <class T>
int32_t factor_cholesky(ThreadPool& pool, View a) {
  const int64_t n = a.rows, ld = a.ld;
  for (int64_t k = 0; k < n; k += kTile) {
    const int64_t depth = std::min(kTile, n - k), below = k + depth;
    if (const int32_t failed = factor_diagonal(a.row<T>(k) + k, depth, ld))
      return static_cast<int32_t>(k) + failed;
    const int64_t tiles = (n - below + kTile - 1) / kTile;
    const auto first = [&](int64_t tile) { return below + tile * kTile; };
    const auto size = [&](int64_t tile) { return std::min(kTile, n - first(tile)); };
    pool.parallel_for(tiles, 1, [&](int64_t tile, int64_t) {
      solve_rows(a.row<T>(k) + k, a.row<T>(first(tile)) + k, size(tile), depth, ld);
    });
    pool.parallel_for(tiles * (tiles + 1) / 2, 1, [&](int64_t index, int64_t) {
      int64_t i = 0;
      while ((i + 1) * (i + 2) / 2 <= index) ++i;
      const int64_t j = index - i * (i + 1) / 2;
      subtract_product(a.row<T>(first(i)) + k, a.row<T>(first(j)) + k,
                       a.row<T>(first(i)) + first(j), size(i), size(j), depth, ld);
    });
  }
  return 0;
}

// C = L √D: L_ik = C_ik / C_kk, D_k = C_kk².
template <class T>
void split_pivots(ThreadPool& pool, View a) {
  std::vector<T> roots(static_cast<size_t>(a.rows));
  for (int64_t i = 0; i < a.rows; ++i) roots[static_cast<size_t>(i)] = a.row<T>(i)[i];
  pool.parallel_for(a.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      T* values = a.row<T>(row);
      for (int64_t col = 0; col < row; ++col) values[col] /= roots[static_cast<size_t>(col)];
      values[row] *= values[row];
    }
  });
}

template <class T>
int32_t factor(ThreadPool& pool, View a) {
  const int32_t failed = factor_cholesky<T>(pool, a);
  if (failed == 0) split_pivots<T>(pool, a);
  return failed;
}

}  // namespace

void cpu_factor_ldl(ThreadPool& pool, View a, View status) {
  assert(a.rows == a.cols && status.dtype == DType::i32);
  openblas_set_num_threads(1);  // our pool hands out the tiles
  *status.row<int32_t>(0) =
      a.dtype == DType::f64 ? factor<double>(pool, a) : factor<float>(pool, a);
}

}  // namespace halftone::cpu
