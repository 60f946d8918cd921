// A fixed set of threads that work on ranges cut by size alone, never by the number of threads:
// whoever computes a chunk, its bytes are the same.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace halftone {

class ThreadPool {
 public:
  // `threads` workers, the calling thread being one of them; 0: as many as this process may run on
  // (its affinity mask and cgroup quota).
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) once for each chunk of `grain` items of [0, count), the last one
  // shorter, on any thread, in any order, and returns when all are done. The first exception is
  // rethrown here, and chunks not yet begun are then left out. A call from within a body runs on
  // the calling thread alone.
  void parallel_for(int64_t count, int64_t grain,
                    const std::function<void(int64_t, int64_t)>& body);

 private:
  void work();
  void join_job();
  void run_chunks();
  void wait_for_workers();

  std::vector<std::thread> workers_;
  std::mutex calls_;  // one job at a time
  // The job: written before it opens, read by those who have joined it.
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0, grain_ = 1, chunks_ = 0;
  std::atomic<int64_t> next_chunk_ = 0;
  std::atomic<uint32_t> job_ = 0;         // kOpen, plus the number of workers within
  std::atomic<uint64_t> generation_ = 0;  // jobs so far
  std::atomic<int> sleepers_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;  // failure_, and going to sleep
  std::condition_variable wake_, finished_;
  std::exception_ptr failure_;
};

// Processors that this process may use: its affinity mask, capped by its cgroup's quota.
int available_processors();

}  // namespace halftone
