// Perplexity by two protocols, and KL divergence to a base model at the same positions (design §8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/open_model.h"
#include "apps/token_scores.h"
#include "base/json.h"
#include "base/profile.h"

namespace halftone {

enum class Protocol : uint8_t { hf, llama_cpp };

class SharedBase;

struct EvaluateOptions {
  Protocol protocol = Protocol::hf;
  int64_t seq_len = 0;  // 0: 2048 (hf), 512 (llama.cpp)
  int64_t windows = 0;  // 0: all
  std::string dtype = "auto";
  bool quiet = false;
  SharedBase* shared_base = nullptr;  // the base's side, where several models are measured
};

struct Evaluation {
  std::string protocol;
  int64_t seq_len = 0, windows = 0, tokens = 0;  // tokens scored
  double perplexity = 0, perplexity_stderr = 0;
  std::optional<double> base_perplexity, base_perplexity_stderr, kl_mean, kl_stderr, kl_p50, kl_p99,
      kl_max, top1_agreement, log_ratio_stderr;  // of ln(ppl / base ppl), paired
  int64_t size_bytes = 0, base_size_bytes = 0;
  double bits_per_weight_linears = 0, bits_per_weight_file = 0;
  double base_bits_per_weight_linears = 0, base_bits_per_weight_file = 0;
  double seconds = 0, tokens_per_second = 0, base_tokens_per_second = 0;
  int64_t peak_memory_bytes = 0;
  TokenScores scores;              // of every scored position
  std::vector<std::string> notes;  // "the base's vocabulary is padded to 151,936"
};

// Throws what evaluate() would throw of the text: before hours of other work.
void check_text(const OpenedModel& model, const std::string& path, const EvaluateOptions& options);

// A base that several models are measured against, on the same text and with the same options: it
// is run over the windows once, and its last residuals are kept, in memory or in a file.
class SharedBase {
 public:
  // Loads the weights. Residuals that an eighth of the memory does not hold go to a nameless file
  // in `spill_directory`. All arguments outlive it.
  SharedBase(Backend& backend, const OpenedModel& model, const EvaluateOptions& options,
             const std::string& spill_directory);
  ~SharedBase();

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Throws Error(bad_input) for text that is too short (says how many tokens it has and needs) and
// for tokenizers that differ.
Evaluation evaluate(Backend& backend, const OpenedModel& model, const OpenedModel* base,
                    const std::string& text_path, const EvaluateOptions& options,
                    Profile* profile = nullptr);
// What an evaluation against a base says of that base.
Evaluation base_of(const Evaluation& against);
Json to_json(const Evaluation& evaluation);
// "20.180 ± 0.142"; large ones with powers of ten.
std::string perplexity_cell(double value, double error);
std::string evaluation_table(const Evaluation& evaluation, const std::string& device);

}  // namespace halftone
