#include "tensor/allocator.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace halftone {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;

// Pages that the process holds, in bytes.
size_t resident() {
  size_t total = 0, pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (!file || std::fscanf(file, "%zu %zu", &total, &pages) != 2) ADD_FAILURE();
  if (file) std::fclose(file);
  return pages * 4096;
}

TEST(HostAllocator, CountsWhatIsInUseAndRefusesMore) {
  HostAllocator host;
  host.set_limit(3000);
  void* first = host.allocate(1000);
  void* second = host.allocate(2000);
  EXPECT_EQ(host.in_use(), 3000);
  EXPECT_THROW(host.allocate(1), Error);
  host.release(second, 2000);
  EXPECT_EQ(host.in_use(), 1000);
  EXPECT_EQ(host.peak(), 3000);
  host.release(first, 1000);
}

TEST(HostAllocator, LendsALargeBlockAgain) {
  HostAllocator host;
  void* first = host.allocate(4 * kMebibyte);
  void* second = host.allocate(5 * kMebibyte);
  host.release(first, 4 * kMebibyte);
  host.release(second, 5 * kMebibyte);
  EXPECT_EQ(host.in_use(), 0);
  void* again = host.allocate(4 * kMebibyte);
  EXPECT_EQ(again, first);
  host.release(again, 4 * kMebibyte);
}

TEST(HostAllocator, KeepsLittleAndLessWhereTheLimitIsNear) {
  HostAllocator host;
  const size_t block = 32 * kMebibyte, before = resident();
  void* blocks[8];
  for (size_t i = 0; i < 8; ++i) std::memset(blocks[i] = host.allocate(block + i), 1, block);
  for (size_t i = 0; i < 8; ++i) host.release(blocks[i], block + i);
  EXPECT_LT(resident(), before + 5 * block);  // four are kept

  host.set_limit(static_cast<int64_t>(block + 100));
  void* other = host.allocate(block + 99);  // no block of this size: all have to go
  EXPECT_LT(resident(), before + block / 2);
  host.release(other, block + 99);
}

}  // namespace
}  // namespace halftone
