// Memory with a budget: every tensor comes from an allocator, which reports its peak and refuses to
// pass its limit.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

namespace halftone {

class Allocator {
 public:
  virtual ~Allocator() = default;

  // `bytes` of uninitialized memory, 64-byte aligned. Throws Error(resources), naming what was
  // asked, what is in use and the limit.
  void* allocate(size_t bytes);
  void release(void* data, size_t bytes) noexcept;

  int64_t in_use() const { return in_use_; }
  int64_t peak() const { return peak_; }
  void reset_peak() { peak_ = in_use_.load(); }
  int64_t limit() const { return limit_; }
  void set_limit(int64_t bytes) { limit_ = bytes; }

 protected:
  virtual void* take(size_t bytes) = 0;  // nullptr when there is none
  virtual void give_back(void* data, size_t bytes) noexcept = 0;
  virtual std::string name() const = 0;  // "host", "cuda:0"

 private:
  std::atomic<int64_t> in_use_ = 0, peak_ = 0;
  int64_t limit_ = std::numeric_limits<int64_t>::max();
};

// The machine's memory. Of the large blocks that were released the latest are kept, up to 128 MiB
// within the limit, for the next request of the same size; the others go back to the system at
// once.
class HostAllocator : public Allocator {
 public:
  HostAllocator();
  ~HostAllocator() override;

 protected:
  void* take(size_t bytes) override;
  void give_back(void* data, size_t bytes) noexcept override;
  std::string name() const override { return "host"; }

 private:
  struct Block {
    void* data;
    size_t bytes;
  };

  void* reuse(size_t bytes);
  void keep_at_most(size_t bytes) noexcept;

  std::mutex mutex_;
  std::vector<Block> kept_;  // the oldest first
  size_t kept_bytes_ = 0;
};

}  // namespace halftone
