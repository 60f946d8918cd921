// A model as it lies on disk: the directory or file that `MODEL` names, its containers and
// metadata.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/gguf.h"
#include "io/metadata.h"
#include "io/safetensors.h"
#include "tensor/weight_source.h"

namespace halftone {

class Checkpoint {
 public:
  // `model`: a Hugging Face directory, a .gguf file, or org/name in the local Hugging Face cache
  // ($HF_HOME, $HF_HUB_CACHE, ~/.cache/huggingface/hub), or in ours (halftone's fetch script).
  // Throws Error(usage) when there is no such thing (says where it looked), Error(bad_input) for a
  // broken one: missing shards, an index that disagrees with the shards, duplicate tensors.
  static Checkpoint open(const std::string& model);

  const std::string& path() const { return path_; }  // directory or file
  const std::string& name() const { return name_; }  // last path component, for people
  bool is_gguf() const { return gguf_ != nullptr; }
  const Metadata& metadata() const { return metadata_; }
  // Of all shards, sorted by name.
  const std::vector<ContainerEntry>& entries() const { return entries_; }
  const ContainerEntry* find(std::string_view name) const;
  const GgufFile* gguf() const { return gguf_.get(); }
  int64_t file_bytes() const;  // of the weight files
  // Files beside the weights that are passed through byte for byte: tokenizer, template, generation
  // config and the like (not weights, not config.json). Full paths.
  std::vector<std::string> side_files() const;
  // SHA-256 over config, and over names, shapes, types and bytes of every tensor, these by the
  // hashes of their pieces, which are made beside each other; cached by nobody. `look` (may be
  // empty) sees every piece, whole elements of the entry's type, right after it was hashed, on any
  // of the threads.
  using Look = std::function<void(const ContainerEntry&, std::span<const std::byte> piece)>;
  std::string fingerprint(ThreadPool& threads, const Look& look = {}) const;
  // At once: a hash of config and of the weight files' sizes and times. It differs for files that
  // were copied, too, whose fingerprint is the same.
  std::string stamp() const;

 private:
  std::string path_, name_;
  Metadata metadata_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::unique_ptr<GgufFile> gguf_;
  std::vector<ContainerEntry> entries_;
};

// The tensors of a safetensors checkpoint as they stand: dense ones. The checkpoint must outlive
// it. Throws Error(bad_input) for floating-point types other than F32, F16, BF16 and F64.
std::unique_ptr<WeightSource> open_dense_weights(const Checkpoint& checkpoint);

}  // namespace halftone
