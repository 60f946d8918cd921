// What a user is told when the GPU cannot be used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "backend/cuda/loader/cuda_libraries.h"
#include "backend/cuda/loader/cuda_plugin.h"
#include "base/error.h"

namespace halftone {
namespace {

using testing::HasSubstr;

CudaDriver driver_with(std::vector<CudaCard> cards) {
  return {.trouble = "", .version = 99000, .cards = std::move(cards)};
}

class CudaLoader : public testing::Test {
 protected:
  void SetUp() override {
    if (trouble_with(driver_with({{"NVIDIA H200", 9, 0, 0}}), 0) != "")
      GTEST_SKIP() << "built without CUDA";
  }
};

TEST_F(CudaLoader, TakesACardThatIsNewEnough) {
  EXPECT_EQ(trouble_with(driver_with({{"Tesla T4", 7, 5, 0}}), 0), "");
}

TEST_F(CudaLoader, SaysWhatACardMustBe) {
  EXPECT_EQ(trouble_with(driver_with({{"Tesla V100", 7, 0, 0}}), 0),
            "Tesla V100 is too old: its compute capability is 7.0, expected 7.5 or newer");
}

TEST_F(CudaLoader, SaysWhatADriverMustServe) {
  CudaDriver driver = driver_with({{"NVIDIA H200", 9, 0, 0}});
  driver.version = 11080;
  EXPECT_THAT(trouble_with(driver, 0), HasSubstr("it serves CUDA 11.8, expected 1"));
}

TEST_F(CudaLoader, SaysWhichCardsThereAre) {
  const CudaCard card{"NVIDIA H200", 9, 0, 0};
  EXPECT_EQ(trouble_with(driver_with({card}), 1),
            "there is no card 1: this machine has 1 (cuda:0)");
  EXPECT_EQ(trouble_with(driver_with({card, card}), 2),
            "there is no card 2: this machine has 2 (cuda:0 to cuda:1)");
}

TEST_F(CudaLoader, SaysThatThereIsNoDriver) {
  const CudaDriver none{.trouble = "no NVIDIA driver is installed", .version = 0, .cards = {}};
  EXPECT_EQ(trouble_with(none, 0), "no NVIDIA driver is installed");
}

TEST(CudaDevice, IsCudaWithANumber) {
  for (const char* device : {"cuda:", "cuda:x", "cuda:-1", "cuda:1x"}) {
    try {
      make_cuda_backend(device, {});
      ADD_FAILURE() << device;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::usage);
      EXPECT_THAT(error.what(), HasSubstr("expected cuda or cuda:N")) << device;
    }
  }
}

TEST(CudaLibraries, AreLookedForWhereTheUserSays) {
  ASSERT_EQ(setenv("HALFTONE_CUDA_LIBS", "/one:/two", 1), 0);
  const std::vector<std::string> folders = cuda_library_folders(13);
  unsetenv("HALFTONE_CUDA_LIBS");
  ASSERT_GE(folders.size(), 3u);
  EXPECT_EQ(folders[0], "/one");
  EXPECT_EQ(folders[1], "/two");
}

}  // namespace
}  // namespace halftone
