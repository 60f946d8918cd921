// What the journal keeps of one finished stage: its quantized matrices and what they came to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "quant/method.h"
#include "tensor/quantized.h"
#include "tensor/role.h"

namespace halftone {

struct FinishedLinear {
  TensorKey key;
  std::string module;
  QuantizedMatrix matrix;
  SolveReport report;
  double seconds = 0;
};

// An input channel that is larger than the others.
struct LoudChannel {
  int64_t channel = 0;
  double rms = 0;  // root mean square over the calibration tokens
};

struct StageRecord {
  StageId id;
  std::vector<FinishedLinear> linears;
  std::vector<LoudChannel> loudest;  // at most four, loudest first
  double typical_rms = 0;            // median over the stage's input channels
  double seconds = 0;                // of wall clock, since the stage before it was finished
};

std::string record_name(const StageId& id);  // "layer 3 attn_out", "layer 3 mlp_in expert 7"
// In the order of quantizing: block by block, the head's stage last.
int64_t stages_before(const StageId& id, int64_t layers);
std::string place_text(const StageId& id, int64_t layers);  // "layer 4/32  attn_out", "head"
StageRecord without_matrices(const StageRecord& stage);     // the shapes stay
// Little-endian, codes packed to their width; deserialize(serialize(r)) == r. deserialize throws
// Error(bad_input) when the bytes are not such a record. `threads` (may be null) pack.
std::vector<std::byte> serialize(const StageRecord& record, ThreadPool* threads = nullptr);
StageRecord deserialize(std::span<const std::byte> bytes);

}  // namespace halftone
