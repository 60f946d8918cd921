// A fixed set of threads that work on ranges cut by size alone, never by the number of threads:
// whoever computes a chunk, its bytes are the same.
#pragma once

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

  // Calls body(begin, end) once for each chunk of `grain` items of [0, count), the last one shorter,
  // on any thread, in any order, and returns when all are done. The first exception is rethrown
  // here. A call from within a body runs on the calling thread alone.
  void parallel_for(int64_t count, int64_t grain,
                    const std::function<void(int64_t, int64_t)>& body);

 private:
  void work();
  void run_chunks();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0, grain_ = 1, next_ = 0, running_ = 0;
  uint64_t generation_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
};

}  // namespace halftone
