// Calibration looks at the network that will run: windows that go stage by stage end where whole
// blocks end.
#include "apps/window_stream.h"

#include <gtest/gtest.h>

#include <cstring>

#include "apps/test_model_folder.h"

namespace halftone {
namespace {

struct Case {
  const char* backend;
  const char* family;
  DType compute;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.backend << ", " << c.family << ", " << name_of(c.compute);
}

class WindowStreamTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int64_t kLength = 21, kCount = 3;

  WindowStreamTest() {
    windows_.length = kLength;
    Rng rng(3);
    for (int64_t i = 0; i < kCount * kLength; ++i)
      windows_.ids.push_back(
          static_cast<int32_t>(rng.below(static_cast<uint64_t>(model_.config().vocab))));
  }
  // Why this machine cannot run the case; empty when it can.
  std::string obstacle() const {
    const bool native = backend_->info().native_bf16 || backend_->info().backend == "ref";
    return GetParam().compute == DType::bf16 && !native
               ? "this processor does not multiply bf16: calibration runs in f32 on it"
               : "";
  }

  Batch batch(int64_t w) const {
    return make_batch({windows_.window(w), static_cast<size_t>(kLength)}, kLength);
  }
  Tensor matrix(int64_t cols, DType dtype = DType::f32) {
    return backend_->allocate(kLength, cols, dtype);
  }

  // What lies in the store between two passes is bf16.
  void store(const Tensor& x) {
    const Tensor stored = matrix(x.cols(), DType::bf16);
    backend_->copy(x, stored);
    backend_->copy(stored, x);
  }

  // A block by the stage functions alone, with what the store does to the inputs of o and down.
  void block_as_stored(int layer, const Batch& batch, const Tensor& residual, const Tensor& out) {
    const DType compute = GetParam().compute;
    Tensor previous;
    ConstView stream = residual;
    for (int s = 0; s < kStages; ++s) {
      const StageId id{.layer = layer, .stage = static_cast<Stage>(s)};
      const bool joins = id.stage == Stage::attn_out || id.stage == Stage::mlp_out;
      const Tensor x = matrix(forward_.input_width(id.stage), compute);
      forward_.stage_input(id, batch, stream, previous, x);
      if (joins) store(x);
      Tensor y = matrix(forward_.output_width(id.stage), joins ? DType::f32 : compute);
      forward_.stage_linears(id, x, y);
      if (joins) {
        forward_.join(id, y, stream, out);
        stream = out;
      }
      previous = std::move(y);
    }
  }

  // All layers, stage by stage and window by window as a quantizer does.
  void run_stages(WindowStream& stream) {
    for (int layer = 0; layer < model_.config().layers; ++layer) {
      std::optional<StageId> done;
      for (int s = 0; s < kStages; ++s) {
        const StageId next{.layer = layer, .stage = static_cast<Stage>(s)};
        for (int64_t w = 0; w < kCount; ++w) stream.advance(w, done ? &*done : nullptr, next);
        done = next;
      }
      for (int64_t w = 0; w < kCount; ++w) stream.finish_block(w, *done);
    }
  }

  std::vector<float> values(ConstView view) const {
    HostAllocator host;
    const Tensor read(host, view.rows, view.cols, DType::f32);
    backend_->download(view, read);
    return {read.row<float>(0), read.row<float>(0) + view.rows * view.cols};
  }
  // The residual after the last block; by Forward::block, or as stored.
  std::vector<float> expected(int64_t w, bool as_stored) {
    Tensor residual = matrix(model_.config().hidden), next = matrix(model_.config().hidden);
    forward_.embed(batch(w), residual);
    for (int layer = 0; layer < model_.config().layers; ++layer) {
      if (as_stored)
        block_as_stored(layer, batch(w), residual, next);
      else
        forward_.block(layer, batch(w), residual, next);
      std::swap(residual, next);
    }
    return values(residual);
  }

  TestModelFolder folder_{GetParam().family};
  OpenedModel model_ = folder_.open();
  std::unique_ptr<Backend> backend_ = make_backend(GetParam().backend, {.threads = 2});
  std::unique_ptr<WeightProvider> provider_ =
      make_provider(*backend_, *model_.tensors, {.compute = GetParam().compute});
  Forward forward_{*backend_, *model_.tensors, *provider_, GetParam().compute};
  Windows windows_;
};

// Bit for bit. In bf16 that is Forward::block itself; in f32 the inputs of o and down are rounded
// to bf16, as what is stored between two passes is, and nothing else differs.
TEST_P(WindowStreamTest, StageByStageIsTheBlock) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  for (const bool spilled : {false, true}) {
    SCOPED_TRACE(spilled ? "on disk" : "in memory");
    std::filesystem::create_directory(folder_.path("spill"));
    WindowStream stream(forward_, windows_, spilled ? folder_.path("spill") : "");
    run_stages(stream);
    for (int64_t w = 0; w < kCount; ++w) {
      EXPECT_EQ(values(stream.residual(w)), expected(w, GetParam().compute == DType::f32))
          << "window " << w;
    }
    std::filesystem::remove(folder_.path("spill"));  // empty, or this throws
  }
}

// How little the rounding of what is stored does, in f32: half a unit of bf16 in two places a
// block.
TEST_P(WindowStreamTest, StoringInBf16ChangesLittle) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  WindowStream stream(forward_, windows_, "");
  run_stages(stream);
  const std::vector<float> got = values(stream.residual(1)), block = expected(1, false);
  double error = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - block[i]) * (got[i] - block[i]);
    size += block[i] * block[i];
  }
  EXPECT_LE(error, 1e-4 * size);  // 1 % in root mean square
}

TEST_P(WindowStreamTest, WholeBlocksAreForwardsBlocks) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  for (const std::string& spill : {std::string(), folder_.path("")}) {
    WindowStream stream(forward_, windows_, spill);
    for (int layer = 0; layer < model_.config().layers; ++layer)
      for (int64_t w = 0; w < kCount; ++w) stream.run_block(w, layer);
    for (int64_t w = 0; w < kCount; ++w)
      EXPECT_EQ(values(stream.residual(w)), expected(w, false)) << "window " << w;
  }
}

// The Hessian of a stage sees exactly what its linears will: the input is the same in both passes.
TEST_P(WindowStreamTest, TheHessianSeesWhatTheLinearsTake) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  const StageId first{0, Stage::attn_in}, second{0, Stage::attn_out};
  WindowStream stream(forward_, windows_, "");
  for (int64_t w = 0; w < kCount; ++w) stream.advance(w, nullptr, first);
  for (int64_t w = 0; w < kCount; ++w) {
    const std::vector<float> seen = values(stream.advance(w, &first, second));
    for (const float value : seen) ASSERT_EQ(value, to_float(to_bf16(value)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Backends, WindowStreamTest,
    ::testing::Values(Case{"ref", "llama", DType::f32}, Case{"ref", "llama", DType::bf16},
                      Case{"cpu", "llama", DType::f32}, Case{"cpu", "llama", DType::bf16},
                      Case{"cpu", "gemma3_text", DType::f32},
                      Case{"cpu", "gemma3_text", DType::bf16}, Case{"cpu", "qwen2", DType::bf16},
                      Case{"cpu", "qwen3", DType::f32}));

}  // namespace
}  // namespace halftone
