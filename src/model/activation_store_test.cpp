// Activations come back bit for bit, from each place that they may lie in.
#include "model/activation_store.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "backend/test_device.h"
#include "base/error.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

// Where the matrices of a test go.
struct Tiers {
  const char* name;
  int64_t device_bytes, host_bytes;
};
void PrintTo(const Tiers& tiers, std::ostream* out) { *out << tiers.name; }

constexpr int64_t kEverything = int64_t{1} << 40;

class ActivationStoreTest : public ::testing::TestWithParam<Tiers> {
 protected:
  // Values that bf16 holds exactly.
  void fill(ActivationStore& store, int64_t index, int64_t rows, int64_t cols, float base) {
    HostAllocator host;
    const Tensor values(host, rows, cols, DType::f32);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        values.row<float>(r)[c] = base + static_cast<float>(r * cols + c);
    device_.upload(values, store.make(index, rows, cols), Queue::compute);
    store.keep();
  }
  void expect(ActivationStore& store, int64_t index, int64_t rows, int64_t cols, float base) {
    HostAllocator host;
    const Tensor values(host, rows, cols, DType::f32);
    const View view = store.open(index);
    ASSERT_EQ(view.rows, rows);
    ASSERT_EQ(view.cols, cols);
    EXPECT_EQ(view.dtype, store.dtype());
    EXPECT_EQ(view.place, Place::device);
    device_.download(view, values);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        ASSERT_EQ(values.row<float>(r)[c], base + static_cast<float>(r * cols + c))
            << index << ": " << r << ", " << c;
  }

  TemporaryDirectory directory_;
  TestDevice device_;
  ActivationBudget budget_{GetParam().device_bytes, GetParam().host_bytes, directory_.path()};
};

TEST_P(ActivationStoreTest, KeepsEveryMatrixInAnyOrder) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    ActivationStore store(device_, 3, dtype, budget_);
    for (const int64_t index : {1, 0, 2}) fill(store, index, 3, 5, static_cast<float>(16 * index));
    for (const int64_t index : {2, 0, 1, 0})
      expect(store, index, 3, 5, static_cast<float>(16 * index));
    fill(store, 0, 3, 5, 100);
    expect(store, 1, 3, 5, 16);
    expect(store, 0, 3, 5, 100);
  }
}

// The stage after has another width, wider or narrower; batches need not be of one length, and one
// may be of the stage after while the next is still of the stage before.
TEST_P(ActivationStoreTest, AnotherShapeMayFollow) {
  ActivationStore store(device_, 2, DType::f32, budget_);
  const auto value = [](int64_t index, int64_t cols) {
    return static_cast<float>(100 * index + cols);
  };
  int64_t before = 0;
  for (const int64_t cols : {4, 7, 2, 7}) {
    for (const int64_t index : {0, 1}) {
      if (before > 0) expect(store, index, 3 + index, before, value(index, before));
      fill(store, index, 3 + index, cols, value(index, cols));
    }
    before = cols;
  }
  for (const int64_t index : {0, 1}) expect(store, index, 3 + index, before, value(index, before));
}

TEST_P(ActivationStoreTest, NothingIsLeftBehind) {
  {
    ActivationStore store(device_, 2, DType::f32, budget_);
    fill(store, 0, 8, 8, 1);
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));  // even while it lives
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  EXPECT_EQ(device_.allocator().in_use(), 0);
  EXPECT_EQ(device_.host_allocator().in_use(), 0);
  EXPECT_EQ(budget_.device_bytes, GetParam().device_bytes);
  EXPECT_EQ(budget_.host_bytes, GetParam().host_bytes);
}

INSTANTIATE_TEST_SUITE_P(Places, ActivationStoreTest,
                         ::testing::Values(Tiers{"device", kEverything, 0},
                                           Tiers{"host", 0, kEverything}, Tiers{"disk", 0, 0},
                                           Tiers{"all_three", 64, 64}),
                         [](const auto& tiers) { return std::string(tiers.param.name); });

// First the device, then the host, then the file; elsewhere than on the device, one matrix at a
// time takes room there.
TEST(ActivationStore, TheBudgetIsUsedInOrder) {
  constexpr int64_t kBytes = 64 * 64 * 4;
  const TemporaryDirectory directory;
  TestDevice device;
  ActivationBudget budget{3 * kBytes, 2 * kBytes + 5, directory.path()};
  ActivationStore store(device, 10, DType::f32, budget);
  for (int64_t index = 0; index < 10; ++index) {
    device.fill(store.make(index, 64, 64), 1);
    store.keep();
  }
  EXPECT_EQ(device.allocator().peak(), (3 + 2) * kBytes);  // copies: one at work, one on its way
  EXPECT_EQ(device.host_allocator().peak(), (2 + 1) * kBytes);
  EXPECT_EQ(budget.device_bytes, 0);
  EXPECT_EQ(budget.host_bytes, 5);
}

TEST(ActivationStore, WithoutADirectoryTheHostTakesItsShareAllTheSame) {
  constexpr int64_t kBytes = 64 * 64 * 4;
  TestDevice device;
  ActivationBudget budget{kBytes, 2 * kBytes, ""};
  ActivationStore store(device, 4, DType::f32, budget);
  for (int64_t index = 0; index < 4; ++index) {
    device.fill(store.make(index, 64, 64), 1);
    store.keep();
  }
  EXPECT_EQ(device.host_allocator().peak(), 2 * kBytes);
  EXPECT_EQ(budget.host_bytes, 0);
}

TEST(ActivationStore, StoresShareABudget) {
  const TemporaryDirectory directory;
  TestDevice device;
  ActivationBudget budget{100, 0, directory.path()};
  ActivationStore first(device, 1, DType::f32, budget);
  first.make(0, 4, 5);
  EXPECT_EQ(budget.device_bytes, 20);
  ActivationStore second(device, 1, DType::bf16, budget);
  second.make(0, 4, 5);
  EXPECT_EQ(budget.device_bytes, 20);  // 40 bytes do not fit: on disk
}

TEST(ActivationStore, ADirectoryThatIsNotThereIsNamed) {
  TestDevice device;
  ActivationBudget budget{0, 0, "/nowhere/at/all"};
  ActivationStore store(device, 1, DType::f32, budget);
  try {
    store.make(0, 4, 4);
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("/nowhere/at/all"));
  }
}

// A limit on the size of files stands for a full disk.
TEST(ActivationStore, AFullDiskIsSaidWithWhatHelps) {
  const TemporaryDirectory directory;
  TestDevice device;
  ActivationBudget budget{0, 0, directory.path()};
  ActivationStore store(device, 4, DType::f32, budget);
  device.fill(store.make(0, 64, 64), 1);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  try {
    store.keep();
    ADD_FAILURE() << "kept";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("--max-memory"));
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
}

}  // namespace
}  // namespace halftone
