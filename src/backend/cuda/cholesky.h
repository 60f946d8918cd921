// Cholesky factors of large f32 matrices at the rate of f16 tensor cores.
#pragma once

#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

// Whether cholesky() serves: a matrix worth its while, on a card with the shared memory for it.
bool cholesky_serves(const Context& context, int64_t n);

// a (n, n) f32, lower triangle, in place := its Cholesky factor; every diagonal element in [1, 4),
// or not positive or not finite. failures (1, cholesky_tiles(n)) i32 := 0, or 1 + the index of the
// first pivot in each tile that is not positive and finite; the first of them counts. What is above
// the diagonal may be changed.
void cholesky(Context& context, View a, View failures);
int64_t cholesky_tiles(int64_t n);

}  // namespace halftone::cuda
