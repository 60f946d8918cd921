#include "backend/cuda/transfers.h"

#include <algorithm>
#include <cassert>
#include <optional>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

// Weights come in pieces that keep the bus busy while the next is copied into pinned memory.
constexpr size_t kCopySegment = size_t{32} << 20, kComputeSegment = size_t{8} << 20;
constexpr int kCopySegments = 4, kComputeSegments = 4, kDownloadSegments = 2;
// What is converted on the way passes through device memory of this size.
constexpr int64_t kConvertedBytes = int64_t{64} << 20;
constexpr int64_t kBytesPerThread = int64_t{1} << 20;

int64_t row_bytes(ConstView view) { return view.cols * static_cast<int64_t>(size_of(view.dtype)); }
int64_t pitch(ConstView view) { return view.ld * static_cast<int64_t>(size_of(view.dtype)); }

// Rows of bytes of a host matrix, to or from pinned memory.
struct RowCopy {
  const std::byte* from;
  std::byte* to;
  int64_t from_pitch, to_pitch, row_bytes, rows;
};

void copy_rows(ThreadPool& pool, const RowCopy& copy) {
  const bool packed =
      copy.rows == 1 || (copy.from_pitch == copy.row_bytes && copy.to_pitch == copy.row_bytes);
  const auto move = [&](int64_t from, int64_t to, int64_t bytes) {
    std::memcpy(copy.to + to, copy.from + from, static_cast<size_t>(bytes));
  };
  if (packed) {
    pool.parallel_for(copy.rows * copy.row_bytes, kBytesPerThread,
                      [&](int64_t begin, int64_t end) { move(begin, begin, end - begin); });
    return;
  }
  pool.parallel_for(copy.rows, std::max<int64_t>(1, kBytesPerThread / copy.row_bytes),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row)
                        move(row * copy.from_pitch, row * copy.to_pitch, copy.row_bytes);
                    });
}

// Contiguous matrices are one long row, whose pieces are as long as a segment.
template <class AnyView>
AnyView as_one_row(AnyView view) {
  view.cols *= view.rows;
  view.rows = 1;
  view.ld = view.cols;
  return view;
}

// Calls body(row, rows, byte, bytes) for the pieces of a matrix that fit into `most` bytes.
template <class Body>
void for_pieces(ConstView view, int64_t most, Body body) {
  const int64_t width = row_bytes(view), part = std::min(width, most);
  const int64_t rows_at_once = most / part;
  for (int64_t row = 0; row < view.rows; row += rows_at_once)
    for (int64_t left = 0; left < width; left += part)
      body(row, std::min(rows_at_once, view.rows - row), left, std::min(part, width - left));
}

// Rows that are converted at a time.
int64_t rows_per_conversion(ConstView view) {
  return std::clamp<int64_t>(kConvertedBytes / std::max<int64_t>(1, row_bytes(view)), 1, view.rows);
}

}  // namespace

Transfers::Transfers(Context& context, int threads)
    : context_(context),
      pool_(threads),
      copy_ring_(kCopySegment, kCopySegments),
      compute_ring_(kComputeSegment, kComputeSegments),
      download_ring_(kCopySegment, kDownloadSegments),
      beside_ring_(kComputeSegment, kDownloadSegments) {}

void Transfers::upload(ConstView host, View device, Queue queue) {
  if (queue == Queue::compute) return upload_on(host, device, compute_ring_, context_.compute());
  CudaEvent now;
  now.record(context_.compute());
  now.block(context_.copy());
  upload_ahead(host, device);
}

void Transfers::upload_ahead(ConstView host, View device) {
  const std::lock_guard lock(ahead_);
  upload_on(host, device, copy_ring_, context_.copy());
}

void Transfers::upload_on(ConstView host, View device, PinnedRing& ring, cudaStream_t stream) {
  assert(host.rows == device.rows && host.cols == device.cols);
  if (host.empty()) return;
  if (host.dtype == device.dtype) return upload_same_type(host, device, ring, stream);
  const int64_t rows = rows_per_conversion(host);
  const StreamBuffer raw(context_.allocator(), static_cast<size_t>(rows * row_bytes(host)), stream);
  for (int64_t row = 0; row < host.rows; row += rows) {
    const int64_t end = std::min(row + rows, host.rows);
    const View part{raw.data(), end - row, host.cols, host.cols, host.dtype, Place::device};
    upload_same_type(host.rows_of(row, end), part, ring, stream);
    copy(context_, part, device.rows_of(row, end), stream);
  }
}

void Transfers::upload_same_type(ConstView host, View device, PinnedRing& ring,
                                 cudaStream_t stream) {
  if (host.contiguous() && device.contiguous()) {
    host = as_one_row(host);
    device = as_one_row(device);
  }
  const auto segment = static_cast<int64_t>(ring.segment_bytes());
  for_pieces(host, segment, [&](int64_t row, int64_t rows, int64_t left, int64_t bytes) {
    std::byte* pinned = ring.take(static_cast<size_t>(rows * bytes), stream);
    const auto* from = static_cast<const std::byte*>(host.data) + row * pitch(host) + left;
    copy_rows(pool_, {from, pinned, pitch(host), bytes, bytes, rows});
    auto* to = static_cast<std::byte*>(device.data) + row * pitch(device) + left;
    const size_t width = static_cast<size_t>(bytes);
    check(
        cudaMemcpy2DAsync(to, rows == 1 ? width : static_cast<size_t>(pitch(device)), pinned, width,
                          width, static_cast<size_t>(rows), cudaMemcpyHostToDevice, stream),
        {"upload", {host.rows, host.cols}});
  });
}

void Transfers::download(ConstView device, View host) {
  download_on(device, host, download_ring_, context_.compute());
}

void Transfers::download_beside(ConstView device, View host) {
  const std::lock_guard lock(beside_);
  download_on(device, host, beside_ring_, context_.beside());
}

void Transfers::download_on(ConstView device, View host, PinnedRing& ring, cudaStream_t stream) {
  assert(host.rows == device.rows && host.cols == device.cols);
  if (host.empty()) return;
  if (host.dtype == device.dtype) return download_same_type(device, host, ring, stream);
  const int64_t rows = rows_per_conversion(host);
  const StreamBuffer converted(context_.allocator(), static_cast<size_t>(rows * row_bytes(host)),
                               stream);
  for (int64_t row = 0; row < host.rows; row += rows) {
    const int64_t end = std::min(row + rows, host.rows);
    const View part{converted.data(), end - row, host.cols, host.cols, host.dtype, Place::device};
    copy(context_, device.rows_of(row, end), part, stream);
    download_same_type(part, host.rows_of(row, end), ring, stream);
  }
}

// A piece is copied out of pinned memory while the next one comes.
void Transfers::download_same_type(ConstView device, View host, PinnedRing& ring,
                                   cudaStream_t stream) {
  if (host.contiguous() && device.contiguous()) {
    host = as_one_row(host);
    device = as_one_row(device);
  }
  struct Piece {
    RowCopy copy;
    CudaEvent arrived;
  };
  std::optional<Piece> last;
  const auto finish = [&] {
    if (!last) return;
    last->arrived.wait();
    copy_rows(pool_, last->copy);
    last.reset();
  };
  const auto segment = static_cast<int64_t>(ring.segment_bytes());
  for_pieces(device, segment, [&](int64_t row, int64_t rows, int64_t left, int64_t bytes) {
    // A whole segment each: the ring then waits for the device, never for us, and the one before
    // is read before its turn comes again.
    std::byte* pinned = ring.take(static_cast<size_t>(segment), stream);
    const auto* from = static_cast<const std::byte*>(device.data) + row * pitch(device) + left;
    const size_t width = static_cast<size_t>(bytes);
    check(cudaMemcpy2DAsync(pinned, width, from,
                            rows == 1 ? width : static_cast<size_t>(pitch(device)), width,
                            static_cast<size_t>(rows), cudaMemcpyDeviceToHost, stream),
          {"download", {device.rows, device.cols}});
    CudaEvent arrived;
    arrived.record(stream);
    finish();
    auto* to = static_cast<std::byte*>(host.data) + row * pitch(host) + left;
    last.emplace(Piece{{pinned, to, bytes, pitch(host), bytes, rows}, std::move(arrived)});
  });
  finish();
}

}  // namespace halftone::cuda
