#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/progress.h"
#include "tensor/kept_blocks.h"

namespace halftone {
namespace {

// From here on a block gets pages of its own, which can go back to the system when it is released:
// malloc would keep them once its threshold has adapted, and a peak in one stage would stay to the
// end.
constexpr size_t kOwnPages = size_t{1} << 18;
// A block asks for the same few sizes again and again, and the system clears every page before it
// lends it: with 2,048 tokens at a time that is a tenth of a forward.
constexpr auto kKept = static_cast<size_t>(kMostKept);
constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void* Allocator::allocate(size_t bytes) {
  const int64_t wanted = static_cast<int64_t>(bytes);
  const auto refuse = [&](const char* why) {
    return out_of_resources("{}: {} asked for with {} in use: {}", name(), human_bytes(wanted),
                            human_bytes(in_use()), why);
  };
  const int64_t before = in_use_.fetch_add(wanted);
  // The sum cannot overflow before the comparison does its work: before ≤ limit.
  if (wanted < 0 || wanted > limit_ || before > limit_ - wanted) {
    in_use_ -= wanted;
    throw refuse(fmt::format("the limit is {}", human_bytes(limit_)).c_str());
  }
  void* data = nullptr;
  try {
    data = take(bytes);
  } catch (...) {
    in_use_ -= wanted;
    throw;
  }
  if (!data) {
    in_use_ -= wanted;
    throw refuse("the system has no more");
  }
  int64_t peak = peak_;
  while (peak < before + wanted && !peak_.compare_exchange_weak(peak, before + wanted)) {
  }
  return data;
}

void Allocator::release(void* data, size_t bytes) noexcept {
  if (!data) return;
  give_back(data, bytes);
  in_use_ -= static_cast<int64_t>(bytes);
}

// Room for every block that can be kept: to release one never allocates.
HostAllocator::HostAllocator() { kept_.reserve(kKept / kOwnPages); }

HostAllocator::~HostAllocator() { keep_at_most(0); }

void* HostAllocator::take(size_t bytes) {
  if (bytes < kOwnPages) return std::aligned_alloc(kAlignment, rounded_up(bytes ? bytes : 1));
  if (void* kept = reuse(bytes)) return kept;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= 2 * kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

// A kept block of exactly this size, else nullptr once what is kept leaves the new one its room
// below the limit (`in_use` counts it already).
void* HostAllocator::reuse(size_t bytes) {
  const std::lock_guard lock(mutex_);
  for (size_t i = kept_.size(); i-- > 0;) {
    if (kept_[i].bytes != bytes) continue;
    void* data = kept_[i].data;
    kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
    kept_bytes_ -= bytes;
    return data;
  }
  keep_at_most(static_cast<size_t>(std::max<int64_t>(0, limit() - in_use())));
  return nullptr;
}

void HostAllocator::keep_at_most(size_t bytes) noexcept {
  size_t gone = 0;
  for (; kept_bytes_ > bytes; ++gone) {
    ::munmap(kept_[gone].data, kept_[gone].bytes);
    kept_bytes_ -= kept_[gone].bytes;
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(gone));
}

void HostAllocator::give_back(void* data, size_t bytes) noexcept {
  if (bytes < kOwnPages) return std::free(data);
  if (bytes > kKept) {
    ::munmap(data, bytes);
    return;
  }
  const std::lock_guard lock(mutex_);
  // `in_use` still counts this one.
  const auto others = static_cast<size_t>(std::max<int64_t>(0, limit() - in_use()));
  keep_at_most(std::min(kKept - bytes, others));
  kept_.push_back({data, bytes});
  kept_bytes_ += bytes;
}

}  // namespace halftone
