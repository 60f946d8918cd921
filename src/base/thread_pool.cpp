#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "base/cgroup.h"
#include "base/mapped_ranges.h"

namespace halftone {
namespace {

constexpr uint32_t kOpen = uint32_t{1} << 31;
// Long enough to bridge the serial part between two operations, short enough to cost nothing: about
// 50 µs.
constexpr int kSpins = 1000;

thread_local bool inside_body = false;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

template <class Condition>
bool spin_until(Condition condition) {
  for (int i = 0; i < kSpins; ++i) {
    if (condition()) return true;
    pause_briefly();
  }
  return condition();
}

class BodyScope {
 public:
  BodyScope() { inside_body = true; }
  ~BodyScope() { inside_body = false; }
};

}  // namespace

int available_processors() {
  int processors = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t mask;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) processors = CPU_COUNT(&mask);
  if (const auto quota = cgroup_processors())
    processors = std::min(processors, static_cast<int>(std::min(std::ceil(*quota), 65536.0)));
  return std::max(processors, 1);
}

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = available_processors();
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ++generation_;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              const std::function<void(int64_t, int64_t)>& body) {
  assert(grain > 0);
  if (count <= 0) return;
  const int64_t chunks = (count - 1) / grain + 1;
  if (inside_body) {
    for (int64_t i = 0; i < chunks; ++i) body(i * grain, std::min(count, i * grain + grain));
    return;
  }
  const std::lock_guard one_call(calls_);
  body_ = &body;
  count_ = count;
  grain_ = grain;
  chunks_ = chunks;
  next_chunk_.store(0, std::memory_order_relaxed);
  const bool share = chunks > 1 && !workers_.empty();
  if (share) {
    job_.store(kOpen, std::memory_order_release);
    ++generation_;
    if (sleepers_ > 0) {
      // A worker that has looked at the generation and not yet gone to sleep holds the mutex.
      { const std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
  }
  run_chunks();
  if (share) wait_for_workers();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// Closes the job to workers that have not come yet, so that one which sleeps delays nobody.
void ThreadPool::wait_for_workers() {
  job_.fetch_and(~kOpen);
  const auto empty = [this] { return job_.load(std::memory_order_acquire) == 0; };
  if (spin_until(empty)) return;
  std::unique_lock lock(mutex_);
  finished_.wait(lock, empty);
}

void ThreadPool::work() {
  const SignalStack signal_stack;
  for (uint64_t seen = 0;;) {
    const auto called = [&] { return generation_.load() != seen; };
    if (!spin_until(called)) {
      std::unique_lock lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, called);
      --sleepers_;
    }
    if (stopping_) return;
    seen = generation_.load();
    join_job();
  }
}

void ThreadPool::join_job() {
  uint32_t state = job_.load();
  do {
    if (!(state & kOpen)) return;
  } while (!job_.compare_exchange_weak(state, state + 1));
  run_chunks();
  if (job_.fetch_sub(1) == 1) {  // closed, and the last to leave
    { const std::lock_guard lock(mutex_); }
    finished_.notify_one();
  }
}

void ThreadPool::run_chunks() {
  const BodyScope scope;
  for (;;) {
    const int64_t chunk = next_chunk_.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= chunks_) return;
    try {
      (*body_)(chunk * grain_, std::min(count_, chunk * grain_ + grain_));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_chunk_.store(chunks_, std::memory_order_relaxed);
    }
  }
}

}  // namespace halftone
