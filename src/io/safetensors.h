// safetensors: u64 header length, JSON header, data. One bounds-checked parser, one streaming
// writer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/container.h"
#include "tensor/tensor.h"

namespace halftone {

class SafetensorsFile {
 public:
  // Throws Error(bad_input): header length, JSON, dtypes, shapes, offsets that lie, overlap or
  // leave holes, names that appear twice.
  explicit SafetensorsFile(const std::string& path);

  const std::vector<ContainerEntry>& entries() const { return entries_; }  // sorted by name
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::vector<ContainerEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

std::string_view safetensors_name(DType dtype);  // "BF16"
std::optional<DType> dtype_of_safetensors(
    std::string_view type);  // nothing: one we do not compute with

// What a tensor of a file that is being written will be.
struct TensorPlan {
  std::string name;
  std::string type;  // "I32"
  std::vector<int64_t> shape;
  int64_t bytes = 0;
  std::vector<std::byte> value = {};  // where it is known with the plan; else empty
};

// Writes shards of at most `max_shard_bytes` and, when there is more than one, the index. The plan
// is known before the first byte, so that headers and index are written first and data streams
// after them: from the beginning the files can be opened, and a tensor read when it was written.
class SafetensorsWriter {
 public:
  // `directory` exists. Files are model.safetensors, or model-00001-of-00005.safetensors and
  // model.safetensors.index.json. Throws Error(resources) when the disk is full, Error(bad_input)
  // when it cannot be written.
  SafetensorsWriter(std::string directory, std::vector<TensorPlan> plan,
                    int64_t max_shard_bytes = int64_t{4} << 30);
  ~SafetensorsWriter();
  // In any order, from any thread; each planned tensor exactly once, `bytes` as planned.
  void write(const std::string& name, std::span<const std::byte> bytes);
  // The next bytes of a tensor that is too large to be held whole; other tensors may come between.
  void append(const std::string& name, std::span<const std::byte> bytes);
  // Checks that everything was written, syncs. Returns the paths written.
  std::vector<std::string> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace halftone
