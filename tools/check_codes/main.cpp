// halftone-check-codes MODEL --text FILE: quantizes one layer's linears on two devices from the
// same weights and the same Hessians, which the first device sums in f32, and prints how many codes
// and scales are equal. GPTQ carries every rounding on to later columns, so one code that falls on
// the other side of a tie moves others of its row.
#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "apps/open_model.h"
#include "base/error.h"
#include "model/forward.h"
#include "model/producer.h"
#include "model/weight_reader.h"
#include "quant/gptq.h"
#include "text/dataset.h"

namespace halftone {
namespace {

struct Options {
  std::string model, text, first = "cpu", second = "auto", order = "act", search = "power";
  int layer = 0, bits = 4;
  int64_t windows = 16, seq_len = 512, group_size = 128;
  double damping = 0.01;
};

// A backend and the layer's linears on it.
struct Side {
  std::unique_ptr<Backend> backend;
  SolverOptions solver;

  std::vector<SolveResult> solve(const OpenedModel& model, const StageId& stage, ConstView sum,
                                 int64_t tokens) const {
    Tensor copy = backend->allocate(sum.rows, sum.cols, DType::f32);
    backend->upload(sum, copy);
    const Factor factor = Factor::compute(*backend, Hessian(*backend, std::move(copy), tokens),
                                          solver.order, solver.damping);
    const WeightReader reader(*backend, *model.tensors);
    std::vector<SolveResult> solved;
    for (const TensorKey& key : linears_of(*model.tensors, stage)) {
      const auto [rows, cols] = model.tensors->shape(key);
      const Tensor weight = backend->allocate(rows, cols, DType::f32);
      reader.upload(key, weight);
      solved.push_back(solve_gptq(*backend, weight, &factor, solver));
    }
    return solved;
  }
};

template <class T>
double equal_share(const std::vector<T>& a, const std::vector<T>& b) {
  int64_t equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

// Rows of codes that are equal to the last.
double equal_rows(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  int64_t equal = 0;
  for (int64_t row = 0; row < a.rows; ++row) {
    const auto from = row * a.cols, to = from + a.cols;
    equal += std::equal(a.codes.begin() + from, a.codes.begin() + to, b.codes.begin() + from);
  }
  return static_cast<double>(equal) / static_cast<double>(a.rows);
}

// Sums the Hessian of a stage's input, over batches of one window each.
class Walk {
 public:
  Walk(Backend& backend, const OpenedModel& model, const Windows& windows)
      : backend_(backend),
        provider_(
            make_provider(backend, *model.tensors, {.compute = DType::f32, .streamed = true})),
        forward_(backend, *model.tensors, *provider_, DType::f32) {
    for (int64_t i = 0; i < windows.count(); ++i) {
      batches_.push_back(
          make_batch({windows.window(i), static_cast<size_t>(windows.length)}, windows.length));
      residuals_.push_back(backend.allocate(windows.length, model.config().hidden, DType::f32));
      forward_.embed(batches_.back(), residuals_.back());
      outputs_.emplace_back();
    }
  }

  void run_block(int layer) {
    for (size_t b = 0; b < batches_.size(); ++b) {
      Tensor next = backend_.allocate(residuals_[b].rows(), residuals_[b].cols(), DType::f32);
      forward_.block(layer, batches_[b], residuals_[b], next);
      residuals_[b] = std::move(next);
    }
  }

  Hessian approach(const StageId& id) {
    Hessian hessian(backend_, forward_.input_width(id.stage));
    for (size_t b = 0; b < batches_.size(); ++b) {
      const int64_t tokens = batches_[b].tokens();
      const Tensor x = backend_.allocate(tokens, forward_.input_width(id.stage), DType::f32);
      forward_.stage_input(id, batches_[b], residuals_[b], outputs_[b], x);
      hessian.accumulate(x);
      Tensor y = backend_.allocate(tokens, forward_.output_width(id.stage), DType::f32);
      forward_.stage_linears(id, x, y);
      if (id.stage == Stage::attn_out || id.stage == Stage::mlp_out) {
        Tensor next = backend_.allocate(tokens, residuals_[b].cols(), DType::f32);
        forward_.join(id, y, residuals_[b], next);
        residuals_[b] = std::move(next);
      }
      outputs_[b] = std::move(y);
    }
    return hessian;
  }

 private:
  Backend& backend_;
  std::unique_ptr<WeightProvider> provider_;
  Forward forward_;
  std::vector<Batch> batches_;
  std::vector<Tensor> residuals_, outputs_;  // of each batch: its residual, the last stage's result
};

void run(const Options& options) {
  const OpenedModel model = open_model(options.model);
  Side first{.backend = make_backend(options.first, {}), .solver = {}};
  Side second{.backend = make_backend(options.second, {}), .solver = {}};
  for (Side* side : {&first, &second}) {
    side->solver.fit.grid = {.bits = options.bits, .group_size = options.group_size};
    side->solver.fit.search = find_scale_search(options.search);
    side->solver.order = find_order(options.order);
    side->solver.damping = options.damping;
  }
  std::vector<TextFile> texts;
  texts.push_back(read_text_file(options.text));
  const Windows windows = cut_windows(Tokenizer::load(model.checkpoint->metadata()), texts,
                                      options.seq_len, options.windows);
  Walk walk(*first.backend, model, windows);
  for (int layer = 0; layer < options.layer; ++layer) walk.run_block(layer);
  fmt::print("{} | {}; layer {}, {} tokens\n", first.backend->info().device,
             second.backend->info().device, options.layer, windows.count() * options.seq_len);
  fmt::print("{:<42}{:>12}{:>10}{:>10}{:>12}{:>24}\n", "linear", "shape", "codes", "rows", "scales",
             "relative error");
  HostAllocator host;
  for (int s = 0; s < kStages; ++s) {
    const StageId stage{options.layer, static_cast<Stage>(s)};
    const Hessian hessian = walk.approach(stage);
    const Tensor sum(host, hessian.inputs(), hessian.inputs(), DType::f32);
    first.backend->download(hessian.sum(), sum);
    const auto a = first.solve(model, stage, sum, hessian.tokens());
    const auto b = second.solve(model, stage, sum, hessian.tokens());
    const std::vector<TensorKey> keys = linears_of(*model.tensors, stage);
    for (size_t i = 0; i < keys.size(); ++i) {
      const QuantizedMatrix one = a[i].matrix.download(*first.backend);
      const QuantizedMatrix two = b[i].matrix.download(*second.backend);
      fmt::print("{:<42}{:>12}{:>8.3f} %{:>8.2f} %{:>10.3f} %{:>12.6f}{:>12.6f}  {}\n",
                 model.tensors->name(keys[i]), fmt::format("{} x {}", one.rows, one.cols),
                 100 * equal_share(one.codes, two.codes), 100 * equal_rows(one, two),
                 100 * equal_share(one.scales, two.scales), *a[i].report.relative_error,
                 *b[i].report.relative_error, b[i].report.note);
    }
  }
}

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) {
  CLI::App app("Quantizes one layer on two devices from the same Hessians and compares the codes.");
  halftone::Options options;
  app.add_option("MODEL", options.model, "Hugging Face directory or .gguf file")->required();
  app.add_option("--text", options.text, "what to sum the Hessians over")->required();
  app.add_option("--first", options.first, "device that sums")->capture_default_str();
  app.add_option("--second", options.second, "device to compare")->capture_default_str();
  app.add_option("--layer", options.layer)->capture_default_str();
  app.add_option("--windows", options.windows)->capture_default_str();
  app.add_option("--seq-len", options.seq_len)->capture_default_str();
  app.add_option("--bits", options.bits)->capture_default_str();
  app.add_option("--group-size", options.group_size)->capture_default_str();
  app.add_option("--order", options.order, "act or none")->capture_default_str();
  app.add_option("--scale-search", options.search, "power or minmax")->capture_default_str();
  app.add_option("--damping", options.damping)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    halftone::run(options);
  } catch (const halftone::Error& error) {
    fmt::print(stderr, "halftone-check-codes: {}\n", error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
