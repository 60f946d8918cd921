#include "model/weight_reader.h"

#include <algorithm>

#include "base/mapped_ranges.h"
#include "base/thread_pool.h"

namespace halftone {
namespace {

constexpr int64_t kChunkValues = int64_t{1} << 18;  // that one thread reads at a time

}  // namespace

ConstView WeightReader::read(const TensorKey& key, const Rows& rows, DType dtype,
                             Tensor& memory) const {
  check_mapped_files();
  const int64_t cols = tensors_.shape(key).second;
  const int64_t grain = std::max<int64_t>(1, kChunkValues / cols);
  ThreadPool& threads = backend_.host_threads();
  if (const auto mapped = tensors_.mapped(key)) {
    const ConstView wanted = mapped->rows_of(rows.begin, rows.begin + rows.count);
    threads.parallel_for(rows.count, grain, [&](int64_t begin, int64_t end) {
      tensors_.check_finite(key, rows.begin + begin, wanted.rows_of(begin, end));
    });
    return wanted;
  }
  memory = Tensor(backend_.host_allocator(), rows.count, cols, dtype);
  threads.parallel_for(rows.count, grain, [&](int64_t begin, int64_t end) {
    tensors_.read(key, rows.begin + begin, rows.begin + end, memory.view().rows_of(begin, end));
  });
  return memory;
}

std::unique_ptr<Weight> WeightReader::prepare(const TensorKey& key, DType compute) const {
  Tensor memory;
  return backend_.prepare(read(key, {0, tensors_.shape(key).first}, compute, memory), compute);
}

void WeightReader::upload(const TensorKey& key, View device, int64_t row_begin) const {
  check_mapped_files();
  // Where the device is the host, a copy would be read only to be copied again.
  if (device.place == Place::host && !tensors_.mapped(key)) {
    const int64_t grain = std::max<int64_t>(1, kChunkValues / device.cols);
    backend_.host_threads().parallel_for(device.rows, grain, [&](int64_t begin, int64_t end) {
      tensors_.read(key, row_begin + begin, row_begin + end, device.rows_of(begin, end));
    });
    return;
  }
  Tensor memory;
  backend_.upload(read(key, {row_begin, device.rows}, DType::f32, memory), device);
}

}  // namespace halftone
