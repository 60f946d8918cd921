// How a model is laid out on disk: a directory of safetensors shards with config.json, or whatever
// else a format wants (one file with metadata of its own). Apps hand over packed linears one by
// one; the writer knows where they go, and what else there is to write.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/checkpoint.h"
#include "tensor/quantized.h"
#include "tensor/role.h"
#include "tensor/weight_source.h"

namespace halftone {

struct Format;
struct GgufContents;

// One linear of the output.
struct PlannedModule {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  Role role = Role::q;
  int64_t rows = 0, cols = 0;
  Grid grid;                        // where it is not skipped
  bool skipped = false;             // stays dense
  std::optional<DType> dense = {};  // its type then; none: the output's
};

// What the configuration of a quantized checkpoint says.
struct QuantizationSummary {
  std::vector<PlannedModule> modules;  // all linears that could have been quantized
  std::optional<double> damping;  // where columns were solved one after the other; none: rounded
  bool act_order = false;         // in which order, then; static groups: they stay where they were
  bool sequential = true;         // on inputs of the quantized network, not of the original
  bool scattered_groups = false;  // some groups are not of neighbouring inputs: g_idx tells
  std::string method;             // "gptq", "rtn"; empty: not known
};

struct OutputSpec {
  const Checkpoint& checkpoint;  // of the model that the output is made from
  const WeightSource& source;    // its tensors
  std::string directory;         // exists
  QuantizationSummary summary;   // no module that is not skipped: a dense output
  std::optional<DType> dense;    // type of dense floating-point tensors; none: as they are stored,
                                 // bf16 where safetensors does not have the type
  int64_t max_shard_bytes = 0;   // 0: the format's own
  const GgufContents* gguf = nullptr;  // of a GGUF; outlives the writer
};

class ModelWriter {
 public:
  virtual ~ModelWriter() = default;
  // Each quantized module of the summary once, in any order, from any thread.
  virtual void write(const std::string& module, const QuantizedMatrix& matrix) = 0;
  // Writes the configuration (not the tokenizer's files). From then on the directory can be opened,
  // and a module read back when it was written.
  virtual void write_configuration() = 0;
  // What a module is called in what was written: by the source's name, unless the format has its
  // own.
  virtual std::string name_when_read(const std::string& module) const { return module; }
  // Writes the dense tensors, which wait for no codes, on all `threads`. Throws Error(interrupted)
  // between two.
  virtual void write_dense(ThreadPool& threads) = 0;
  // When all of the above are done: syncs. Returns the bytes of the weight files.
  virtual int64_t finish() = 0;
};

// A Hugging Face directory of safetensors.
std::unique_ptr<ModelWriter> open_safetensors_writer(const Format& format, const OutputSpec& spec);
// The same with nothing quantized, written at once: the bytes of the weight files.
int64_t write_dense_model(const OutputSpec& spec, ThreadPool& threads);

}  // namespace halftone
