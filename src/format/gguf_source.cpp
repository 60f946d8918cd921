// GGUF as a weight source. What llama.cpp's converter does to the weights is undone:
//   - arch llama rotates neighbouring pairs, so rows of q and k (and elements of their biases) were
//     interleaved: within a head of d, row 2i + p of the file is Hugging Face's row p·d/2 + i;
//   - Gemma's norms were stored with 1 added.
#include "format/gguf_source.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <optional>
#include <vector>

#include "base/error.h"
#include "format/ggml_grids.h"
#include "format/gguf_names.h"
#include "format/gguf_rows.h"
#include "format/gguf_types.h"
#include "format/stored_rows.h"

namespace halftone {
namespace {

struct SourceTensor {
  StoredTensor stored;
  StoredRows rows;
  int64_t interleaved_heads = 0;  // of q and k in arch llama; 0: rows stand in order
  float subtract = 0;             // from every value
};

class GgufWeights : public WeightSource {
 public:
  explicit GgufWeights(const Checkpoint& checkpoint);

  const std::vector<StoredTensor>& tensors() const override { return stored_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;
  std::optional<ConstView> mapped(std::string_view name) const override;
  std::optional<QuantizedMatrix> quantized(std::string_view name) const override;

 private:
  const SourceTensor& source_of(std::string_view name) const;
  void read_vector(const SourceTensor& tensor, View out) const;

  std::string path_;
  std::vector<StoredTensor> stored_;   // by name
  std::vector<SourceTensor> sources_;  // in the same order
};

std::string encoding_of(const ContainerEntry& entry) {
  std::string encoding = entry.type;
  if (encoding == "F32" || encoding == "F16" || encoding == "BF16") {
    std::transform(encoding.begin(), encoding.end(), encoding.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  }
  return encoding;
}

SourceTensor make_source(const GgufFile& file, const Json& config, const ContainerEntry& entry) {
  SourceTensor source{.stored = {}, .rows = StoredRows(entry)};
  const StoredRows& rows = source.rows;
  const GgufFamily& family = gguf_family_of(file);
  source.stored.name = hugging_face_name(family, entry.name).value_or(entry.name);
  source.stored.rows = rows.rows();
  source.stored.cols = rows.cols();
  source.stored.rank = static_cast<int>(entry.shape.size());
  source.stored.encoding = encoding_of(entry);
  source.stored.bytes = static_cast<int64_t>(entry.bytes.size());
  source.stored.quantized = !rows.dense();

  if (source.stored.rank == 2) source.stored.grid = ggml_grid(entry.type);

  const std::string& name = source.stored.name;
  const bool query = name.find(".self_attn.q_proj.") != std::string::npos;
  const bool key = name.find(".self_attn.k_proj.") != std::string::npos;
  if (family.interleaved && (query || key)) {
    const char* count = query ? "num_attention_heads" : "num_key_value_heads";
    source.interleaved_heads = config.at(count).get<int64_t>();
    const int64_t outputs = entry.shape.size() == 1 ? rows.cols() : rows.rows();
    if (outputs % (2 * source.interleaved_heads) != 0) {
      throw bad_input("{}: {}: {} outputs, expected a multiple of twice {} heads", entry.file,
                      entry.name, outputs, source.interleaved_heads);
    }
  }
  if (family.gain_offset != 0 && name.ends_with("norm.weight")) {
    if (source.stored.rank != 1) {
      throw bad_input("{}: {}: {} dimensions, expected 1", entry.file, entry.name,
                      source.stored.rank);
    }
    source.subtract = family.gain_offset;
  }
  return source;
}

GgufWeights::GgufWeights(const Checkpoint& checkpoint) : path_(checkpoint.path()) {
  const GgufFile& file = *checkpoint.gguf();
  for (const ContainerEntry& entry : file.entries()) {
    if (entry.name == "rope_freqs.weight") continue;  // gguf_metadata turns it into configuration
    sources_.push_back(make_source(file, checkpoint.metadata().config, entry));
  }
  std::sort(sources_.begin(), sources_.end(), [](const SourceTensor& a, const SourceTensor& b) {
    return a.stored.name < b.stored.name;
  });
  for (const SourceTensor& source : sources_) {
    if (!stored_.empty() && stored_.back().name == source.stored.name) {
      throw bad_input("{}: {} stands for {}, as another tensor does", path_,
                      source.rows.entry().name, source.stored.name);
    }
    stored_.push_back(source.stored);
  }
}

const SourceTensor& GgufWeights::source_of(std::string_view name) const {
  const StoredTensor* stored = find(name);
  if (stored == nullptr) throw bad_input("{}: {} is missing", path_, name);
  return sources_[static_cast<size_t>(stored - stored_.data())];
}

// A bias whose elements, or a norm whose values, are not as Hugging Face has them.
void GgufWeights::read_vector(const SourceTensor& tensor, View out) const {
  std::vector<float> file(static_cast<size_t>(tensor.stored.cols));
  tensor.rows.decode(0, file);
  std::vector<float> values = file;
  if (tensor.interleaved_heads > 0) {
    const int64_t head_dim = tensor.stored.cols / tensor.interleaved_heads;
    for (int64_t i = 0; i < tensor.stored.cols; ++i) {
      values[static_cast<size_t>(i)] = file[static_cast<size_t>(row_in_file(i, head_dim))];
    }
  }
  for (float& value : values) value -= tensor.subtract;
  store_row(values, out, 0);
}

void GgufWeights::read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const {
  const SourceTensor& tensor = source_of(name);
  assert(0 <= row_begin && row_begin <= row_end && row_end <= tensor.stored.rows);
  if (tensor.interleaved_heads == 0 && tensor.subtract == 0) {
    tensor.rows.read(row_begin, row_end, out);
    return;
  }
  if (tensor.stored.rank == 1) {
    if (row_begin < row_end) read_vector(tensor, out);
    return;
  }
  assert(tensor.subtract == 0);
  const int64_t head_dim = tensor.stored.rows / tensor.interleaved_heads;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t stored = row_in_file(row, head_dim);
    tensor.rows.read(stored, stored + 1, out.rows_of(row - row_begin, row - row_begin + 1));
  }
}

std::optional<ConstView> GgufWeights::mapped(std::string_view name) const {
  const SourceTensor& tensor = source_of(name);
  if (tensor.interleaved_heads > 0 || tensor.subtract != 0) return std::nullopt;
  return tensor.rows.mapped();
}

std::optional<QuantizedMatrix> GgufWeights::quantized(std::string_view name) const {
  const SourceTensor& tensor = source_of(name);
  if (!tensor.stored.grid) return std::nullopt;
  const std::string& type = tensor.rows.entry().type;
  QuantizedMatrix matrix;
  matrix.grid = *tensor.stored.grid;
  matrix.rows = tensor.stored.rows;
  matrix.cols = tensor.stored.cols;
  matrix.resize(matrix.grid.groups(matrix.cols));
  std::fill(matrix.zeros.begin(), matrix.zeros.end(),
            static_cast<uint8_t>(matrix.grid.symmetric_zero()));
  for (int64_t row = 0; row < matrix.rows; ++row) {
    const int64_t stored = tensor.interleaved_heads == 0
                               ? row
                               : row_in_file(row, matrix.rows / tensor.interleaved_heads);
    unpack_ggml_row(type, tensor.rows.row_bytes(stored), row, matrix);
  }
  return matrix;
}

}  // namespace

const GgufMix* stated_mix(const GgufFile& file) {
  const auto key = file.keys().find("general.file_type");
  const auto* type = key == file.keys().end() ? nullptr : std::get_if<uint64_t>(&key->second);
  if (type == nullptr) return nullptr;
  for (const GgufMix& mix : gguf_mixes())
    if (mix.file_type == *type && !is_dense_ggml(mix.type)) return &mix;
  return nullptr;
}

std::unique_ptr<WeightSource> open_gguf_weights(const Checkpoint& checkpoint) {
  assert(checkpoint.is_gguf());
  return std::make_unique<GgufWeights>(checkpoint);
}

std::string gguf_quantization(const Checkpoint& checkpoint) {
  const GgufFile& file = *checkpoint.gguf();
  std::map<std::string, size_t> bytes;  // of the matrices, by type
  for (const ContainerEntry& entry : file.entries()) {
    if (entry.shape.size() > 1) bytes[entry.type] += entry.bytes.size();
  }
  for (const char* dense : {"F32", "F16", "BF16"}) bytes.erase(dense);
  if (bytes.empty()) return {};
  if (const GgufMix* mix = stated_mix(file)) return "GGUF " + std::string(mix->name);
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return "GGUF " + most->first;
}

}  // namespace halftone
