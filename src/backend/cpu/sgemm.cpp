#include "backend/cpu/sgemm.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "base/error.h"

namespace halftone::cpu {

void sgemm(const SgemmTile& tile) {
  omp_set_num_threads(1);  // of this thread: our pool hands out the tiles
  const dnnl_status_t status = dnnl_sgemm(
      tile.a.transposed ? 'T' : 'N', tile.b.transposed ? 'T' : 'N', tile.m, tile.n, tile.k,
      tile.alpha, tile.a.data, tile.a.ld, tile.b.data, tile.b.ld, tile.beta, tile.c, tile.ldc);
  if (status != dnnl_success)
    throw internal_error("oneDNN sgemm [{}, {}] · [{}, {}]: status {}", tile.m, tile.k, tile.k,
                         tile.n, static_cast<int>(status));
}

}  // namespace halftone::cpu
