// The card's memory: streams and events with owners, the allocator, and pinned memory through which
// everything between host and device passes.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/allocator.h"

namespace halftone::cuda {

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// A point in a stream that others can wait for. Move-only.
class CudaEvent {
 public:
  CudaEvent();
  ~CudaEvent();
  CudaEvent(CudaEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  CudaEvent& operator=(CudaEvent&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  operator cudaEvent_t() const { return event_; }
  void record(cudaStream_t stream);
  void block(cudaStream_t stream) const;  // `stream` goes on when the event has happened
  void wait() const;                      // the host, too

 private:
  cudaEvent_t event_ = nullptr;
};

// CUDA's stream-ordered pool under our budget. What the host releases is given back in the order of
// the compute stream, so memory of operations that are still queued is safe.
class CudaAllocator final : public Allocator {
 public:
  CudaAllocator(int device, const Stream& compute, const Stream& copy);
  ~CudaAllocator() override;

  // As allocate() and release(), in the order of the copy stream: memory that it writes first need
  // not wait for all that the compute stream has queued.
  void* allocate_for_copy(size_t bytes);
  void release_after_copy(void* data, size_t bytes) noexcept;
  cudaStream_t compute() const { return compute_; }

 protected:
  void* take(size_t bytes) override;
  void give_back(void* data, size_t bytes) noexcept override;
  std::string name() const override { return name_; }

 private:
  // The stream in whose order the calling thread asks now.
  cudaStream_t order() const {
    return copying_.load() == std::this_thread::get_id() ? copy_ : compute_;
  }

  std::string name_;
  cudaMemPool_t pool_ = nullptr;
  const Stream& compute_;
  const Stream& copy_;
  std::mutex copies_;
  std::atomic<std::thread::id> copying_;  // the thread that is within one of the two
};

// Bytes for work on one of the two streams, given back in its order.
class StreamBuffer {
 public:
  StreamBuffer(CudaAllocator& allocator, size_t bytes, cudaStream_t stream)
      : allocator_(allocator), bytes_(bytes), for_copy_(stream != allocator.compute()) {
    data_ = for_copy_ ? allocator.allocate_for_copy(bytes) : allocator.allocate(bytes);
  }
  ~StreamBuffer() {
    if (for_copy_)
      allocator_.release_after_copy(data_, bytes_);
    else
      allocator_.release(data_, bytes_);
  }
  StreamBuffer(const StreamBuffer&) = delete;
  StreamBuffer& operator=(const StreamBuffer&) = delete;
  void* data() const { return data_; }

 private:
  CudaAllocator& allocator_;
  size_t bytes_;
  bool for_copy_;
  void* data_ = nullptr;
};

// Pinned host memory, handed out piece by piece and round again; a piece is reused when the stream
// has done what was queued with it. Not for several threads.
class PinnedRing {
 public:
  PinnedRing(size_t segment_bytes, int segments);
  ~PinnedRing();
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  size_t segment_bytes() const { return segment_bytes_; }
  // `bytes` ≤ segment_bytes(), 256-byte aligned, to be used by work on `stream` that is queued
  // before the next call. Waits while the device still reads what lies there.
  std::byte* take(size_t bytes, cudaStream_t stream);

 private:
  struct Segment {
    CudaEvent done;
    bool in_flight = false;
  };
  std::byte* data_ = nullptr;
  size_t segment_bytes_;
  std::vector<Segment> segments_;
  size_t current_ = 0, used_ = 0;
};

}  // namespace halftone::cuda
