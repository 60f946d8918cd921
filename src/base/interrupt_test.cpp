#include "base/interrupt.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/error.h"

namespace halftone {
namespace {

bool wait_until_interrupted() {
  for (int i = 0; i < 1000 && !interrupted(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return interrupted();
}

bool takes(int signal) {
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return sigismember(&blocked, signal) == 0;
}

// In a process of their own: handlers and masks outlive a test.
TEST(InterruptDeathTest, IsAFlagAndAnError) {
  EXPECT_EXIT(
      {
        watch_for_interrupt();
        if (interrupted()) std::exit(1);
        throw_if_interrupted();
        ::kill(::getpid(), SIGINT);
        if (!wait_until_interrupted()) std::exit(2);
        try {
          throw_if_interrupted();
        } catch (const Error& error) {
          std::exit(static_cast<int>(error.exit()));
        }
      },
      testing::ExitedWithCode(130), "");
}

TEST(InterruptDeathTest, ThreadsThatComputeTakeNoSignal) {
  EXPECT_EXIT(
      {
        watch_for_interrupt();
        bool worker_takes = true;
        std::thread([&] { worker_takes = takes(SIGINT) || takes(SIGTERM); }).join();
        std::exit(worker_takes || takes(SIGINT) || takes(SIGTERM) ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InterruptDeathTest, TheSecondSignalKills) {
  EXPECT_EXIT(
      {
        watch_for_interrupt();
        ::kill(::getpid(), SIGTERM);
        if (!wait_until_interrupted()) std::exit(2);
        ::kill(::getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(10));
        std::exit(3);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace halftone
