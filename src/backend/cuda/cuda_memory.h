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

#include "base/thread_pool.h"
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
  CudaAllocator(int device, const Stream& compute);
  ~CudaAllocator() override;

  // As allocate() and release(), in the order of another stream: memory that it writes first need
  // not wait for all that the compute stream has queued.
  void* allocate_on(cudaStream_t stream, size_t bytes);
  void release_on(cudaStream_t stream, void* data, size_t bytes) noexcept;

 protected:
  void* take(size_t bytes) override;
  void give_back(void* data, size_t bytes) noexcept override;
  std::string name() const override { return name_; }

 private:
  // Says whose stream goes instead of the compute stream, as long as it lives.
  class OtherOrder;
  // The stream in whose order the calling thread asks now.
  cudaStream_t order() const {
    return other_thread_.load() == std::this_thread::get_id() ? other_ : cudaStream_t(compute_);
  }

  std::string name_;
  cudaMemPool_t pool_ = nullptr;
  const Stream& compute_;
  std::mutex others_;  // one such call at a time
  std::atomic<std::thread::id> other_thread_;
  cudaStream_t other_ = nullptr;
};

// The host's memory, pinned: copies from and to the card go by themselves, at the bus's speed.
class PinnedAllocator final : public Allocator {
 public:
  // `threads` outlive it.
  explicit PinnedAllocator(ThreadPool& threads) : threads_(threads) {}

 protected:
  void* take(size_t bytes) override;
  void give_back(void* data, size_t bytes) noexcept override;
  std::string name() const override { return "pinned host memory"; }

 private:
  ThreadPool& threads_;
};

// Bytes for work on a stream, given back in its order.
class StreamBuffer {
 public:
  StreamBuffer(CudaAllocator& allocator, size_t bytes, cudaStream_t stream)
      : allocator_(allocator),
        bytes_(bytes),
        stream_(stream),
        data_(allocator.allocate_on(stream, bytes)) {}
  ~StreamBuffer() { allocator_.release_on(stream_, data_, bytes_); }
  StreamBuffer(const StreamBuffer&) = delete;
  StreamBuffer& operator=(const StreamBuffer&) = delete;
  void* data() const { return data_; }

 private:
  CudaAllocator& allocator_;
  size_t bytes_;
  cudaStream_t stream_;
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
