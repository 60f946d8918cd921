// Matrices between host and device, through pinned memory, with conversion on the device.
#pragma once

#include <mutex>

#include "backend/cuda/cuda_context.h"
#include "base/thread_pool.h"

namespace halftone::cuda {

class Transfers {
 public:
  // `threads` of the host that copy into and out of pinned memory; 0: all that it may use.
  Transfers(Context& context, int threads);

  int threads() const { return pool_.size(); }
  ThreadPool& host_threads() { return pool_; }
  // Any types, any leading dimensions. upload: `host` is read on return, `device` written in the
  // order of the queue; the copy queue first waits for what the compute stream has been given until
  // now, because that may still use the memory.
  void upload(ConstView host, View device, Queue queue);
  // The same on the copy stream into memory of CudaAllocator::allocate_for_copy(): without waiting.
  void upload_ahead(ConstView host, View device);
  // Waits for the compute stream.
  void download(ConstView device, View host);
  // Waits for the stream beside() only; from any thread.
  void download_beside(ConstView device, View host);

 private:
  void upload_on(ConstView host, View device, PinnedRing& ring, cudaStream_t stream);
  void upload_same_type(ConstView host, View device, PinnedRing& ring, cudaStream_t stream);
  void download_on(ConstView device, View host, PinnedRing& ring, cudaStream_t stream);
  void download_same_type(ConstView device, View host, PinnedRing& ring, cudaStream_t stream);

  Context& context_;
  ThreadPool pool_;
  std::mutex ahead_, beside_;  // of their rings, which other threads than the computing one use
  PinnedRing copy_ring_, compute_ring_, download_ring_, beside_ring_;
};

}  // namespace halftone::cuda
