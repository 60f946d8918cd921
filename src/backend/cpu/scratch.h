// Working memory of the tasks of one backend: taken from its allocator, so that it counts against
// the budget, and kept from task to task, so that its pages are touched once.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace halftone::cpu {

class Scratch {
 public:
  explicit Scratch(Allocator& allocator) : allocator_(allocator) {}

  // A block that goes back when it is destroyed. 64-byte aligned, not initialized.
  class Lease {
   public:
    Lease(Scratch& owner, Tensor block) : owner_(owner), block_(std::move(block)) {}
    ~Lease() { owner_.give_back(std::move(block_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // `bytes` from the block's start, rounded up so that the next piece is aligned too.
    std::byte* take(int64_t bytes) {
      std::byte* piece = block_.row<std::byte>(0) + used_;
      used_ += aligned(bytes);
      assert(used_ <= block_.bytes());
      return piece;
    }

   private:
    Scratch& owner_;
    Tensor block_;
    int64_t used_ = 0;
  };

  static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

  // The smallest idle block that is large enough; when there is none, a new one takes the place of
  // the largest idle one. At most as many blocks are kept as tasks have run at once.
  Lease lease(int64_t bytes) {
    bytes = aligned(bytes);  // the last piece is rounded up too
    {
      const std::lock_guard lock(mutex_);
      auto found = std::find_if(free_.begin(), free_.end(),
                                [=](const Tensor& block) { return block.bytes() >= bytes; });
      const bool fits = found != free_.end();
      if (!fits && !free_.empty()) --found;
      if (found != free_.end()) {
        Tensor block = std::move(*found);
        free_.erase(found);
        if (fits) return Lease(*this, std::move(block));
      }
    }
    return Lease(*this, Tensor(allocator_, 1, bytes, DType::u8));
  }

  // Frees the blocks that no task holds.
  void release_idle() {
    const std::lock_guard lock(mutex_);
    free_.clear();
  }

 private:
  void give_back(Tensor block) {
    const std::lock_guard lock(mutex_);
    const auto larger = std::find_if(free_.begin(), free_.end(), [&](const Tensor& other) {
      return other.bytes() >= block.bytes();
    });
    free_.insert(larger, std::move(block));
  }

  Allocator& allocator_;
  std::mutex mutex_;
  std::vector<Tensor> free_;  // smallest first
};

}  // namespace halftone::cpu
