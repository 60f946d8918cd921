// Writes a GGUF v3 model: keys and tensor infos first, since everything is known before the first
// byte, then data at its place in any order. One file, or parts as llama.cpp splits them.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/file_descriptor.h"

namespace halftone {

using GgufField = std::variant<uint16_t, uint32_t, int32_t, float, bool, std::string,
                               std::vector<int32_t>, std::vector<float>, std::vector<std::string>>;
using GgufFields = std::vector<std::pair<std::string, GgufField>>;  // in the file's order

struct GgufTensorPlan {
  std::string name;            // at most 63 bytes
  std::string type;            // ggml's: "Q4_K"
  std::vector<int64_t> shape;  // outermost first, as Hugging Face writes it; 1 or 2 dimensions
};
// Bytes of all values. The type is one that we read, and divides the row.
int64_t bytes_of(const GgufTensorPlan& tensor);

class GgufWriter {
 public:
  // `path` is of one file; parts of at most `max_part_bytes` of data (and a tensor at least; 0: no
  // limit) stand beside it as name-00001-of-00003.gguf. Throws Error(resources) when the disk is
  // full, Error(bad_input) when it cannot be written.
  GgufWriter(const std::string& path, const GgufFields& keys,
             const std::vector<GgufTensorPlan>& tensors, int64_t max_part_bytes = 0);
  // `bytes` at `offset` within a planned tensor; each byte once. From any thread.
  void write(const std::string& name, int64_t offset, std::span<const std::byte> bytes);
  // Checks that everything was written, syncs. Returns the bytes of all files.
  int64_t finish();
  size_t parts() const { return files_.size(); }

 private:
  struct Place {
    size_t file = 0;
    int64_t offset = 0, bytes = 0;  // in the file
    int64_t written = 0;
  };
  void begin_file(const std::string& path, const GgufFields& keys,
                  std::span<const GgufTensorPlan> tensors);

  std::vector<FileDescriptor> files_;
  std::map<std::string, Place> places_;
  std::mutex mutex_;  // of what was written
  int64_t size_ = 0;
};

}  // namespace halftone
