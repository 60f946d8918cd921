#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace halftone {
namespace {

TEST(ThreadPool, WorkedExample) {
  ThreadPool pool(3);
  std::vector<int> squares(10);
  pool.parallel_for(10, 4, [&](int64_t begin, int64_t end) {
    EXPECT_TRUE((begin == 0 && end == 4) || (begin == 4 && end == 8) || (begin == 8 && end == 10));
    for (int64_t i = begin; i < end; ++i) squares[i] = static_cast<int>(i * i);
  });
  EXPECT_EQ(squares, (std::vector<int>{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
}

TEST(ThreadPool, EachItemOnceWithAnyNumberOfThreadsAndGrain) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 2, 17, 1000})
      for (const int64_t grain : {1, 3, 1000, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          EXPECT_TRUE(end == begin + grain || end == count);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (const auto& visit : visits) ASSERT_EQ(visit, 1);
      }
  }
}

TEST(ThreadPool, ManyShortJobsInARow) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum = 0;
  for (int job = 0; job < 20000; ++job)
    pool.parallel_for(4, 1, [&](int64_t begin, int64_t) { sum += begin; });
  EXPECT_EQ(sum, 20000 * 6);
}

TEST(ThreadPool, WakesWorkersThatSleep) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    // Each chunk waits for the other to have begun: one thread alone would never end.
    std::atomic<int> begun = 0;
    pool.parallel_for(2, 1, [&](int64_t, int64_t) {
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
  }
}

TEST(ThreadPool, NestedCallsRunOnTheCallingThread) {
  ThreadPool pool(3);
  std::atomic<int> chunks = 0;
  pool.parallel_for(8, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    pool.parallel_for(5, 2, [&](int64_t, int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      ++chunks;
    });
  });
  EXPECT_EQ(chunks, 8 * 3);
}

TEST(ThreadPool, RethrowsAndGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.parallel_for(100, 1,
                                   [](int64_t begin, int64_t) {
                                     if (begin % 10 == 7) throw std::runtime_error("seven");
                                   }),
                 std::runtime_error);
    std::atomic<int> visits = 0;
    pool.parallel_for(100, 1, [&](int64_t, int64_t) { ++visits; });
    EXPECT_EQ(visits, 100);
  }
}

TEST(ThreadPool, CallersOnSeveralThreadsTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      for (int job = 0; job < 500; ++job)
        pool.parallel_for(10, 1, [&](int64_t begin, int64_t) { sum += begin; });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * 500 * 45);
}

TEST(ThreadPool, DefaultSizeIsWhatTheProcessMayUse) {
  EXPECT_GE(available_processors(), 1);
  EXPECT_EQ(ThreadPool().size(), available_processors());
}

}  // namespace
}  // namespace halftone
