// Weights as fast as memory takes them: each is looked up in a small table of normal numbers, by
// twelve bits of a counter-based generator.
#include "apps/synthetic_model.h"

#include <fcntl.h>

#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/file_descriptor.h"
#include "base/half.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "io/safetensors.h"
#include "model/arch_table.h"
#include "model/config.h"
#include "text/unicode.h"

namespace halftone {
namespace {

// As models are initialized; but the embedding is wide, and what joins the residual narrow (as
// GPT-2's projections are, for 32 layers). Tokens then stay as different from each other as those
// of real models, where averages over all positions would else make them alike.
constexpr double kDeviation = .02, kJoining = .02 / 8, kEmbedding = 1;
constexpr float kOutlier = 20;
constexpr int64_t kOutlierEvery = 500, kFirstOutlier = 7;
constexpr int64_t kChunk = int64_t{1} << 20;        // weights that one thread fills at a time
constexpr int64_t kBatchBytes = int64_t{4} << 30;   // in memory at a time, or one tensor
constexpr int kIndexBits = 12, kIndexesEach = 5;    // of a number of the generator
constexpr size_t kTable = size_t{1} << kIndexBits;  // 8 kB: within the first cache

struct SyntheticTensor {
  TensorKey key;
  std::string name;
  int64_t rows = 0, cols = 0;
  uint64_t seed = 0;
  int64_t count() const { return rows * cols; }
  int64_t bytes() const { return count() * static_cast<int64_t>(sizeof(bf16)); }
};

ModelConfig parse(const Json& config) {
  Metadata metadata;
  metadata.origin = "the shape's config.json";
  metadata.config = config;
  return read_config(metadata);
}

bool has_bias(const TensorRule& rule, const ModelConfig& config) {
  return rule.bias == Bias::always ||
         (rule.bias == Bias::attention && config.attention_bias.value_or(false)) ||
         (rule.bias == Bias::mlp && config.mlp_bias.value_or(false));
}

std::vector<SyntheticTensor> tensors_of(const ModelConfig& config) {
  const ArchSpec& arch = *find_architecture(config.model_type);
  std::vector<SyntheticTensor> tensors;
  const auto add = [&](const TensorKey& key) {
    const auto [rows, cols] = config.shape(key);
    tensors.push_back({key, *tensor_name(arch, key), rows, cols, tensors.size()});
  };
  for (const TensorRule& rule : arch.tensors) {
    if (rule.role == Role::head && config.tied_embeddings) continue;
    const bool per_layer = is_per_layer(rule.role);
    for (int layer = per_layer ? 0 : -1; layer < (per_layer ? config.layers : 0); ++layer) {
      add({.layer = layer, .role = rule.role});
      if (has_bias(rule, config)) add({.layer = layer, .role = rule.role, .part = Part::bias});
    }
  }
  return tensors;
}

double deviation_of(Role role) {
  if (role == Role::embed) return kEmbedding;
  return role == Role::o || role == Role::down ? kJoining : kDeviation;
}

using Table = std::array<bf16, kTable>;

// Box and Muller's normal numbers, each with its negative: a mean of a few thousandths would be the
// same in all matrices, and the direction that they share would outgrow all others layer by layer.
Table normal_table(double deviation) {
  Table table;
  Rng rng(0);
  for (size_t i = 0; i < kTable; i += 2) {
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
    table[i] = to_bf16(static_cast<float>(deviation * normal));
    table[i + 1] = to_bf16(static_cast<float>(-deviation * normal));
  }
  return table;
}

void fill_weights(const SyntheticTensor& tensor, const Table& table, std::span<bf16> out,
                  ThreadPool& threads) {
  threads.parallel_for(tensor.count(), kChunk, [&](int64_t begin, int64_t end) {
    Rng rng(Rng(tensor.seed << 32 ^ static_cast<uint64_t>(begin / kChunk)).next());
    uint64_t bits = 0;
    int left = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (left-- == 0) {
        bits = rng.next();
        left = kIndexesEach - 1;
      }
      out[static_cast<size_t>(i)] = table[bits & (kTable - 1)];
      bits >>= kIndexBits;
    }
  });
}

bool is_outlier(int64_t channel) { return channel % kOutlierEvery == kFirstOutlier; }

// What reads a norm's output takes as much less of its outliers, as trained weights do. Else a few
// channels would decide what all tokens become, and deep layers' Hessians would be of low rank.
void shrink_outliers(const SyntheticTensor& tensor, std::span<bf16> weights) {
  const Stage stage = stage_of(tensor.key.role);
  if (stage != Stage::attn_in && stage != Stage::mlp_in) return;
  for (int64_t col = kFirstOutlier; col < tensor.cols; col += kOutlierEvery)
    for (int64_t row = 0; row < tensor.rows; ++row) {
      bf16& weight = weights[static_cast<size_t>(row * tensor.cols + col)];
      weight = to_bf16(to_float(weight) / kOutlier);
    }
}

void fill_gain(const SyntheticTensor& tensor, float offset, std::span<bf16> out) {
  const Role role = tensor.key.role;
  const bool before_linears = role == Role::attn_norm || role == Role::mlp_norm;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const bool outlier = before_linears && is_outlier(i);
    out[static_cast<size_t>(i)] = to_bf16((outlier ? kOutlier : 1) - offset);
  }
}

bool is_gain(const SyntheticTensor& tensor) {
  const Role role = tensor.key.role;
  return !is_linear(role) && role != Role::embed && role != Role::head;
}

std::vector<int64_t> shape_of(const SyntheticTensor& tensor) {
  if (is_gain(tensor) || tensor.key.part == Part::bias) return {tensor.cols};
  return {tensor.rows, tensor.cols};
}

}  // namespace

int64_t synthetic_bytes(const Json& config) {
  int64_t bytes = 0;
  for (const SyntheticTensor& tensor : tensors_of(parse(config))) bytes += tensor.bytes();
  return bytes;
}

int64_t layers_of(const Json& config) { return parse(config).layers; }

void write_synthetic_model(const Json& json, const std::string& directory, ThreadPool& threads,
                           bool quiet) {
  const ModelConfig config = parse(json);
  const std::vector<SyntheticTensor> tensors = tensors_of(config);
  std::vector<TensorPlan> plan;
  for (const SyntheticTensor& tensor : tensors)
    plan.push_back({tensor.name, "BF16", shape_of(tensor), tensor.bytes()});
  SafetensorsWriter writer(directory, plan);
  std::map<double, Table> tables;
  for (const double deviation : {kDeviation, kJoining, kEmbedding})
    tables.emplace(deviation, normal_table(deviation));
  Progress progress("Writing weights", static_cast<double>(tensors.size()), quiet);
  HostAllocator host;
  for (size_t begin = 0, end = 0; begin < tensors.size(); begin = end) {
    throw_if_interrupted();
    std::vector<Tensor> values;
    for (int64_t bytes = 0; end < tensors.size(); ++end) {
      const SyntheticTensor& tensor = tensors[end];
      bytes += tensor.bytes();
      if (end > begin && bytes > kBatchBytes) break;
      const Tensor& out = values.emplace_back(host, 1, tensor.count(), DType::bf16);
      const std::span<bf16> all(out.row<bf16>(0), static_cast<size_t>(tensor.count()));
      if (is_gain(tensor))
        fill_gain(tensor, config.norm.gain_offset, all);
      else
        fill_weights(tensor, tables.at(deviation_of(tensor.key.role)), all, threads);
      if (is_linear(tensor.key.role) && tensor.key.part == Part::weight)
        shrink_outliers(tensor, all);
    }
    // The writer has a place for each tensor: several go to theirs at once.
    threads.parallel_for(static_cast<int64_t>(end - begin), 1, [&](int64_t i, int64_t) {
      const Tensor& out = values[static_cast<size_t>(i)];
      const SyntheticTensor& tensor = tensors[begin + static_cast<size_t>(i)];
      writer.write(tensor.name, {static_cast<const std::byte*>(out.view().data),
                                 static_cast<size_t>(tensor.bytes())});
    });
    progress.update(static_cast<double>(end), tensors[end - 1].name);
  }
  writer.finish();
  progress.finish();
  write_file_atomically(directory + "/config.json", json.dump(2) + "\n");
}

void write_synthetic_outline(const Json& json, const std::string& directory) {
  Json header = Json::object();
  int64_t at = 0;
  for (const SyntheticTensor& tensor : tensors_of(parse(json))) {
    header[tensor.name] = {{"dtype", "BF16"},
                           {"shape", shape_of(tensor)},
                           {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  const FileDescriptor file(directory + "/model.safetensors", O_RDWR | O_CREAT | O_TRUNC);
  file.write_at(0, std::as_bytes(std::span(&length, 1)));
  file.write_at(sizeof length, std::as_bytes(std::span(text)));
  file.truncate(static_cast<int64_t>(sizeof length + text.size()) + at);
  write_file_atomically(directory + "/config.json", json.dump(2) + "\n");
}

void write_synthetic_tokenizer(const Json& config, const std::string& directory) {
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", true}};
  const int64_t vocab = parse(config).vocab;
  nlohmann::json tokens = nlohmann::json::object();  // Json would look through all for each
  for (int64_t id = 0; id < vocab; ++id)
    tokens[id < 256 ? to_utf8(byte_to_character(static_cast<uint8_t>(id)))
                    : "<" + std::to_string(id) + ">"] = id;
  const Json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", bytes},
      {"post_processor", nullptr},
      {"decoder", bytes},
      {"model", {{"type", "BPE"}, {"vocab", Json(tokens)}, {"merges", Json::array()}}}};
  write_file_atomically(directory + "/tokenizer.json", tokenizer.dump());
}

}  // namespace halftone
