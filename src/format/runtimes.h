// Which programs open a checkpoint, on which processors, and how fast. What depends on grids alone
// is asked of the table of formats (Format::readers); here is what depends on the processor, and
// who reads the formats that we read or only know of.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/format.h"

namespace halftone {

// Generations of NVIDIA's GPUs by compute capability: 7.5, 8.0 to 8.7, 8.9, 9.0, 10.0 and above;
// x86 processors; Apple's chips with their GPU.
enum class Processor : uint8_t { turing, ampere, ada, hopper, blackwell, cpu, apple };
inline constexpr size_t kProcessorCount = 7;
std::string_view name_of(Processor processor);  // "Turing"
// Nothing for a GPU older than Turing.
std::optional<Processor> processor_of(int major, int minor);

enum class Opening : uint8_t {
  fast,     // with the best kernel that the runtime has for such weights there
  slow,     // by a detour
  wrong,    // opens it, and computes with other weights than were meant
  refuses,  //
  absent,   // does not run on that processor
  unknown,  // reads the format; whether it knows the model's family is not known here
};
std::string_view name_of(Opening opening);

struct RuntimeCell {
  Opening opening = Opening::fast;
  std::string why;  // or what is to be known
};
struct RuntimeRow {
  std::string_view runtime;  // "vLLM"
  std::array<RuntimeCell, kProcessorCount> cells;
  const RuntimeCell& on(Processor processor) const { return cells[static_cast<size_t>(processor)]; }
};

struct CheckpointFacts {
  // A name of the table of formats, "gguf", "safetensors" (dense), or what others write: "fp8" and
  // "int8" (activations, too), "nvfp4".
  std::string format;
  // The linears, those that are dense skipped, and the head where it is quantized.
  std::vector<PlannedModule> modules;
  bool act_order = false;    // groups are scattered over the inputs
  bool wrong_label = false;  // GPTQ's zeros are not as checkpoint_format says
  bool bf16 = false;         // dense tensors in bf16
  bool in_parts = false;     // its weights are in more than one file
  // Why it is refused by all who go by config.json, which GPTQModel does last; empty: it is right.
  std::string denied = {};
  // Why whoever opens it computes other values than were meant; empty: nothing is known.
  std::string broken = {};
  // Why it is not known whether anything opens it, whatever its format; empty: it is.
  std::string untold = {};
};

// vLLM, SGLang, Transformers, GPTQModel, llama.cpp, Ollama, MLX. Empty for a format that is not
// known.
std::vector<RuntimeRow> runtime_table(const CheckpointFacts& facts);

}  // namespace halftone
