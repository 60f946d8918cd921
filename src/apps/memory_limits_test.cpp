#include "apps/memory_limits.h"

#include <gtest/gtest.h>

namespace halftone {
namespace {

TEST(MemoryLimits, ABareSizeIsTheDevices) {
  const auto limits = parse_memory_limits("8G");
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->device, 8'000'000'000);
  EXPECT_EQ(limits->host, 0);
}

TEST(MemoryLimits, EachMayBeNamed) {
  for (const char* text : {"device=8G,host=800M", "host=800M,device=8G", "8G,host=800M"}) {
    const auto limits = parse_memory_limits(text);
    ASSERT_TRUE(limits) << text;
    EXPECT_EQ(limits->device, 8'000'000'000) << text;
    EXPECT_EQ(limits->host, 800'000'000) << text;
  }
  EXPECT_EQ(parse_memory_limits("host=2G")->device, 0);
}

TEST(MemoryLimits, WhatIsNoLimitIsRefused) {
  for (const char* text : {"", "lots", "device=", "device=8G,", "8G,4G", "host=1G,host=1G",
                           "disk=8G", "device=8G;host=1G", "-1", "0"})
    EXPECT_FALSE(parse_memory_limits(text)) << text;
}

TEST(MemoryLimits, WhatIsEnoughIsAcceptedWhenItIsTyped) {
  EXPECT_EQ(enough_bytes(327'000'000), "327 MB");
  EXPECT_EQ(enough_bytes(327'000'001), "328 MB");
  EXPECT_EQ(enough_bytes(9'994'999'999), "10.0 GB");
  EXPECT_EQ(enough_bytes(999'400'000), "1.00 GB");
  for (int64_t bytes = 1; bytes < int64_t{1} << 50; bytes = bytes * 7 / 4 + 3) {
    const int64_t typed = parse_memory_limits(enough_bytes(bytes))->device;
    EXPECT_GE(typed, bytes);
    EXPECT_LE(typed, bytes + bytes / 80 + 1);
  }
}

}  // namespace
}  // namespace halftone
