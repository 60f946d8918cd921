// Calibration looks at the network that will run: windows that go stage by stage end where whole
// blocks end.
#include "apps/window_stream.h"

#include <gtest/gtest.h>

#include <cstring>

#include "apps/test_model_folder.h"
#include "backend/test_device.h"

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
  // "device": memory of its own, and room for two windows at a time.
  static std::unique_ptr<Backend> make(std::string_view name) {
    if (name == "device") return std::make_unique<TestDevice>(2 * kLength + 3);
    return make_backend(name, {.threads = 2});
  }
  // Why this machine cannot run the case; empty when it can.
  std::string obstacle() const {
    const bool native = backend_->info().native_bf16 || backend_->info().backend == "ref";
    return GetParam().compute == DType::bf16 && !native
               ? "this processor does not multiply bf16: calibration runs in f32 on it"
               : "";
  }

  Tensor matrix(int64_t rows, int64_t cols, DType dtype = DType::f32) {
    return backend_->allocate(rows, cols, dtype);
  }

  // What lies in the store between two passes is bf16.
  void store(const Tensor& x) {
    const Tensor stored = matrix(x.rows(), x.cols(), DType::bf16);
    backend_->copy(x, stored);
    backend_->copy(stored, x);
  }

  // A block by the stage functions alone, with what the store does to the inputs of o and down.
  void block_as_stored(int layer, const Batch& batch, const Tensor& residual, const Tensor& out) {
    const DType compute = GetParam().compute;
    const int64_t tokens = batch.tokens();
    Tensor previous;
    ConstView stream = residual;
    for (int s = 0; s < kStages; ++s) {
      const StageId id{.layer = layer, .stage = static_cast<Stage>(s)};
      const bool joins = id.stage == Stage::attn_out || id.stage == Stage::mlp_out;
      const Tensor x = matrix(tokens, forward_.input_width(id.stage), compute);
      forward_.stage_input(id, batch, stream, previous, x);
      if (joins) store(x);
      Tensor y = matrix(tokens, forward_.output_width(id.stage), joins ? DType::f32 : compute);
      forward_.stage_linears(id, x, y);
      if (joins) {
        forward_.join(id, y, stream, out);
        stream = out;
      }
      previous = std::move(y);
    }
  }

  // All layers, stage by stage and batch by batch as a quantizer does.
  void run_stages(WindowStream& stream) {
    for (int layer = 0; layer < model_.config().layers; ++layer) {
      std::optional<StageId> done;
      for (int s = 0; s < kStages; ++s) {
        const StageId next{.layer = layer, .stage = static_cast<Stage>(s)};
        for (int64_t b = 0; b < stream.count(); ++b)
          stream.advance(b, done ? &*done : nullptr, next);
        done = next;
      }
      for (int64_t b = 0; b < stream.count(); ++b) stream.finish_block(b, *done);
    }
  }

  std::vector<float> values(ConstView view) const {
    HostAllocator host;
    const Tensor read(host, view.rows, view.cols, DType::f32);
    backend_->download(view, read);
    return {read.row<float>(0), read.row<float>(0) + view.rows * view.cols};
  }
  // The residual after the last block; by Forward::block, or as stored.
  std::vector<float> expected(const Batch& batch, bool as_stored) {
    const int64_t tokens = batch.tokens(), hidden = model_.config().hidden;
    Tensor residual = matrix(tokens, hidden), next = matrix(tokens, hidden);
    forward_.embed(batch, residual);
    for (int layer = 0; layer < model_.config().layers; ++layer) {
      if (as_stored)
        block_as_stored(layer, batch, residual, next);
      else
        forward_.block(layer, batch, residual, next);
      std::swap(residual, next);
    }
    return values(residual);
  }

  TestModelFolder folder_{GetParam().family};
  OpenedModel model_ = folder_.open();
  std::unique_ptr<Backend> backend_ = make(GetParam().backend);
  std::unique_ptr<WeightProvider> provider_ =
      make_provider(*backend_, *model_.tensors, {.compute = GetParam().compute});
  Forward forward_{*backend_, *model_.tensors, *provider_, GetParam().compute};
  Windows windows_;
};

TEST_P(WindowStreamTest, ShortWindowsGoTogether) {
  ActivationBudget budget;
  WindowStream stream(forward_, windows_, budget);
  const bool device = backend_->place() == Place::device;
  EXPECT_EQ(stream.count(), device ? 2 : 1);
  EXPECT_EQ(stream.batch(0).tokens(), (device ? 2 : 3) * kLength);
  EXPECT_EQ(stream.batch(0).positions[kLength], 0);
}

// Bit for bit. In bf16 that is Forward::block itself; in f32 the inputs of o and down are rounded
// to bf16, as what is stored between two passes is, and nothing else differs.
TEST_P(WindowStreamTest, StageByStageIsTheBlock) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  for (const int64_t bytes : {int64_t{0}, int64_t{6000}, int64_t{1} << 40}) {
    SCOPED_TRACE(bytes);
    std::filesystem::create_directory(folder_.path("spill"));
    ActivationBudget budget{bytes, bytes, folder_.path("spill")};
    WindowStream stream(forward_, windows_, budget);
    run_stages(stream);
    for (int64_t b = 0; b < stream.count(); ++b) {
      EXPECT_EQ(values(stream.residual(b)),
                expected(stream.batch(b), GetParam().compute == DType::f32))
          << "batch " << b;
    }
    std::filesystem::remove(folder_.path("spill"));  // empty, or this throws
  }
}

// How little the rounding of what is stored does, in f32: half a unit of bf16 in two places a
// block.
TEST_P(WindowStreamTest, StoringInBf16ChangesLittle) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  ActivationBudget budget;
  WindowStream stream(forward_, windows_, budget);
  run_stages(stream);
  const std::vector<float> got = values(stream.residual(0)),
                           block = expected(stream.batch(0), false);
  double error = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - block[i]) * (got[i] - block[i]);
    size += block[i] * block[i];
  }
  EXPECT_LE(error, 1e-4 * size);  // 1 % in root mean square
}

TEST_P(WindowStreamTest, WholeBlocksAreForwardsBlocks) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  for (const int64_t bytes : {int64_t{0}, int64_t{1} << 40}) {
    ActivationBudget budget{bytes, 0, folder_.path("")};
    WindowStream stream(forward_, windows_, budget);
    for (int layer = 0; layer < model_.config().layers; ++layer)
      for (int64_t b = 0; b < stream.count(); ++b) stream.run_block(b, layer);
    for (int64_t b = 0; b < stream.count(); ++b)
      EXPECT_EQ(values(stream.residual(b)), expected(stream.batch(b), false)) << "batch " << b;
  }
}

// The Hessian of a stage sees exactly what its linears will: the input is the same in both passes.
TEST_P(WindowStreamTest, TheHessianSeesWhatTheLinearsTake) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  const StageId first{0, Stage::attn_in}, second{0, Stage::attn_out};
  ActivationBudget budget;
  WindowStream stream(forward_, windows_, budget);
  for (int64_t b = 0; b < stream.count(); ++b) stream.advance(b, nullptr, first);
  for (int64_t b = 0; b < stream.count(); ++b) {
    const std::vector<float> seen = values(stream.advance(b, &first, second));
    for (const float value : seen) ASSERT_EQ(value, to_float(to_bf16(value)));
  }
}

// Attention and MLP read one residual: it may not change before both have.
TEST_P(WindowStreamTest, ParallelWiringIsTheBlockToo) {
  if (!obstacle().empty()) GTEST_SKIP() << obstacle();
  ArchSpec arch = model_.tensors->arch();
  arch.wiring = Wiring::parallel;
  const ModelTensors tensors(*model_.source, model_.config(), arch);
  Forward parallel(*backend_, tensors, *provider_, GetParam().compute);
  for (const int64_t bytes : {int64_t{0}, int64_t{1} << 40}) {
    ActivationBudget budget{bytes, 0, folder_.path("")};
    WindowStream stages(parallel, windows_, budget), blocks(parallel, windows_, budget);
    run_stages(stages);
    for (int layer = 0; layer < model_.config().layers; ++layer)
      for (int64_t b = 0; b < blocks.count(); ++b) blocks.run_block(b, layer);
    for (int64_t b = 0; b < stages.count(); ++b) {
      const std::vector<float> got = values(stages.residual(b)), want = values(blocks.residual(b));
      double error = 0, size = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        size += want[i] * want[i];
      }
      // Bit for bit but for what is stored in bf16.
      EXPECT_LE(error, (GetParam().compute == DType::bf16 ? 0 : 1e-4) * size) << "batch " << b;
      EXPECT_NE(got, expected(stages.batch(b), false)) << "as if it were sequential";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Backends, WindowStreamTest,
    ::testing::Values(Case{"device", "llama", DType::f32}, Case{"device", "qwen2", DType::bf16},
                      Case{"ref", "llama", DType::f32}, Case{"ref", "llama", DType::bf16},
                      Case{"cpu", "llama", DType::f32}, Case{"cpu", "llama", DType::bf16},
                      Case{"cpu", "gemma3_text", DType::f32},
                      Case{"cpu", "gemma3_text", DType::bf16}, Case{"cpu", "qwen2", DType::bf16},
                      Case{"cpu", "qwen3", DType::f32}));

}  // namespace
}  // namespace halftone
