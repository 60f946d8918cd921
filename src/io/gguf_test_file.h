// For tests: GGUF files written field by field, whole or wrong on purpose.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halftone {

// Little-endian bytes, one field after the other.
class GgufBytes {
 public:
  template <class T>
  GgufBytes& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  GgufBytes& text(std::string_view value) {
    number<uint64_t>(value.size());
    bytes_ += value;
    return *this;
  }
  GgufBytes& raw(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

// Not synced, as write_file_atomically is: tests write thousands.
inline void write_test_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// What a test may get wrong is a public field.
struct GgufTestFile {
  struct Tensor {
    std::string name;
    std::vector<int64_t> dimensions;  // innermost first, as in the file
    uint32_t type = 0;
    std::string data;
    std::optional<uint64_t> offset;  // absent: after the tensor before it
  };
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<int64_t> key_count, tensor_count;  // absent: what is there
  std::vector<std::string> keys;                   // encoded
  std::vector<Tensor> tensors;
  uint64_t alignment = 32;

  // `value` is the encoded value, type first.
  GgufTestFile& key(std::string_view name, const GgufBytes& value) {
    keys.push_back(GgufBytes().text(name).raw(value.str()).str());
    return *this;
  }
  GgufTestFile& u32(std::string_view name, uint32_t value) {
    return key(name, GgufBytes().number<uint32_t>(4).number(value));
  }
  GgufTestFile& f32(std::string_view name, float value) {
    return key(name, GgufBytes().number<uint32_t>(6).number(value));
  }
  GgufTestFile& text(std::string_view name, std::string_view value) {
    return key(name, GgufBytes().number<uint32_t>(8).text(value));
  }
  GgufTestFile& texts(std::string_view name, const std::vector<std::string>& values) {
    GgufBytes bytes;
    bytes.number<uint32_t>(9).number<uint32_t>(8).number<uint64_t>(values.size());
    for (const std::string& value : values) bytes.text(value);
    return key(name, bytes);
  }
  template <class T>
  GgufTestFile& numbers(std::string_view name, uint32_t type, const std::vector<T>& values) {
    GgufBytes bytes;
    bytes.number<uint32_t>(9).number<uint32_t>(type).number<uint64_t>(values.size());
    for (const T& value : values) bytes.number(value);
    return key(name, bytes);
  }
  GgufTestFile& tensor(std::string name, std::vector<int64_t> dimensions,
                       const std::vector<float>& values) {
    std::string data(values.size() * sizeof(float), '\0');
    std::memcpy(data.data(), values.data(), data.size());
    tensors.push_back({std::move(name), std::move(dimensions), 0, std::move(data), {}});
    return *this;
  }

  std::string bytes() const {
    GgufBytes out;
    out.raw(magic).number(version);
    out.number(tensor_count.value_or(static_cast<int64_t>(tensors.size())));
    out.number(key_count.value_or(static_cast<int64_t>(keys.size())));
    for (const std::string& encoded : keys) out.raw(encoded);
    uint64_t offset = 0;
    std::string data;
    for (const Tensor& tensor : tensors) {
      out.text(tensor.name).number(static_cast<uint32_t>(tensor.dimensions.size()));
      for (const int64_t size : tensor.dimensions) out.number(size);
      out.number(tensor.type).number(tensor.offset.value_or(offset));
      data += tensor.data;
      while (data.size() % alignment != 0) data += '\0';
      offset = data.size();
    }
    std::string file = out.str();
    while (!tensors.empty() && file.size() % alignment != 0) file += '\0';
    return file + data;
  }
};

// A model of one layer, 32 wide, two heads of 16, one key-value head, four tokens; every family's
// tensors, f32, where value i of a tensor is base + i/1000.
inline GgufTestFile tiny_gguf(const std::string& architecture) {
  GgufTestFile file;
  const std::string prefix = architecture + ".";
  file.text("general.architecture", architecture);
  file.u32(prefix + "embedding_length", 32).u32(prefix + "block_count", 1);
  file.u32(prefix + "feed_forward_length", 64).u32(prefix + "context_length", 128);
  file.u32(prefix + "attention.head_count", 2).u32(prefix + "attention.head_count_kv", 1);
  file.f32(prefix + "attention.layer_norm_rms_epsilon", 1e-6f);
  file.f32(prefix + "rope.freq_base", 10000);
  file.text("tokenizer.ggml.model", "gpt2");
  file.texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<eos>"});
  file.numbers<int32_t>("tokenizer.ggml.token_type", 5, {1, 1, 1, 3});
  file.numbers<float>("tokenizer.ggml.scores", 6, {0, 0, -1, 0});
  file.texts("tokenizer.ggml.merges", {"a b"});
  file.u32("tokenizer.ggml.eos_token_id", 3);
  const auto add = [&](const std::string& name, std::vector<int64_t> dimensions, float base) {
    int64_t count = 1;
    for (const int64_t size : dimensions) count *= size;
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(base + static_cast<float>(i) / 1000);
    file.tensor(name, std::move(dimensions), values);
  };
  add("token_embd.weight", {32, 4}, 0);
  add("output_norm.weight", {32}, 1);
  add("blk.0.attn_norm.weight", {32}, 1);
  add("blk.0.attn_q.weight", {32, 32}, 0);
  add("blk.0.attn_k.weight", {32, 16}, 0);
  add("blk.0.attn_v.weight", {32, 16}, 0);
  add("blk.0.attn_output.weight", {32, 32}, 0);
  add("blk.0.ffn_norm.weight", {32}, 1);
  add("blk.0.ffn_gate.weight", {32, 64}, 0);
  add("blk.0.ffn_up.weight", {32, 64}, 0);
  add("blk.0.ffn_down.weight", {64, 32}, 0);
  if (architecture == "qwen2") add("blk.0.attn_q.bias", {32}, 0);
  if (architecture == "gemma3") add("blk.0.post_attention_norm.weight", {32}, 1);
  return file;
}

}  // namespace halftone
