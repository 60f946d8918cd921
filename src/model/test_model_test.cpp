// Definitions of test_model.h: in the test program, not in the library.
#include "model/test_model.h"

#include <algorithm>
#include <cassert>

#include "base/rng.h"

namespace halftone {

void MemorySource::add(const std::string& name, int64_t rows, int64_t cols,
                       std::vector<float> values, int rank) {
  assert(values.size() == static_cast<size_t>(rows * cols));
  tensors_.push_back({.name = name,
                      .rows = rows,
                      .cols = cols,
                      .rank = rank,
                      .encoding = "f32",
                      .bytes = 4 * rows * cols});
  std::sort(tensors_.begin(), tensors_.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
  values_[name] = std::move(values);
}

void MemorySource::remove(const std::string& name) {
  std::erase_if(tensors_, [&](const StoredTensor& stored) { return stored.name == name; });
  values_.erase(name);
}

void MemorySource::read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const {
  const std::vector<float>& values = values_.find(name)->second;
  for (int64_t r = row_begin; r < row_end; ++r)
    for (int64_t c = 0; c < out.cols; ++c) {
      const float value = values[static_cast<size_t>(r * out.cols + c)];
      if (out.dtype == DType::f32)
        out.row<float>(r - row_begin)[c] = value;
      else
        out.row<bf16>(r - row_begin)[c] = to_bf16(value);
    }
}

ModelConfig small_config(const std::string& model_type, int64_t layers) {
  Metadata metadata;
  metadata.origin = "config.json";
  metadata.config = {{"model_type", model_type},    {"hidden_size", 16},
                     {"num_hidden_layers", layers}, {"num_attention_heads", 4},
                     {"num_key_value_heads", 2},    {"head_dim", 8},
                     {"intermediate_size", 24},     {"vocab_size", 40}};
  return read_config(metadata);
}

MemorySource random_weights(const ModelConfig& config, const ArchSpec& arch, uint64_t seed) {
  MemorySource source;
  Rng rng(seed);
  const auto draw = [&rng](int64_t count, float scale) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = scale * static_cast<float>(2 * rng.uniform() - 1);
    return values;
  };
  for (const TensorRule& rule : arch.tensors) {
    if ((rule.role == Role::head && config.tied_embeddings) || rule.slice.index > 0) continue;
    int64_t rows = 0;
    for (const TensorRule& other : arch.tensors)
      if (other.name == rule.name && (rule.slice.of > 1 || other.role == rule.role))
        rows += config.shape({.role = other.role}).first;
    const int64_t cols = config.shape({.role = rule.role}).second;
    const bool in_blocks = is_per_layer(rule.role);
    for (int layer = in_blocks ? 0 : -1; layer < (in_blocks ? config.layers : 0); ++layer) {
      TensorKey key{.layer = layer, .role = rule.role};
      const std::string name = *tensor_name(arch, key);
      if (source.find(name)) continue;  // two roles read one norm
      source.add(name, rows, cols, draw(rows * cols, rows == 1 ? 1 : 0.5f), rows == 1 ? 1 : 2);
      if (rule.bias != Bias::always) continue;
      key.part = Part::bias;
      source.add(*tensor_name(arch, key), 1, rows, draw(rows, 0.5f), 1);
    }
  }
  return source;
}

}  // namespace halftone
