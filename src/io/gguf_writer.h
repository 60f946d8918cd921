// Writes one GGUF v3 file: keys and tensor infos first, since everything is known before the first
// byte, then data at its place in any order.
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

using GgufField = std::variant<uint32_t, float, bool, std::string, std::vector<int32_t>,
                               std::vector<float>, std::vector<std::string>>;
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
  // Throws Error(resources) when the disk is full, Error(bad_input) when it cannot be written.
  GgufWriter(const std::string& path, const GgufFields& keys,
             const std::vector<GgufTensorPlan>& tensors);
  // `bytes` at `offset` within a planned tensor; each byte once. From any thread.
  void write(const std::string& name, int64_t offset, std::span<const std::byte> bytes);
  // Checks that everything was written, syncs. Returns the file's bytes.
  int64_t finish();

 private:
  struct Place {
    int64_t offset = 0, bytes = 0;  // in the file
    int64_t written = 0;
  };
  FileDescriptor file_;
  std::map<std::string, Place> places_;
  std::mutex mutex_;  // of what was written
  int64_t size_ = 0;
};

}  // namespace halftone
