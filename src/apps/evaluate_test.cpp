// Perplexity and KL divergence against plain loops over the logits.
#include "apps/evaluate.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"
#include "model/forward.h"
#include "text/dataset.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

using Rows = std::vector<std::vector<double>>;  // log-probabilities, a row a position

class EvaluateTest : public ::testing::Test {
 protected:
  static constexpr int64_t kLength = 32;

  explicit EvaluateTest(bool with_bos = false)
      : folder_("llama", with_bos), other_("llama", with_bos) {}

  std::vector<int32_t> ids_of(const std::string& path) const {
    std::vector<int32_t> ids;
    for (const char letter : read_file(path)) ids.push_back(letter - 'a');
    return ids;
  }
  // log softmax of every position's logits, in double precision.
  Rows log_probabilities(const OpenedModel& model, const std::vector<int32_t>& window) {
    const auto backend = make_backend("ref", {});
    const auto provider = make_provider(*backend, *model.tensors, {.compute = DType::f32});
    Forward forward(*backend, *model.tensors, *provider, DType::f32);
    const Batch batch = make_batch(window, static_cast<int64_t>(window.size()));
    const Tensor logits = backend->allocate(batch.tokens(), model.config().vocab, DType::f32);
    forward.logits(batch, forward.run(batch), logits);
    Rows rows;
    for (int64_t t = 0; t < batch.tokens(); ++t) {
      const float* row = logits.row<float>(t);
      double sum = 0;
      for (int64_t v = 0; v < model.config().vocab; ++v) sum += std::exp(double{row[v]});
      rows.emplace_back();
      for (int64_t v = 0; v < model.config().vocab; ++v)
        rows.back().push_back(row[v] - std::log(sum));
    }
    return rows;
  }
  // −log p of ids[t + 1] for t from `first` on, over windows of kLength.
  std::vector<double> losses(const std::vector<int32_t>& ids, int64_t first,
                             std::optional<int32_t> bos = {}) {
    std::vector<double> all;
    for (size_t begin = 0; begin + kLength <= ids.size(); begin += kLength) {
      std::vector<int32_t> window(ids.begin() + static_cast<int64_t>(begin),
                                  ids.begin() + static_cast<int64_t>(begin) + kLength);
      if (bos) window[0] = *bos;
      const Rows rows = log_probabilities(model_, window);
      for (int64_t t = first; t + 1 < kLength; ++t)
        all.push_back(
            -rows[static_cast<size_t>(t)][static_cast<size_t>(window[static_cast<size_t>(t + 1)])]);
    }
    return all;
  }
  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }
  Evaluation evaluate_text(const std::string& path, Protocol protocol,
                           const OpenedModel* base = nullptr, int64_t windows = 0,
                           const std::string& device = "cpu") {
    const auto backend = make_backend(device, {.threads = 2});
    return evaluate(*backend, model_, base, path,
                    {.protocol = protocol,
                     .seq_len = kLength,
                     .windows = windows,
                     .dtype = "f32",
                     .quiet = true});
  }
  // A base whose weights differ a little: the head's rows, moved round by one.
  OpenedModel moved_base() const {
    const std::string file = other_.model_path() + "/model.safetensors";
    std::string bytes = read_bytes(file);
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const size_t head = 8 + header;  // lm_head.weight stands first: 128 rows of 64 bytes
    std::rotate(bytes.begin() + static_cast<int64_t>(head),
                bytes.begin() + static_cast<int64_t>(head) + 64,
                bytes.begin() + static_cast<int64_t>(head) + 128 * 64);
    other_.write("model/model.safetensors", bytes);
    return other_.open();
  }
  static std::string read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  TestModelFolder folder_, other_;
  OpenedModel model_ = folder_.open();
};

TEST_F(EvaluateTest, PerplexityIsTheExponentialOfTheMeanLoss) {
  const std::string text = folder_.write_letters("text.txt", 5 * kLength + 7);
  for (const char* device : {"cpu", "ref"}) {
    const Evaluation result = evaluate_text(text, Protocol::hf, nullptr, 0, device);
    const std::vector<double> expected = losses(ids_of(text), 0);
    EXPECT_EQ(result.protocol, "hf");
    EXPECT_EQ(result.windows, 5);                 // the tail is dropped
    EXPECT_EQ(result.tokens, 5 * (kLength - 1));  // the first of a window is never predicted
    EXPECT_NEAR(result.perplexity / std::exp(mean(expected)), 1, 2e-5);
    double variance = 0;
    for (const double loss : expected)
      variance += (loss - mean(expected)) * (loss - mean(expected));
    variance /= static_cast<double>(expected.size() - 1);
    EXPECT_NEAR(
        result.perplexity_stderr /
            (result.perplexity * std::sqrt(variance / static_cast<double>(expected.size()))),
        1, 1e-3);
    EXPECT_FALSE(result.kl_mean.has_value());
  }
}

// Its tool scores the second half of each chunk: the tokens after position n/2, n − 1 − n/2 of
// them.
TEST_F(EvaluateTest, LlamaCppsProtocolScoresTheSecondHalf) {
  const std::string text = folder_.write_letters("text.txt", 4 * kLength + 3);
  const Evaluation result = evaluate_text(text, Protocol::llama_cpp);
  EXPECT_EQ(result.protocol, "llama.cpp");
  EXPECT_EQ(result.windows, 4);
  EXPECT_EQ(result.tokens, 4 * (kLength - 1 - kLength / 2));
  EXPECT_NEAR(result.perplexity / std::exp(mean(losses(ids_of(text), kLength / 2))), 1, 2e-5);
  EXPECT_GT(std::abs(result.perplexity / evaluate_text(text, Protocol::hf).perplexity - 1), 1e-3);
}

class EvaluateWithBos : public EvaluateTest {
 protected:
  EvaluateWithBos() : EvaluateTest(true) {}
};

// hf: windows are cut from the text's ids, and their first becomes BOS. llama.cpp: BOS stands
// before the text, windows are cut after that, and their first becomes BOS.
TEST_F(EvaluateWithBos, BothProtocolsBeginTheirWindowsWithIt) {
  const std::string text = folder_.write_letters("text.txt", 4 * kLength - 1);
  std::vector<int32_t> ids = ids_of(text);
  const Evaluation hf = evaluate_text(text, Protocol::hf);
  EXPECT_EQ(hf.windows, 3);
  EXPECT_NEAR(hf.perplexity / std::exp(mean(losses(ids, 0, TestModelFolder::kBos))), 1, 2e-5);
  const Evaluation other = evaluate_text(text, Protocol::llama_cpp);
  ids.insert(ids.begin(), TestModelFolder::kBos);
  EXPECT_EQ(other.windows, 4);
  EXPECT_NEAR(other.perplexity / std::exp(mean(losses(ids, kLength / 2, TestModelFolder::kBos))), 1,
              2e-5);
}

TEST_F(EvaluateTest, DivergenceFromABaseByPlainLoops) {
  const std::string text = folder_.write_letters("text.txt", 3 * kLength);
  const OpenedModel base = moved_base();
  const Evaluation result = evaluate_text(text, Protocol::hf, &base);
  const std::vector<int32_t> ids = ids_of(text);
  std::vector<double> divergences, base_losses;
  double same = 0;
  for (size_t begin = 0; begin < ids.size(); begin += kLength) {
    const std::vector<int32_t> window(ids.begin() + static_cast<int64_t>(begin),
                                      ids.begin() + static_cast<int64_t>(begin) + kLength);
    const Rows p = log_probabilities(base, window), q = log_probabilities(model_, window);
    for (size_t t = 0; t + 1 < kLength; ++t) {
      double sum = 0;
      for (size_t v = 0; v < p[t].size(); ++v) sum += std::exp(p[t][v]) * (p[t][v] - q[t][v]);
      divergences.push_back(sum);
      base_losses.push_back(-p[t][static_cast<size_t>(window[t + 1])]);
      const auto top = [](const std::vector<double>& row) {
        return std::max_element(row.begin(), row.end()) - row.begin();
      };
      same += top(p[t]) == top(q[t]);
    }
  }
  EXPECT_NEAR(*result.kl_mean / mean(divergences), 1, 1e-4);
  EXPECT_NEAR(*result.kl_max / *std::max_element(divergences.begin(), divergences.end()), 1, 1e-4);
  EXPECT_NEAR(*result.base_perplexity / std::exp(mean(base_losses)), 1, 2e-5);
  EXPECT_DOUBLE_EQ(*result.top1_agreement, same / static_cast<double>(divergences.size()));
  EXPECT_GT(mean(divergences), 1e-3);  // the models differ
}

TEST_F(EvaluateTest, AModelDoesNotDivergeFromItself) {
  const std::string text = folder_.write_letters("text.txt", 2 * kLength);
  const Evaluation result = evaluate_text(text, Protocol::hf, &model_);
  EXPECT_EQ(*result.kl_max, 0);
  EXPECT_EQ(*result.top1_agreement, 1);
  EXPECT_EQ(*result.base_perplexity, result.perplexity);
}

TEST_F(EvaluateTest, SoManyWindowsAndNoMore) {
  const std::string text = folder_.write_letters("text.txt", 6 * kLength);
  EXPECT_EQ(evaluate_text(text, Protocol::hf, nullptr, 2).tokens, 2 * (kLength - 1));
}

TEST_F(EvaluateTest, TooShortATextSaysWhatItHasAndNeeds) {
  const auto refused = [&](int64_t letters, Protocol protocol, int64_t windows) {
    try {
      evaluate_text(folder_.write_letters("short.txt", letters), protocol, nullptr, windows);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(refused(31, Protocol::hf, 0), HasSubstr("holds 31 tokens, 1 window of 32 needs 32"));
  EXPECT_THAT(refused(63, Protocol::llama_cpp, 0),
              HasSubstr("holds 63 tokens, 2 windows of 32 need 64"));
  EXPECT_THAT(refused(100, Protocol::hf, 4),
              HasSubstr("holds 100 tokens, 4 windows of 32 need 128"));
}

}  // namespace
}  // namespace halftone
