// tensor/: allocator, views, tensors, roles.
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory_usage.h"
#include "tensor/role.h"
#include "tensor/weight_source.h"

namespace halftone {
namespace {

TEST(Tensor, WorkedExample) {
  HostAllocator host;
  Tensor a(host, 2, 6, DType::f32);
  for (int i = 0; i < 12; ++i) a.row<float>(0)[i] = static_cast<float>(i);
  const View right = a.view().cols_of(2, 5);
  EXPECT_EQ(right.row<float>(1)[0], 8);
  EXPECT_EQ(right.ld, 6);
  EXPECT_FALSE(right.contiguous());
  const ConstView last = ConstView(a).rows_of(1, 2);
  EXPECT_EQ(last.row<float>(0)[5], 11);
  const View heads = a.view().split_rows(3);  // (2, 3·2) → (2·3, 2)
  EXPECT_EQ(heads.rows, 6);
  EXPECT_EQ(heads.cols, 2);
  EXPECT_EQ(heads.row<float>(4)[1], 9);
  EXPECT_EQ(a.bytes(), 48);
}

TEST(Tensor, EveryDTypeHasSizeAndName) {
  HostAllocator host;
  const std::pair<DType, size_t> sizes[] = {
      {DType::f32, 4}, {DType::f16, 2}, {DType::bf16, 2}, {DType::f64, 8}, {DType::i64, 8},
      {DType::i32, 4}, {DType::i16, 2}, {DType::i8, 1},   {DType::u8, 1},  {DType::boolean, 1}};
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(size_of(dtype), size);
    EXPECT_FALSE(name_of(dtype).empty());
    EXPECT_EQ(Tensor(host, 3, 5, dtype).bytes(), static_cast<int64_t>(15 * size));
  }
  EXPECT_EQ(host.in_use(), 0);
}

TEST(Tensor, MovesAndReleasesAtOnce) {
  HostAllocator host;
  Tensor a(host, 10, 10, DType::f32);
  Tensor b = std::move(a);
  EXPECT_EQ(host.in_use(), 400);
  EXPECT_TRUE(a.empty());  // NOLINT: what is left after the move
  b = Tensor(host, 1, 1, DType::f32);
  EXPECT_EQ(host.in_use(), 4);
  b = Tensor();
  EXPECT_EQ(host.in_use(), 0);
  EXPECT_EQ(host.peak(), 404);
  host.reset_peak();
  EXPECT_EQ(host.peak(), 0);
}

TEST(Allocator, HoldsItsLimit) {
  HostAllocator host;
  host.set_limit(1000);
  const Tensor a(host, 1, 600, DType::u8);
  try {
    Tensor(host, 1, 401, DType::u8);
    FAIL() << "beyond the limit";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_STREQ(error.what(), "host: 401 B asked for with 600 B in use: the limit is 1.00 kB");
  }
  EXPECT_EQ(host.in_use(), 600);
  EXPECT_NO_THROW(Tensor(host, 1, 400, DType::u8));
}

TEST(Allocator, RefusesWhatNoMachineHas) {
  HostAllocator host;
  for (const int64_t side : {int64_t{1} << 40, int64_t{1} << 29, int64_t{1} << 62}) {
    try {
      Tensor(host, side, side, DType::f64);
      FAIL() << side;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::resources);
    }
  }
  EXPECT_EQ(host.in_use(), 0);
}

TEST(Allocator, AlignsAndReturnsLargeBlocks) {
  HostAllocator host;
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{1} << 18, size_t{5} << 20}) {
    void* data = host.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    if (bytes) std::memset(data, 1, bytes);
    host.release(data, bytes);
  }
  constexpr size_t kBytes = size_t{256} << 20;
  const int64_t before = anonymous_memory();
  void* data = host.allocate(kBytes);
  std::memset(data, 1, kBytes);
  EXPECT_GT(anonymous_memory(), before + static_cast<int64_t>(kBytes) / 2);
  host.release(data, kBytes);
  EXPECT_LT(anonymous_memory(), before + static_cast<int64_t>(kBytes) / 2);
}

TEST(Allocator, CountsFromManyThreads) {
  HostAllocator host;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) Tensor(host, 1, 100, DType::u8);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(host.in_use(), 0);
  EXPECT_GE(host.peak(), 100);
  EXPECT_LE(host.peak(), 400);
}

TEST(Role, LinearsAreSevenAndStaged) {
  int linears = 0;
  for (int i = 0; i <= static_cast<int>(Role::head); ++i) {
    const Role role = static_cast<Role>(i);
    EXPECT_FALSE(name_of(role).empty());
    if (is_linear(role)) ++linears;
  }
  EXPECT_EQ(linears, 7);
  EXPECT_EQ(stage_of(Role::k), Stage::attn_in);
  EXPECT_EQ(stage_of(Role::o), Stage::attn_out);
  EXPECT_EQ(stage_of(Role::up), Stage::mlp_in);
  EXPECT_EQ(stage_of(Role::down), Stage::mlp_out);
  EXPECT_EQ(shard_axis(Role::gate), ShardAxis::outputs);
  EXPECT_EQ(shard_axis(Role::down), ShardAxis::inputs);
  EXPECT_EQ(shard_axis(Role::attn_norm), ShardAxis::none);
  EXPECT_FALSE(is_per_layer(Role::head));
  EXPECT_EQ(name_of(Stage::mlp_in), "mlp_in");
}

class TwoTensors : public WeightSource {
 public:
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view, int64_t, int64_t, View) const override {}

 private:
  std::vector<StoredTensor> tensors_ = {{.name = "a", .rows = 1}, {.name = "c", .rows = 2}};
};

TEST(WeightSource, FindsByName) {
  const TwoTensors source;
  EXPECT_EQ(source.find("c")->rows, 2);
  EXPECT_EQ(source.find("b"), nullptr);
  EXPECT_EQ(source.find("d"), nullptr);
  EXPECT_FALSE(source.mapped("a").has_value());
  EXPECT_FALSE(source.quantized("a").has_value());
}

}  // namespace
}  // namespace halftone
