// GGUF's row of the table of formats. Which type a matrix gets is apps/gguf_plan's to say; here, a
// grid that is one of ggml's is kept, and another becomes the type that holds it.
#include "format/gguf.h"

#include <cassert>

#include "base/error.h"
#include "format/ggml_grids.h"
#include "format/gguf_output.h"
#include "format/grid_limits.h"
#include "io/gguf.h"

namespace halftone {
namespace {

std::string_view type_for(const Grid& wanted) {
  check_bits(wanted, {4, 5, 6, 8}, "gguf");
  if (wanted.group_size != -1 && (wanted.group_size <= 0 || wanted.group_size % 32 != 0))
    throw usage_error("--group-size {}: expected a multiple of 32 (what --format gguf holds)",
                      wanted.group_size);
  if (wanted.symmetric)
    return wanted.bits == 4   ? "Q4_0"
           : wanted.bits == 5 ? "Q5_0"
           : wanted.bits == 6 ? "Q6_K"
                              : "Q8_0";
  if (wanted.bits > 5)
    throw usage_error(
        "--bits {} --asym: --format gguf has zero points, or rather minima, only in 4 "
        "and 5 bits",
        wanted.bits)
        .hint("use --sym.");
  return wanted.bits == 4 ? "Q4_1" : "Q5_1";
}

Grid grid_of(const Grid& wanted) {
  if (ggml_type_of(wanted)) return wanted;
  return *ggml_grid(type_for(wanted));
}

void check_any(std::span<const PlannedModule>) {}

std::string obstacle(const QuantizedMatrix& matrix) {
  const auto type = ggml_type_of(matrix.grid);
  return type ? ggml_obstacle(*type, matrix) : "no type of ggml has its grid";
}

std::vector<TensorPlan> plan_gguf(const std::string& module, const Grid& grid, int64_t rows,
                                  int64_t cols) {
  const std::string type(*ggml_type_of(grid));
  if (cols % ggml_block(type)->values != 0)
    throw usage_error("{}: {} inputs are not a multiple of {}, as {} has them", module, cols,
                      ggml_block(type)->values, type)
        .hint(
            "choose a --gguf-type whose blocks divide that: Q8_0, Q5_1, Q4_0 and others have 32.");
  return {{module + ".weight",
           type,
           {rows, cols},
           bytes_of(GgufTensorPlan{module, type, {rows, cols}})}};
}

std::vector<PackedTensor> pack_gguf(const std::string& module, const QuantizedMatrix& matrix) {
  const std::string type(*ggml_type_of(matrix.grid));
  std::vector<PackedTensor> packed =
      empty_tensors(plan_gguf(module, matrix.grid, matrix.rows, matrix.cols));
  const size_t row_bytes = packed[0].data.size() / static_cast<size_t>(matrix.rows);
  for (int64_t row = 0; row < matrix.rows; ++row)
    pack_ggml_row(
        type, matrix, row,
        std::span(packed[0].data).subspan(static_cast<size_t>(row) * row_bytes, row_bytes));
  return packed;
}

Json no_configuration(const QuantizationSummary&) { return nullptr; }

// As of mid-2026: vLLM's documentation of GGUF; Ollama's and llama.cpp's loaders.
std::vector<ReaderVerdict> readers(std::span<const PlannedModule>, bool in_parts) {
  const std::string one = "it takes one file: llama-gguf-split --merge FIRST-PART OUT.gguf";
  if (in_parts)
    return {{"llama.cpp", true, "by the name of the first part"},
            {"Ollama", false, one},
            {"vLLM", false, one}};
  return {{"llama.cpp", true, ""},
          {"Ollama", true, "ollama create NAME -f Modelfile"},
          {"vLLM", true, "experimental there"}};
}

}  // namespace

const Format kGgufFormat = {.name = "gguf",
                            .summary = "llama.cpp's and Ollama's: --gguf-type says which",
                            .grid = grid_of,
                            .one_grid = GridScope::linear,
                            .ggml_types = true,
                            .self_contained = true,
                            .check = check_any,
                            .obstacle = obstacle,
                            .pack = pack_gguf,
                            .packed_plan = plan_gguf,
                            .configuration = no_configuration,
                            .config_keys = {},
                            .side_files = {},
                            .readers = readers,
                            .open_writer = open_gguf_writer};

}  // namespace halftone
