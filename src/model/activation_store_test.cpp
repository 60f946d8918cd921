// Activations come back bit for bit, from memory and from a file that nobody sees.
#include "model/activation_store.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "base/error.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

class ActivationStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  std::string spill() const { return GetParam() ? directory_.path() : ""; }
  // Values that bf16 holds exactly.
  void fill(ActivationStore& store, int64_t index, int64_t rows, int64_t cols, float base) {
    HostAllocator host;
    const Tensor values(host, rows, cols, DType::f32);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        values.row<float>(r)[c] = base + static_cast<float>(r * cols + c);
    backend_->upload(values, store.open(index, rows, cols));
    store.keep(index);
  }
  void expect(ActivationStore& store, int64_t index, int64_t rows, int64_t cols, float base) {
    HostAllocator host;
    const Tensor values(host, rows, cols, DType::f32);
    const View view = store.open(index, rows, cols);
    ASSERT_EQ(view.rows, rows);
    ASSERT_EQ(view.cols, cols);
    EXPECT_EQ(view.dtype, store.dtype());
    backend_->download(view, values);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        ASSERT_EQ(values.row<float>(r)[c], base + static_cast<float>(r * cols + c))
            << index << ": " << r << ", " << c;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Backend> backend_ = make_backend("ref", {});
};

TEST_P(ActivationStoreTest, KeepsEveryMatrixInAnyOrder) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    ActivationStore store(*backend_, 3, dtype, spill());
    for (const int64_t index : {1, 0, 2}) fill(store, index, 3, 5, static_cast<float>(16 * index));
    for (const int64_t index : {2, 0, 1, 0})
      expect(store, index, 3, 5, static_cast<float>(16 * index));
    fill(store, 0, 3, 5, 100);
    expect(store, 1, 3, 5, 16);
    expect(store, 0, 3, 5, 100);
  }
}

// The stage after has another width, wider or narrower, and the same windows.
TEST_P(ActivationStoreTest, AnotherShapeFollowsAfterClear) {
  ActivationStore store(*backend_, 2, DType::f32, spill());
  for (const int64_t cols : {4, 7, 2, 7}) {
    store.clear();
    for (const int64_t index : {0, 1})
      fill(store, index, 3, cols, static_cast<float>(100 * index + cols));
    for (const int64_t index : {0, 1})
      expect(store, index, 3, cols, static_cast<float>(100 * index + cols));
  }
}

TEST_P(ActivationStoreTest, NothingIsLeftBehind) {
  {
    ActivationStore store(*backend_, 2, DType::f32, spill());
    fill(store, 0, 8, 8, 1);
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));  // even while it lives
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  EXPECT_EQ(backend_->allocator().in_use(), 0);
}

INSTANTIATE_TEST_SUITE_P(Places, ActivationStoreTest, ::testing::Bool(),
                         [](const auto& place) { return place.param ? "disk" : "memory"; });

// In a file only one matrix at a time takes memory.
TEST(ActivationStore, SpilledMatricesTakeTheMemoryOfOne) {
  const TemporaryDirectory directory;
  int64_t peak[2];
  for (const bool spilled : {false, true}) {
    const auto backend = make_backend("ref", {});
    ActivationStore store(*backend, 10, DType::f32, spilled ? directory.path() : "");
    for (int64_t index = 0; index < 10; ++index) {
      backend->fill(store.open(index, 64, 64), 1);
      store.keep(index);
    }
    peak[spilled] = backend->allocator().peak();
  }
  EXPECT_GE(peak[0], 10 * 64 * 64 * 4);
  EXPECT_LT(peak[1], 2 * 64 * 64 * 4);
}

TEST(ActivationStore, ADirectoryThatIsNotThereIsNamed) {
  const auto backend = make_backend("ref", {});
  try {
    ActivationStore(*backend, 1, DType::f32, "/nowhere/at/all");
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("/nowhere/at/all"));
  }
}

// A limit on the size of files stands for a full disk.
TEST(ActivationStore, AFullDiskIsSaidWithWhatHelps) {
  const TemporaryDirectory directory;
  const auto backend = make_backend("ref", {});
  ActivationStore store(*backend, 4, DType::f32, directory.path());
  const View view = store.open(0, 64, 64);
  backend->fill(view, 1);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  try {
    store.keep(0);
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
