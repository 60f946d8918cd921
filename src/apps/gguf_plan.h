// Which of ggml's types each matrix of a model gets in a GGUF: what the user named, and what stands
// in where a row's length does not divide into blocks, said and counted.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/open_model.h"
#include "format/format.h"
#include "format/gguf_types.h"
#include "io/gguf_family.h"

namespace halftone {

// As the command line has them; empty: not given.
struct GgufOptions {
  std::string type;                       // a mix: "Q4_K_M"
  std::string embedding_type, head_type;  // a type; of a tied embedding, either
  bool given() const { return !type.empty() || !embedding_type.empty() || !head_type.empty(); }
};

// Throws Error(usage): options for GGUF alone beside another format, or none (a dense output).
void check_gguf_options(const Format* format, const GgufOptions& options);

class GgufPlan {
 public:
  // Throws Error(usage) for names that are not known, and for a family that llama.cpp has no name
  // for. `mix`: null where only the tables are asked for.
  GgufPlan(const OpenedModel& model, const GgufOptions& options, const GgufMix* mix);

  // Of a linear or a table; nothing where nobody asked. Counts what is replaced.
  struct Choice {
    std::optional<Grid> grid;
    std::optional<DType> dense;  // where there is no grid
  };
  std::optional<Choice> choose(const TensorKey& key, int64_t cols);

  // "180 matrices: rows of 576 do not divide into Q4_K's blocks of 256: Q5_0 instead", one line a
  // kind; with what it costs in bits a weight.
  std::vector<std::string> notes() const;

 private:
  struct Replaced {
    std::string_view type, instead;
    int64_t cols = 0;
    auto operator<=>(const Replaced&) const = default;
  };
  const GgufMix* mix_;
  std::string_view embedding_type_, head_type_;  // empty: the mix's
  int layers_ = 0;
  int64_t heads_per_key_ = 1;
  bool tied_ = false;
  std::map<Replaced, int> replaced_;
};

// Embedding and head of the model as modules of a GGUF: with a grid, or skipped with a dense type.
// Not the head where that is a row of the plan.
std::vector<PlannedModule> plan_gguf_tables(const OpenedModel& model, GgufPlan& plan,
                                            bool head_is_row);

// The mix whose type holds most of the weights: what the file says of itself. All dense: F16, BF16
// or F32.
const GgufMix& mix_of(const OpenedModel& model, std::span<const PlannedModule> modules,
                      std::optional<DType> dense);

// "Q6_K", "F16"; "as it is"
std::string gguf_type_text(const PlannedModule& module);

// The model's family as llama.cpp knows it; throws Error(usage) where it does not.
const GgufFamily& gguf_family(const OpenedModel& model);

}  // namespace halftone
