// Working memory is kept, but never more of it than was used at once.
#include "backend/cpu/scratch.h"

#include <gtest/gtest.h>

#include <optional>

namespace halftone::cpu {
namespace {

TEST(Scratch, TheSmallestBlockThatIsLargeEnoughIsTaken) {
  HostAllocator allocator;
  Scratch scratch(allocator);
  {
    const auto large = scratch.lease(1024), small = scratch.lease(64), middle = scratch.lease(256);
  }
  const auto a = scratch.lease(64), b = scratch.lease(192), c = scratch.lease(1000);
  EXPECT_EQ(allocator.in_use(), 1024 + 64 + 256);  // as if each had come back to its own
}

// Large and small ones by turns do not end as large ones all.
TEST(Scratch, ALargerBlockTakesTheLargestsPlace) {
  HostAllocator allocator;
  Scratch scratch(allocator);
  { const auto small = scratch.lease(64), middle = scratch.lease(256); }
  for (int round = 0; round < 5; ++round) {
    const auto large = scratch.lease(4096);
    const auto small = scratch.lease(64);
  }
  EXPECT_EQ(allocator.in_use(), 4096 + 64);
}

TEST(Scratch, WhatNobodyHoldsIsReleased) {
  HostAllocator allocator;
  Scratch scratch(allocator);
  std::optional<Scratch::Lease> held;
  held.emplace(scratch, Tensor(allocator, 1, 128, DType::u8));
  { const auto idle = scratch.lease(512); }
  scratch.release_idle();
  EXPECT_EQ(allocator.in_use(), 128);
  held.reset();
  scratch.release_idle();
  EXPECT_EQ(allocator.in_use(), 0);
}

}  // namespace
}  // namespace halftone::cpu
