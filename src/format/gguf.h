// GGUF as a target: its row of the table of formats, and the writer of a file that llama.cpp opens.
#pragma once

#include <string>
#include <vector>

#include "format/format.h"
#include "io/gguf_family.h"
#include "io/gguf_writer.h"

namespace halftone {

// What a GGUF holds beside matrices and vectors, and how the model's tensors are stored in it. Made
// by whoever knows the model.
struct GgufContents {
  std::string file_name;  // "SmolLM2-Q4_K_M.gguf"
  const GgufFamily* family = nullptr;
  GgufFields fields;
  struct Source {
    TensorKey key;
    std::string name;  // in OutputSpec::source
  };
  std::vector<Source> tensors;      // in the file's order
  std::vector<float> rope_factors;  // divisors of the rotary frequencies; empty: none
  int64_t heads = 0, kv_heads = 0;  // of queries; of keys and values
  std::string modelfile;            // Ollama's, beside the file
};

extern const Format kGgufFormat;

}  // namespace halftone
