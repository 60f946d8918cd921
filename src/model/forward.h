// The forward pass of every family: a block is four stages, each cut where a group of linears takes
// its input, so that inference composes them and calibration can stop between them.
//
// Stages write into what the caller gives them, never in place, so that a backward pass can replay
// them. Residual streams are f32; a linear's input is in the compute dtype.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/profile.h"
#include "model/kv_cache.h"
#include "model/weights.h"

namespace halftone {

// What runs together: several sequences, or pieces of sequences, packed row after row.
struct Batch {
  std::vector<int32_t> ids;         // (tokens)
  std::vector<int32_t> positions;   // (tokens): in their sequences
  std::vector<int64_t> starts;      // (sequences + 1): rows of the batch
  std::vector<int64_t> logit_rows;  // rows that need logits
  KvCache* cache = nullptr;         // null: sequences begin at position 0 and are whole
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};
// Whole sequences of `length` ids each (which divides their number); every row in logit_rows.
Batch make_batch(std::span<const int32_t> ids, int64_t length);
// The same of sequences of any lengths.
Batch make_batch(std::span<const std::span<const int32_t>> sequences);

// Rows of a pass over many sequences: what keeps the backend busy, and half of it where the MLP is
// so wide (Llama-405B) that the Hessian of its output leaves little room.
int64_t batch_tokens(const Backend& backend, const ModelConfig& config);

// Looks at what a stage's linears take while a block runs, before they do: x (tokens, input_width)
// in the compute dtype, and the residual (tokens, hidden) f32 whose norm x is in attn_in and
// mlp_in.
using StageTap = std::function<void(const StageId&, ConstView residual, ConstView x)>;

class Forward {
 public:
  // All outlive this; `weights` give products in `compute`.
  Forward(Backend& backend, const ModelTensors& tensors, WeightProvider& weights, DType compute);
  // Frees the temporary matrices that are kept from call to call: they come back when needed.
  void release_scratch();
  // Counts seconds and operations from now on; may be null.
  void set_profile(Profile* profile) { profile_ = profile; }
  Profile* profile() const { return profile_; }

  Backend& backend() const { return backend_; }
  const ModelConfig& config() const { return config_; }
  DType compute() const { return compute_; }
  // Whether the MLP reads the residual that attention read.
  bool parallel() const;
  // (inputs) of a stage's linears, and their outputs together: q, k, v; o; gate, up; down; head.
  // They lie one after the other, each contiguous (matrix products write whole rows fastest), in a
  // matrix of tokens × output_width elements whose rows mean nothing.
  int64_t input_width(Stage stage) const;
  int64_t output_width(Stage stage) const;

  // residual (tokens, hidden) f32 := embeddings.
  void embed(const Batch& batch, View residual);

  // The input of a stage's linears, x (tokens, input_width) in the compute dtype:
  //   attn_in   norm(residual)                          previous: unused
  //   attn_out  attention over previous = q, k, v         (rotated, normed, cached here)
  //   mlp_in    norm(residual)
  //   mlp_out   act(gate) · up, previous = gate, up
  //   head      norm(residual)
  void stage_input(const StageId& id, const Batch& batch, ConstView residual, ConstView previous,
                   View x);
  // The input of attn_in's or mlp_in's linears as tokens weigh in a Hessian by their residual: each
  // token's is √rms(residual) times what stage_input() gives.
  void weighed_input(const StageId& id, ConstView residual, View x);
  // The linears of a block's stage: y (tokens, output_width) contiguous, f32 or compute dtype.
  void stage_linears(const StageId& id, ConstView x, View y);
  // What attn_out and mlp_out do with their result: out := residual + [norm](y), all (tokens,
  // hidden).
  void join(const StageId& id, ConstView y, ConstView residual, View out);

  // One block: residual_out := block(residual_in); they may not be the same.
  void block(int layer, const Batch& batch, ConstView residual_in, View residual_out,
             const StageTap& tap = {});
  // logits (batch.logit_rows, vocab) f32 from the last residual.
  void logits(const Batch& batch, ConstView residual, View out);
  // logits of rows [begin, end) of batch.logit_rows alone: a tile.
  void logits_of(std::span<const int64_t> rows, ConstView residual, View out);

  // The whole model over resident or streamed weights; a cache has its positions afterwards.
  // Residual after the last block (tokens, hidden) f32.
  Tensor run(const Batch& batch);

 private:
  // Temporary matrices that are kept from call to call, as the same sizes come again.
  enum Scratch : size_t { kInput, kOutput, kResult, kNormed, kQuery, kKey, kScratches };
  View scratch(Scratch slot, int64_t rows, int64_t cols, DType dtype);

  void normalize(const TensorKey& gain, ConstView x, View y, bool weighed = false);
  void attention_input(int layer, const Batch& batch, ConstView previous, View x);
  // out := x, normed by head where the family does, rotated.
  void rotate(const TensorKey& gain, const Batch& batch, ConstView x, View out);
  AttentionSpec attention_spec(int layer) const;

  Backend& backend_;
  const ModelTensors& tensors_;
  const ModelConfig& config_;
  WeightProvider& weights_;
  DType compute_;
  Profile* profile_ = nullptr;
  Tensor frequencies_, local_frequencies_;  // (1, head_dim/2) f32
  float magnitude_ = 1, local_magnitude_ = 1;
  std::array<Tensor, kScratches> scratch_;
};

}  // namespace halftone
