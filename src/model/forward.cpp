// Every family's forward pass: pre-norm blocks of grouped-query attention (2305.13245) with rotary
// positions (2104.09864) and a gated MLP (2002.05202), normed after as well where the family does
// (gemma).
#include "model/forward.h"

#include <cassert>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"

namespace halftone {
namespace {

std::span<const Role> roles_of(Stage stage) {
  static constexpr Role kAttnIn[] = {Role::q, Role::k, Role::v};
  static constexpr Role kAttnOut[] = {Role::o};
  static constexpr Role kMlpIn[] = {Role::gate, Role::up};
  static constexpr Role kMlpOut[] = {Role::down};
  static constexpr Role kHead[] = {Role::head};
  switch (stage) {
    case Stage::attn_in:
      return kAttnIn;
    case Stage::attn_out:
      return kAttnOut;
    case Stage::mlp_in:
      return kMlpIn;
    case Stage::mlp_out:
      return kMlpOut;
    case Stage::head:
      return kHead;
  }
  return {};
}

Tensor upload_frequencies(Backend& backend, const RopeTable& table) {
  const auto count = static_cast<int64_t>(table.frequencies.size());
  Tensor device = backend.allocate(1, count, DType::f32);
  backend.upload({.data = table.frequencies.data(), .rows = 1, .cols = count, .ld = count}, device);
  return device;
}

// Queries and keys that meet: what attention's operations are counted by.
double attended_pairs(std::span<const Sequence> sequences, int window) {
  double pairs = 0;
  for (const Sequence& sequence : sequences)
    for (int64_t i = 0; i < sequence.q_count; ++i) {
      const int64_t seen = sequence.kv_count - sequence.q_count + i + 1;
      pairs += static_cast<double>(window > 0 ? std::min<int64_t>(seen, window) : seen);
    }
  return pairs;
}

// The batch's own rows as keys and values, or, with a cache, all that it will hold of each
// sequence.
std::vector<Sequence> sequences_of(const Batch& batch) {
  std::vector<Sequence> sequences;
  for (size_t s = 0; s + 1 < batch.starts.size(); ++s) {
    const int64_t begin = batch.starts[s], count = batch.starts[s + 1] - begin;
    Sequence sequence{begin, count, begin, count};
    if (batch.cache) {
      const auto index = static_cast<int64_t>(s);
      sequence.kv_begin = index * batch.cache->capacity();
      sequence.kv_count = batch.cache->length(index) + count;
      if (sequence.kv_count > batch.cache->capacity())
        throw bad_input("a sequence of {} tokens: the cache holds {}", sequence.kv_count,
                        batch.cache->capacity());
    }
    sequences.push_back(sequence);
  }
  return sequences;
}

// The output of one linear among those of a stage: `width` columns, of which `begin` lie before it.
template <class AnyView>
AnyView part_of(AnyView outputs, int64_t begin, int64_t width) {
  assert(outputs.ld == outputs.cols);
  using Byte = std::conditional_t<std::is_same_v<AnyView, View>, std::byte, const std::byte>;
  const auto offset = outputs.rows * begin * static_cast<int64_t>(size_of(outputs.dtype));
  outputs.data = static_cast<Byte*>(outputs.data) + offset;
  outputs.cols = outputs.ld = width;
  return outputs;
}

// Read and written, for the profile.
template <class... Views>
double bytes_of(const Views&... views) {
  return static_cast<double>((views.bytes() + ...));
}

}  // namespace

Batch make_batch(std::span<const int32_t> ids, int64_t length) {
  const auto tokens = static_cast<int64_t>(ids.size());
  assert(length > 0 && tokens % length == 0);
  Batch batch;
  batch.ids.assign(ids.begin(), ids.end());
  for (int64_t start = 0; start <= tokens; start += length) batch.starts.push_back(start);
  for (int64_t row = 0; row < tokens; ++row)
    batch.positions.push_back(static_cast<int32_t>(row % length));
  batch.logit_rows.resize(ids.size());
  std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
  return batch;
}

Batch make_batch(std::span<const std::span<const int32_t>> sequences) {
  Batch batch;
  batch.starts.push_back(0);
  for (const std::span<const int32_t> sequence : sequences) {
    batch.ids.insert(batch.ids.end(), sequence.begin(), sequence.end());
    for (size_t i = 0; i < sequence.size(); ++i) batch.positions.push_back(static_cast<int32_t>(i));
    batch.starts.push_back(batch.tokens());
  }
  batch.logit_rows.resize(batch.ids.size());
  std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
  return batch;
}

int64_t batch_tokens(const Backend& backend, const ModelConfig& config) {
  constexpr int64_t kWide = 40'000;
  const bool wide = config.shape({.layer = 0, .role = Role::down}).second > kWide;
  return backend.info().batch_tokens / (wide ? 2 : 1);
}

Forward::Forward(Backend& backend, const ModelTensors& tensors, WeightProvider& weights,
                 DType compute)
    : backend_(backend),
      tensors_(tensors),
      config_(tensors.config()),
      weights_(weights),
      compute_(compute) {
  const RopeTable table = rope_table(config_.rope, config_.head_dim);
  const RopeTable local = rope_table(config_.local_rope, config_.head_dim);
  frequencies_ = upload_frequencies(backend_, table);
  local_frequencies_ = upload_frequencies(backend_, local);
  magnitude_ = table.magnitude;
  local_magnitude_ = local.magnitude;
}

int64_t Forward::input_width(Stage stage) const {
  return config_.shape({.role = roles_of(stage).front()}).second;
}

int64_t Forward::output_width(Stage stage) const {
  int64_t width = 0;
  for (const Role role : roles_of(stage)) width += config_.shape({.role = role}).first;
  return width;
}

View Forward::scratch(Scratch slot, int64_t rows, int64_t cols, DType dtype) {
  Tensor& memory = scratch_[slot];
  if (memory.dtype() != dtype || memory.rows() * memory.cols() < rows * cols) {
    memory = Tensor();
    memory = backend_.allocate(rows, cols, dtype);
  }
  View view = memory;
  view.rows = rows;
  view.cols = view.ld = cols;
  return view;
}

bool Forward::parallel() const { return tensors_.arch().wiring == Wiring::parallel; }

void Forward::release_scratch() {
  for (Tensor& memory : scratch_) memory = Tensor();
}

void Forward::embed(const Batch& batch, View residual) {
  const ProfileScope scope(profile_, "embed", 0, bytes_of(residual, residual));
  const EmbeddingView view = weights_.embedding(batch.ids);
  backend_.embed(view.ids, view.table, static_cast<float>(config_.embed_scale), residual);
}

void Forward::normalize(const TensorKey& gain, ConstView x, View y, bool weighed) {
  const ProfileScope scope(profile_, "norm", 0, bytes_of(x, y));
  NormSpec spec = config_.norm;
  spec.weighed = weighed;
  backend_.norm(x, weights_.vector(gain), spec, y);
}

void Forward::weighed_input(const StageId& id, ConstView residual, View x) {
  assert(id.stage == Stage::attn_in || id.stage == Stage::mlp_in);
  assert(x.rows == residual.rows && x.cols == input_width(id.stage));
  const Role gain = id.stage == Stage::attn_in ? Role::attn_norm : Role::mlp_norm;
  normalize({.layer = id.layer, .role = gain}, residual, x, true);
}

void Forward::stage_input(const StageId& id, const Batch& batch, ConstView residual,
                          ConstView previous, View x) {
  assert(x.rows == batch.tokens() && x.cols == input_width(id.stage));
  switch (id.stage) {
    case Stage::attn_in:
      normalize({.layer = id.layer, .role = Role::attn_norm}, residual, x);
      break;
    case Stage::attn_out:
      attention_input(id.layer, batch, previous, x);
      break;
    case Stage::mlp_in:
      normalize({.layer = id.layer, .role = Role::mlp_norm}, residual, x);
      break;
    case Stage::mlp_out: {
      const ProfileScope scope(profile_, "activation", 0, bytes_of(previous, x));
      const int64_t width = previous.cols / 2;
      backend_.gated_activation(part_of(previous, 0, width), part_of(previous, width, width),
                                config_.activation, x);
      break;
    }
    case Stage::head:
      normalize({.role = Role::final_norm}, residual, x);
      break;
  }
}

void Forward::rotate(const TensorKey& gain, const Batch& batch, ConstView x, View out) {
  const int64_t heads = out.cols / config_.head_dim;
  ConstView input = x;
  if (const ConstView values = weights_.vector(gain); !values.empty()) {
    const ProfileScope scope(profile_, "norm", 0, bytes_of(x, out, out, out));
    backend_.copy(x, out);
    const View by_head = out.split_rows(heads);
    backend_.norm(by_head, values, config_.norm, by_head);
    input = out;
  }
  const ProfileScope scope(profile_, "rope", 0, bytes_of(input, out));
  const bool local = config_.window[static_cast<size_t>(gain.layer)] > 0;
  backend_.rope(input, batch.positions, local ? local_frequencies_ : frequencies_,
                {.heads = static_cast<int>(heads),
                 .head_dim = static_cast<int>(config_.head_dim),
                 .magnitude = local ? local_magnitude_ : magnitude_},
                out);
}

AttentionSpec Forward::attention_spec(int layer) const {
  return {.heads = static_cast<int>(config_.heads),
          .kv_heads = static_cast<int>(config_.kv_heads),
          .head_dim = static_cast<int>(config_.head_dim),
          .scale = static_cast<float>(config_.attn_scale),
          .window = config_.window[static_cast<size_t>(layer)],
          .softcap = static_cast<float>(config_.attn_softcap)};
}

void Forward::attention_input(int layer, const Batch& batch, ConstView previous, View x) {
  const int64_t q_width = config_.heads * config_.head_dim;
  const int64_t kv_width = config_.kv_heads * config_.head_dim;
  const int64_t tokens = batch.tokens();
  KvCache* cache = batch.cache;
  const DType dtype = cache ? cache->dtype() : previous.dtype;
  const View q = scratch(kQuery, tokens, q_width, dtype);
  const View k = scratch(kKey, tokens, kv_width, dtype);
  rotate({.layer = layer, .role = Role::q_norm}, batch, part_of(previous, 0, q_width), q);
  rotate({.layer = layer, .role = Role::k_norm}, batch, part_of(previous, q_width, kv_width), k);
  const ConstView v = part_of(previous, q_width + kv_width, kv_width);

  const std::vector<Sequence> sequences = sequences_of(batch);
  const AttentionSpec spec = attention_spec(layer);
  const ProfileScope scope(profile_, "attention",
                           4.0 * static_cast<double>(config_.head_dim * config_.heads) *
                               attended_pairs(sequences, spec.window));
  if (!cache) return backend_.attention(q, k, v, sequences, spec, x);
  for (const Sequence& sequence : sequences) {
    const int64_t begin = sequence.q_begin, end = begin + sequence.q_count;
    const int64_t last = sequence.kv_begin + sequence.kv_count, first = last - sequence.q_count;
    backend_.copy(ConstView(k).rows_of(begin, end), cache->keys(layer).rows_of(first, last));
    backend_.copy(v.rows_of(begin, end), cache->values(layer).rows_of(first, last));
  }
  backend_.attention(q, cache->keys(layer), cache->values(layer), sequences, spec, x);
}

void Forward::stage_linears(const StageId& id, ConstView x, View y) {
  assert(y.rows == x.rows && y.cols == output_width(id.stage));
  int64_t begin = 0;
  for (const Role role : roles_of(id.stage)) {
    const TensorKey key{.layer = id.layer, .role = role, .expert = id.expert};
    const WeightProvider::Lease lease = [&] {
      const ProfileScope scope(profile_, "load weights");
      return weights_.linear(key);
    }();
    const Weight& weight = *lease->weight;
    const ProfileScope scope(profile_, "linear",
                             2.0 * static_cast<double>(x.rows * weight.rows * weight.cols));
    backend_.linear(x, weight, lease->bias, part_of(y, begin, weight.rows));
    begin += weight.rows;
  }
}

void Forward::join(const StageId& id, ConstView y, ConstView residual, View out) {
  const Role role = id.stage == Stage::attn_out ? Role::post_attn_norm : Role::post_mlp_norm;
  const TensorKey gain{.layer = id.layer, .role = role};
  if (!weights_.vector(gain).empty()) {
    const View normed = scratch(kNormed, y.rows, y.cols, DType::f32);
    normalize(gain, y, normed);
    y = normed;
  }
  const ProfileScope scope(profile_, "add", 0, bytes_of(residual, y, out));
  backend_.add(residual, y, out);
}

void Forward::block(int layer, const Batch& batch, ConstView residual_in, View residual_out,
                    const StageTap& tap) {
  assert(residual_in.data != residual_out.data);
  const int64_t tokens = batch.tokens();
  const auto input = [&](Stage stage) {
    return scratch(kInput, tokens, input_width(stage), compute_);
  };
  const auto output = [&](Stage stage) {
    return scratch(kOutput, tokens, output_width(stage), compute_);
  };
  // A branch's result joins the residual in f32, whatever the products are in.
  const View result = scratch(kResult, tokens, config_.hidden, DType::f32);
  const auto run = [&](Stage stage, ConstView residual, ConstView previous, View y) {
    const StageId id{.layer = layer, .stage = stage};
    const View x = input(stage);
    stage_input(id, batch, residual, previous, x);
    if (tap) tap(id, residual, x);
    stage_linears(id, x, y);
    return y;
  };

  View y = run(Stage::attn_in, residual_in, {}, output(Stage::attn_in));
  run(Stage::attn_out, residual_in, y, result);
  join({.layer = layer, .stage = Stage::attn_out}, result, residual_in, residual_out);
  y = run(Stage::mlp_in, parallel() ? residual_in : ConstView(residual_out), {},
          output(Stage::mlp_in));
  run(Stage::mlp_out, residual_out, y, result);
  join({.layer = layer, .stage = Stage::mlp_out}, result, residual_out, residual_out);
}

void Forward::logits(const Batch& batch, ConstView residual, View out) {
  logits_of(batch.logit_rows, residual, out);
}

void Forward::logits_of(std::span<const int64_t> rows, ConstView residual, View out) {
  const auto count = static_cast<int64_t>(rows.size());
  assert(out.rows == count && out.cols == config_.vocab);
  if (count == 0) return;
  // embed() gathers rows of any table.
  const View chosen = scratch(kResult, count, config_.hidden, DType::f32);
  backend_.embed(std::vector<int32_t>(rows.begin(), rows.end()), residual, 1, chosen);
  const View x = scratch(kInput, count, config_.hidden, compute_);
  normalize({.role = Role::final_norm}, chosen, x);
  const WeightProvider::Lease lease = weights_.linear({.role = Role::head});
  const ProfileScope scope(profile_, "head",
                           2.0 * static_cast<double>(count * config_.vocab * config_.hidden));
  backend_.linear(x, *lease->weight, lease->bias, out);
  if (config_.final_softcap > 0) backend_.softcap(out, static_cast<float>(config_.final_softcap));
}

Tensor Forward::run(const Batch& batch) {
  const int64_t tokens = batch.tokens();
  Tensor residual = backend_.allocate(tokens, config_.hidden, DType::f32);
  Tensor next = backend_.allocate(tokens, config_.hidden, DType::f32);
  embed(batch, residual);
  for (int layer = 0; layer < config_.layers; ++layer) {
    throw_if_interrupted();
    block(layer, batch, residual, next);
    std::swap(residual, next);
  }
  if (batch.cache)
    for (size_t s = 0; s + 1 < batch.starts.size(); ++s)
      batch.cache->advance(static_cast<int64_t>(s), batch.starts[s + 1] - batch.starts[s]);
  return residual;
}

}  // namespace halftone
