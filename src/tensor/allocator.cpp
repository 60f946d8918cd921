#include "tensor/allocator.h"

#include <sys/mman.h>

#include <cstdlib>

#include "base/error.h"
#include "base/progress.h"

namespace halftone {
namespace {

// From here on a block gets pages of its own, which go back to the system when it is released:
// malloc would keep them once its threshold has adapted, and a peak in one stage would stay to the
// end.
constexpr size_t kOwnPages = size_t{1} << 18;
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
  void* data = take(bytes);
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

void* HostAllocator::take(size_t bytes) {
  if (bytes < kOwnPages) return std::aligned_alloc(kAlignment, rounded_up(bytes ? bytes : 1));
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= 2 * kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void HostAllocator::give_back(void* data, size_t bytes) noexcept {
  if (bytes < kOwnPages)
    std::free(data);
  else
    ::munmap(data, bytes);
}

}  // namespace halftone
