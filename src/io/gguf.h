// GGUF v2 and v3 (llama.cpp's container): keys, tensor infos, aligned data. One bounds-checked
// parser, and the block types' decoding. Layouts: docs/methods.md and llama.cpp's ggml-common.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/container.h"
#include "io/metadata.h"
#include "tensor/tensor.h"

namespace halftone {

// Integers keep their sign's type, floats widen to double; arrays of booleans are of integers.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<std::string>>;

class GgufFile {
 public:
  // Throws Error(bad_input): magic, version, counts, string lengths, types, alignment, offsets. A
  // part of a split model ("name-00002-of-00005.gguf") stands for the whole: all parts are read.
  explicit GgufFile(const std::string& path);

  const std::vector<ContainerEntry>& entries() const { return entries_; }  // sorted by name
  const std::map<std::string, GgufValue>& keys() const { return keys_; }
  const std::string& architecture() const { return architecture_; }  // "qwen2"
  const ContainerEntry* find(std::string_view name) const;           // nullptr: none
  const std::string& path() const { return path_; }                  // as opened
  int64_t file_bytes() const;                                        // of all parts

 private:
  std::string path_;
  std::vector<MappedFile> parts_;
  std::vector<ContainerEntry> entries_;
  std::map<std::string, GgufValue> keys_;
  std::string architecture_;
};

// llama.cpp's name of a part (from 0) of the model that would be at `path` in one file:
// "name-00002-of-00005.gguf".
std::string gguf_part_path(const std::string& path, size_t part, size_t count);
// That of the first part, when `path` is named as one of several; else as it is.
std::string gguf_first_part(const std::string& path);
// And of the model in one file: "name.gguf".
std::string gguf_whole_path(const std::string& path);

// A type of GGUF's blocks: `values` values in `bytes` bytes; nothing for types that we do not read.
struct GgmlBlock {
  int64_t values, bytes;
};
std::optional<GgmlBlock> ggml_block(std::string_view type);
// `count` values (a multiple of the block) to f32. F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0,
// Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS.
void ggml_dequantize(std::string_view type, std::span<const std::byte> bytes, std::span<float> out);

// Hugging Face's config.json keys, tokenizer data and template from the file's keys. Families whose
// keys are known: llama (mistral too), qwen2, qwen3, gemma3.
Metadata gguf_metadata(const GgufFile& file);

}  // namespace halftone
