#include "apps/round_matrix.h"

#include <algorithm>

#include "base/interrupt.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

template <class T>
void append(const std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

QuantizedMatrix round_matrix(Backend& backend, const WeightSource& source,
                             const PlannedModule& module) {
  QuantizedMatrix whole;
  whole.grid = module.grid;
  whole.rows = module.rows;
  whole.cols = module.cols;
  SolverOptions options;
  options.fit.grid = module.grid;
  const int64_t most = std::max(int64_t{1}, kRoundedAtOnce / module.cols);
  for (int64_t begin = 0; begin < module.rows; begin += most) {
    throw_if_interrupted();
    const int64_t end = std::min(module.rows, begin + most);
    const Tensor values(backend.host_allocator(), end - begin, module.cols, DType::f32);
    source.read(module.name + ".weight", begin, end, values);
    const Tensor weight = backend.allocate(end - begin, module.cols, DType::f32);
    backend.upload(values, weight);
    const QuantizedMatrix part =
        solve_rtn(backend, weight, nullptr, options).matrix.download(backend);
    append(part.codes, whole.codes);
    append(part.scales, whole.scales);
    append(part.zeros, whole.zeros);
    append(part.offsets, whole.offsets);
  }
  return whole;
}

}  // namespace halftone
