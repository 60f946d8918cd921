// Perplexity and KL divergence (design §8): windows → forward → a tile of logits at a time →
// scores.
#include "apps/evaluate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "apps/load_weights.h"
#include "apps/quantize_output.h"
#include "apps/token_scores.h"
#include "base/clock.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/memory_usage.h"
#include "base/progress.h"
#include "model/activation_store.h"
#include "model/forward.h"
#include "text/chat_record.h"
#include "text/dataset.h"

namespace halftone {
namespace {

// What a protocol scores: windows, and which positions of each predict a scored token.
struct Task {
  Windows windows;
  int64_t first_scored = 0;  // position in the window; the last one is length − 2
};

// llama.cpp's perplexity tool: the text is tokenized once with BOS where the vocabulary adds one,
// cut into chunks whose first token becomes BOS, and the second half of each is scored. A chat's
// template writes BOS by itself.
Windows llama_cpp_windows(const Tokenizer& tokenizer, const TextFile& text, int64_t length,
                          int64_t most) {
  Windows windows;
  windows.length = length;
  std::optional<StreamEncoder> encoder;
  const auto enough = [&] {
    return most > 0 && static_cast<int64_t>(windows.ids.size()) >= most * length;
  };
  visit_documents(text, [&](std::string_view part, bool first) {
    if (first) {
      if (encoder) encoder->finish(windows.ids);
      encoder.emplace(tokenizer, /*add_special=*/text.chats == 0);
    }
    encoder->push(part, windows.ids);
    return !enough();
  });
  if (encoder && !enough()) encoder->finish(windows.ids);
  windows.cut(tokenizer.bos(), most);
  return windows;
}

Task make_task(const Tokenizer& tokenizer, const TextFile& text, const EvaluateOptions& options) {
  const bool hf = options.protocol == Protocol::hf;
  const int64_t length = options.seq_len > 0 ? options.seq_len : hf ? 2048 : 512;
  if (length < 8) throw usage_error("--seq-len {}: a window needs at least 8 tokens", length);
  // llama.cpp's tool wants two whole chunks before it starts.
  const int64_t least = std::max<int64_t>(hf ? 1 : 2, options.windows);
  const int64_t most = options.windows > 0 ? least : 0;
  Task task{hf ? cut_windows(tokenizer, {text}, length, most)
               : llama_cpp_windows(tokenizer, text, length, most),
            hf ? 0 : length / 2};
  if (task.windows.count() < least)
    throw bad_input("--text {}: holds {} tokens, {} of {} need{} {}", text.path,
                    human_count(task.windows.tokens_in_text), count_text(least, "window"),
                    human_count(length), least == 1 ? "s" : "", human_count(least * length))
        .hint("pass a longer text, or a smaller --seq-len or --windows.");
  if (options.windows > 0) task.windows.ids.resize(static_cast<size_t>(options.windows * length));
  return task;
}

// Chats as the model's own template writes them.
TextFile read_text_of(const OpenedModel& model, const std::string& path) {
  return read_text_file(path, ChatReader(model.checkpoint->metadata()));
}

// A model ready to run, with the time that it has spent.
struct Runner {
  Runner(Backend& backend, const OpenedModel& model, DType compute, Profile* profile, bool quiet)
      : provider(load_weights(backend, model, compute, quiet)),
        forward(backend, *model.tensors, *provider, compute) {
    forward.set_profile(profile);
  }
  std::unique_ptr<WeightProvider> provider;
  Forward forward;
  double seconds = 0;
};

void check_same_tokenizer(const Tokenizer& tokenizer, const OpenedModel& model,
                          const OpenedModel& base) {
  const Tokenizer other = Tokenizer::load(base.checkpoint->metadata());
  if (other.fingerprint() == tokenizer.fingerprint()) return;
  throw bad_input("--against {}: its tokenizer differs from that of {} ({} and {} tokens)",
                  base.name(), model.name(), human_count(other.vocab_size()),
                  human_count(tokenizer.vocab_size()))
      .hint(
          "KL divergence compares predictions of the same tokens: pass the model it was made "
          "from.");
}

constexpr double kToleratedOverlap = 0.01;

// Evaluation text is never calibration text: said when the model's own record shows that it was.
void note_overlap(const OpenedModel& model, const TextFile& text, Evaluation& result) {
  for (const std::string& path : calibration_files_of(model.checkpoint->path())) {
    if (!std::filesystem::exists(path)) continue;
    const double share = overlap({read_text_of(model, path)}, {text});
    if (share > kToleratedOverlap)
      result.notes.push_back(
          fmt::format("{:.0f} % of {} stands in {}, which {} was calibrated on: its loss looks "
                      "smaller than it is",
                      100 * share, text.path, path, model.name()));
  }
}

void check_ids(const Windows& windows, const OpenedModel& model) {
  const auto largest = std::max_element(windows.ids.begin(), windows.ids.end());
  if (largest != windows.ids.end() && *largest >= model.config().vocab)
    throw bad_input("{}: the tokenizer gives id {}, the model's vocab_size is {}", model.name(),
                    *largest, model.config().vocab)
        .hint("tokenizer and weights do not belong together.");
}

}  // namespace

struct SharedBase::State {
  State(Backend& backend_, const OpenedModel& model, const EvaluateOptions& options,
        const std::string& spill_directory)
      : backend(backend_),
        runner(backend_, model, compute_dtype(options.dtype, backend_), nullptr, options.quiet),
        budget{.device_bytes = memory_limit() / 8, .spill_directory = spill_directory} {}

  // The residual of batch `index` of `count`, from `run()` when it is not there yet. Valid until
  // the next call.
  template <class Run>
  ConstView residual(int64_t index, int64_t count, Run run) {
    if (!store) {
      store = std::make_unique<ActivationStore>(backend, count, DType::f32, budget);
      kept.assign(static_cast<size_t>(count), false);
    }
    if (kept[static_cast<size_t>(index)]) return store->open(index);
    const Tensor made = run();
    const View place = store->make(index, made.rows(), made.cols());
    backend.copy(made, place);
    store->keep();
    kept[static_cast<size_t>(index)] = true;
    return store->open(index);
  }

  Backend& backend;
  Runner runner;
  ActivationBudget budget;
  std::unique_ptr<ActivationStore> store;  // of the first evaluation's batches
  std::vector<bool> kept;
};

SharedBase::SharedBase(Backend& backend, const OpenedModel& model, const EvaluateOptions& options,
                       const std::string& spill_directory)
    : state_(std::make_unique<State>(backend, model, options, spill_directory)) {}
SharedBase::~SharedBase() = default;

namespace {

// Runs the windows through both models, a batch at a time, and adds the scores of their positions.
class Evaluator {
 public:
  // `batch_tokens` at a time, in whole windows.
  Evaluator(const Task& task, int64_t batch_tokens, Runner& model, Runner* base,
            SharedBase::State* shared)
      : task_(task),
        model_(model),
        base_(base),
        shared_(shared),
        step_(std::max<int64_t>(1, batch_tokens / task.windows.length)) {}

  int64_t batches() const { return (task_.windows.count() + step_ - 1) / step_; }
  int64_t end_of(int64_t batch) const {
    return std::min((batch + 1) * step_, task_.windows.count());
  }

  void run(int64_t index, TokenScores& scores) {
    const int64_t begin = index * step_, end = end_of(index);
    const int64_t length = task_.windows.length;
    Batch batch = make_batch(
        {task_.windows.window(begin), static_cast<size_t>((end - begin) * length)}, length);
    std::vector<int64_t> rows;
    std::vector<int32_t> targets;
    for (int64_t w = 0; w < end - begin; ++w)
      for (int64_t t = task_.first_scored; t + 1 < length; ++t) {
        rows.push_back(w * length + t);
        targets.push_back(batch.ids[static_cast<size_t>(w * length + t + 1)]);
      }
    const Tensor residual = timed_run(model_, batch);
    Tensor own;
    ConstView base_residual;
    if (shared_)
      base_residual = shared_->residual(index, batches(), [&] { return timed_run(*base_, batch); });
    else if (base_)
      base_residual = own = timed_run(*base_, batch);
    score_rows({.forward = &model_.forward, .residual = residual, .seconds = &model_.seconds},
               base_ ? ScoredModel{.forward = &base_->forward,
                                   .residual = base_residual,
                                   .seconds = &base_->seconds}
                     : ScoredModel{},
               rows, targets, scores);
  }

 private:
  static Tensor timed_run(Runner& runner, const Batch& batch) {
    const auto start = Clock::now();
    Tensor residual = runner.forward.run(batch);
    runner.seconds += seconds_since(start);
    return residual;
  }

  const Task& task_;
  Runner& model_;
  Runner* base_;
  SharedBase::State* shared_;  // holds *base_, or null
  int64_t step_;               // windows of a batch
};

void fill_scores(const TokenScores& scores, bool against, Evaluation& result) {
  const ScoreSummary summary = summarize(scores);
  const int64_t broken = std::max(summary.not_finite, summary.base_not_finite);
  if (broken > 0)
    throw bad_input("{}: {} of {} predictions are not finite",
                    summary.base_not_finite > 0 ? "the base model" : "the model",
                    human_count(broken), human_count(scores.count()))
        .hint("the model overflows in this type: try --dtype f32; see halftone inspect.");
  result.tokens = scores.count();
  result.perplexity = summary.perplexity;
  result.perplexity_stderr = summary.perplexity_stderr;
  if (!against) return;
  result.base_perplexity = summary.base_perplexity;
  result.base_perplexity_stderr = summary.base_perplexity_stderr;
  result.log_ratio_stderr = summary.log_ratio_stderr;
  result.kl_mean = summary.kl_mean;
  result.kl_stderr = summary.kl_stderr;
  result.kl_p50 = summary.kl_p50;
  result.kl_p99 = summary.kl_p99;
  result.kl_max = summary.kl_max;
  result.top1_agreement = summary.top1_agreement;
}

void fill_sizes(const OpenedModel& model, const OpenedModel* base, Evaluation& result) {
  const ModelSize size = measure_size(model);
  result.size_bytes = size.file_bytes;
  result.bits_per_weight_linears = size.bits_per_weight_linears;
  result.bits_per_weight_file = size.bits_per_weight_file;
  if (!base) return;
  const ModelSize base_size = measure_size(*base);
  result.base_size_bytes = base_size.file_bytes;
  result.base_bits_per_weight_linears = base_size.bits_per_weight_linears;
  result.base_bits_per_weight_file = base_size.bits_per_weight_file;
}

}  // namespace

void check_text(const OpenedModel& model, const std::string& path, const EvaluateOptions& options) {
  make_task(Tokenizer::load(model.checkpoint->metadata()), read_text_of(model, path), options);
}

Evaluation evaluate(Backend& backend, const OpenedModel& model, const OpenedModel* base,
                    const std::string& text_path, const EvaluateOptions& options,
                    Profile* profile) {
  const auto start = Clock::now();
  MemoryWatch memory;
  const Tokenizer tokenizer = Tokenizer::load(model.checkpoint->metadata());
  if (base) check_same_tokenizer(tokenizer, model, *base);
  const TextFile text = read_text_of(model, text_path);
  const Task task = make_task(tokenizer, text, options);
  check_ids(task.windows, model);

  Evaluation result;
  if (base && base->config().vocab != model.config().vocab)
    result.notes.push_back(
        fmt::format("vocabularies are padded to {} and {}: compared over the first {}",
                    human_count(model.config().vocab), human_count(base->config().vocab),
                    human_count(std::min(model.config().vocab, base->config().vocab))));

  note_overlap(model, text, result);
  if (const int64_t positions = model.config().max_positions;
      positions > 0 && task.windows.length > positions)
    result.notes.push_back(fmt::format("windows of {} tokens: {} was made for {} positions",
                                       human_count(task.windows.length), model.name(),
                                       human_count(positions)));
  const DType compute = compute_dtype(options.dtype, backend);
  Runner model_runner(backend, model, compute, profile, options.quiet);
  SharedBase::State* shared = base && options.shared_base ? &options.shared_base->state() : nullptr;
  std::optional<Runner> own_base;
  if (base && !shared) own_base.emplace(backend, *base, compute, nullptr, options.quiet);
  Runner* base_runner = shared ? &shared->runner : own_base ? &*own_base : nullptr;

  const int64_t windows = task.windows.count();
  TokenScores scores;
  Evaluator evaluator(task, backend.info().batch_tokens, model_runner, base_runner, shared);
  Progress progress("Evaluating", static_cast<double>(windows), options.quiet);
  for (int64_t batch = 0; batch < evaluator.batches(); ++batch) {
    throw_if_interrupted();
    const int64_t end = evaluator.end_of(batch);
    evaluator.run(batch, scores);
    progress.update(static_cast<double>(end), fmt::format("window {}/{}  perplexity {:.3f}", end,
                                                          windows, perplexity_of(scores)));
  }
  progress.finish();

  result.protocol = options.protocol == Protocol::hf ? "hf" : "llama.cpp";
  result.seq_len = task.windows.length;
  result.windows = windows;
  fill_scores(scores, base != nullptr, result);
  result.scores = std::move(scores);
  const double forwarded = static_cast<double>(windows * task.windows.length);
  result.tokens_per_second = forwarded / model_runner.seconds;
  if (base_runner) result.base_tokens_per_second = forwarded / base_runner->seconds;
  fill_sizes(model, base, result);
  result.peak_memory_bytes = memory.peak();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace halftone
