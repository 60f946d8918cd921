// From a file's names to a decoder's roles, strictly.
#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "model/finite.h"
#include "model/weights.h"

namespace halftone {
namespace {

// The configuration keys that fix a role's rows and columns, for errors.
std::pair<std::string_view, std::string_view> dimension_keys(Role role) {
  switch (role) {
    case Role::embed:
    case Role::head:
      return {"vocab_size", "hidden_size"};
    case Role::q:
      return {"num_attention_heads · head_dim", "hidden_size"};
    case Role::k:
    case Role::v:
      return {"num_key_value_heads · head_dim", "hidden_size"};
    case Role::o:
      return {"hidden_size", "num_attention_heads · head_dim"};
    case Role::gate:
    case Role::up:
      return {"intermediate_size", "hidden_size"};
    case Role::down:
      return {"hidden_size", "intermediate_size"};
    case Role::q_norm:
    case Role::k_norm:
      return {"", "head_dim"};
    default:
      return {"", "hidden_size"};
  }
}

std::string shape_text(int rank, int64_t rows, int64_t cols) {
  return rank == 1 ? fmt::format("[{}]", cols) : fmt::format("[{}, {}]", rows, cols);
}

void check_shape(const StoredTensor& stored, const TensorKey& key, int64_t rows, int64_t cols) {
  const bool vector = key.part == Part::bias ||
                      !(is_linear(key.role) || key.role == Role::embed || key.role == Role::head);
  const int rank = vector ? 1 : 2;
  if (stored.rank == rank && stored.rows == rows && stored.cols == cols) return;
  auto [row_key, col_key] = dimension_keys(key.role);
  if (key.part == Part::bias) col_key = row_key;
  const bool rows_differ = rank == 2 && stored.rows != rows;
  throw bad_input("{}: shape {}, expected {} ({})", stored.name,
                  shape_text(stored.rank, stored.rows, stored.cols), shape_text(rank, rows, cols),
                  rows_differ ? row_key : col_key)
      .hint("config.json and the weights do not belong together.");
}

void check_floating(const StoredTensor& stored) {
  constexpr std::string_view kIntegers[] = {"i64", "i32", "i16", "i8", "u8", "boolean"};
  if (std::find(std::begin(kIntegers), std::end(kIntegers), stored.encoding) == std::end(kIntegers))
    return;
  throw bad_input("{}: dtype {}, expected a floating-point type", stored.name, stored.encoding);
}

bool is_zero(const WeightSource& source, const StoredTensor& stored) {
  HostAllocator host;
  const Tensor values(host, stored.rows, stored.cols, DType::f32);
  source.read(stored.name, 0, stored.rows, values);
  for (int64_t r = 0; r < stored.rows; ++r)
    for (int64_t c = 0; c < stored.cols; ++c)
      if (values.row<float>(r)[c] != 0) return false;
  return true;
}

// Whether a linear has a bias: by the configuration, or, where that is silent, not known.
std::optional<bool> wants_bias(Bias bias, const ModelConfig& config) {
  switch (bias) {
    case Bias::none:
      return false;
    case Bias::always:
      return true;
    case Bias::attention:
      return config.attention_bias;
    case Bias::mlp:
      return config.mlp_bias;
  }
  return false;
}

const ArchSpec& arch_of(const ModelConfig& config) {
  const ArchSpec* arch = find_architecture(config.model_type);
  assert(arch && "read_config() checks the family");
  return *arch;
}

// The way of naming that the file uses: the one whose embedding is there.
const Prefix& find_prefix(const WeightSource& source, const ArchSpec& arch) {
  for (const Prefix& prefix : arch.prefixes)
    if (const auto name = tensor_name(arch, {.role = Role::embed}, prefix))
      if (source.find(*name)) return prefix;
  return arch.prefixes.front();
}

bool ends_with_any(std::string_view name, std::span<const std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

ModelTensors::ModelTensors(const WeightSource& source, const ModelConfig& config)
    : ModelTensors(source, config, arch_of(config)) {}

ModelTensors::ModelTensors(const WeightSource& source, const ModelConfig& config,
                           const ArchSpec& arch)
    : source_(source), config_(config), arch_(&arch) {
  const Prefix& prefix = find_prefix(source, arch);
  for (const TensorRule& rule : arch.tensors) claim_rule(rule, prefix);
  check_unclaimed(prefix);
}

void ModelTensors::claim_rule(const TensorRule& rule, const Prefix& prefix) {
  if (rule.role == Role::head && config_.tied_embeddings) return;
  const bool in_blocks = is_per_layer(rule.role);
  for (int layer = in_blocks ? 0 : -1; layer < (in_blocks ? config_.layers : 0); ++layer) {
    TensorKey key{.layer = layer, .role = rule.role};
    claim_weight(rule, key, *tensor_name(*arch_, key, prefix));
    key.part = Part::bias;
    if (is_linear(rule.role)) claim_bias(rule, key, *tensor_name(*arch_, key, prefix));
  }
}

void ModelTensors::claim_weight(const TensorRule& rule, const TensorKey& key,
                                const std::string& name) {
  const StoredTensor* stored = source_.find(name);
  if (!stored)
    throw bad_input("{}: missing, expected in a {} model of {} layers", name, arch_->model_type,
                    config_.layers)
        .hint("the download is incomplete, or config.json and the weights do not belong together.");
  const auto [rows, cols] = shape(key);
  int64_t all_rows = rows, before = 0;
  if (rule.slice.of > 1) {
    all_rows = 0;
    for (const TensorRule& other : arch_->tensors) {
      if (other.name != rule.name) continue;
      const int64_t other_rows = config_.shape({.role = other.role, .part = key.part}).first;
      all_rows += other_rows;
      if (other.slice.index < rule.slice.index) before += other_rows;
    }
  }
  check_floating(*stored);
  check_shape(*stored, key, all_rows, cols);
  Claim claimed{*stored, before};
  claimed.tensor.rows = rows;
  claimed.tensor.bytes = stored->bytes * rows / all_rows;
  stored_.emplace(key, std::move(claimed));
  claimed_.insert(name);
}

void ModelTensors::claim_bias(const TensorRule& rule, const TensorKey& key,
                              const std::string& name) {
  const StoredTensor* stored = source_.find(name);
  const std::optional<bool> wanted = wants_bias(rule.bias, config_);
  if (!stored && !wanted.value_or(false)) return;
  if (!stored)
    throw bad_input("{}: missing, expected in a {} model{}", name, arch_->model_type,
                    rule.bias == Bias::always ? "" : " whose configuration has biases");
  assert(rule.slice.of == 1 && "a fused tensor's bias is cut by columns: not needed yet");
  check_floating(*stored);
  const auto [rows, cols] = shape(key);
  check_shape(*stored, key, rows, cols);
  if (wanted.value_or(true)) {
    stored_.emplace(key, Claim{*stored, 0});
    claimed_.insert(name);
  } else if (is_zero(source_, *stored)) {
    claimed_.insert(name);
  }
}

void ModelTensors::check_unclaimed(const Prefix& prefix) const {
  constexpr std::string_view kRotary[] = {"rotary_emb.inv_freq", "rope_freqs.weight"};
  const auto tied_head = tensor_name(*arch_, {.role = Role::head}, prefix);
  for (const StoredTensor& stored : source_.tensors()) {
    const std::string_view name = stored.name;
    if (claimed_.contains(name) || ends_with_any(name, kRotary)) continue;
    if (config_.tied_embeddings && name == tied_head) continue;
    if (std::any_of(arch_->ignored.begin(), arch_->ignored.end(),
                    [&](std::string_view start) { return name.starts_with(start); }))
      continue;
    throw bad_input("{}: not a tensor of a {} model of {} layers", name, arch_->model_type,
                    config_.layers)
        .hint(
            "a result that leaves out a stored tensor would be wrong: config.json and the "
            "weights do not belong together, or the model has a part that is not known here.");
  }
}

const ModelTensors::Claim& ModelTensors::claim(const TensorKey& key) const {
  const auto found = stored_.find(key);
  if (found == stored_.end())
    throw internal_error("{} of layer {}: the model has no such tensor", name_of(key.role),
                         key.layer);
  return found->second;
}

const StoredTensor& ModelTensors::stored(const TensorKey& key) const { return claim(key).tensor; }

std::string ModelTensors::name(const TensorKey& key) const { return claim(key).tensor.name; }

std::pair<int64_t, int64_t> ModelTensors::shape(const TensorKey& key) const {
  return config_.shape(key);
}

std::vector<TensorKey> ModelTensors::keys() const {
  std::vector<TensorKey> first, blocks, last;
  for (const auto& [key, claimed] : stored_)
    (key.layer >= 0 ? blocks : key.role == Role::embed ? first : last).push_back(key);
  first.insert(first.end(), blocks.begin(), blocks.end());
  first.insert(first.end(), last.begin(), last.end());
  return first;
}

void ModelTensors::read(const TensorKey& key, View out) const {
  read(key, 0, stored(key).rows, out);
}

void ModelTensors::read(const TensorKey& key, int64_t row_begin, int64_t row_end, View out) const {
  const Claim& claimed = claim(key);
  source_.read(claimed.tensor.name, claimed.row_begin + row_begin, claimed.row_begin + row_end,
               out);
  check_finite(key, row_begin, out);
}

std::optional<ConstView> ModelTensors::mapped(const TensorKey& key) const {
  const Claim& claimed = claim(key);
  const auto whole = source_.mapped(claimed.tensor.name);
  if (!whole) return std::nullopt;
  return whole->rows_of(claimed.row_begin, claimed.row_begin + claimed.tensor.rows);
}

void ModelTensors::check_finite(const TensorKey& key, int64_t row_begin, ConstView rows) const {
  halftone::check_finite(stored(key).name, row_begin, rows);
}

}  // namespace halftone
