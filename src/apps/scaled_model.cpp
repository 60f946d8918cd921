#include "apps/scaled_model.h"

#include <fmt/core.h>

#include <cmath>
#include <map>
#include <utility>

#include "base/half.h"
#include "format/dense_tensors.h"
#include "model/producer.h"
#include "tensor/changed_source.h"

namespace halftone {
namespace {

float round_as(DType dtype, float value) {
  if (dtype == DType::bf16) return to_float(to_bf16(value));
  if (dtype == DType::f16) return to_float(to_f16(value));
  return value;
}

// How a norm's gain is stored: its effect is that of value + offset.
struct GainStore {
  float offset = 0;
  DType dtype = DType::f32;  // in the output

  GainStore(const OpenedModel& model, const TensorKey& key)
      : offset(model.config().norm.gain_offset),
        dtype(dense_type(*model.checkpoint, *model.source, model.tensors->stored(key))) {}
  // What is stored to have 1 / factor of the effect of `value`.
  float divided(float value, float factor) const {
    return round_as(dtype, (value + offset) / factor - offset);
  }
};

std::vector<float> read_vector(const OpenedModel& model, const TensorKey& key) {
  std::vector<float> values(static_cast<size_t>(model.tensors->shape(key).second));
  const auto count = static_cast<int64_t>(values.size());
  model.tensors->read(key, View{values.data(), 1, count, count, DType::f32, Place::host});
  return values;
}

// The first row of a weight in its file's tensor: not 0 when that is fused.
int64_t first_row(const ModelTensors& tensors, const TensorKey& key) {
  const TensorRule& rule = *find_rule(tensors.arch(), key.role);
  int64_t first = 0;
  for (const TensorRule& other : tensors.arch().tensors)
    if (other.name == rule.name && other.slice.index < rule.slice.index)
      first += tensors.config().shape({.role = other.role, .part = key.part}).first;
  return first;
}

// Changes of whole tensors by their keys.
class ModelChanger {
 public:
  ModelChanger(const ModelTensors& tensors, ChangedSource& source)
      : tensors_(tensors), source_(source) {}

  void multiply_columns(const TensorKey& key, const std::vector<float>& factors) {
    change(key, [factors](int64_t, View rows) {
      for (int64_t row = 0; row < rows.rows; ++row)
        for (int64_t col = 0; col < rows.cols; ++col)
          rows.row<float>(row)[col] *= factors[static_cast<size_t>(col)];
    });
  }
  void divide_rows(const TensorKey& key, const std::vector<float>& factors) {
    change(key, [factors, first = first_row(tensors_, key)](int64_t begin, View rows) {
      for (int64_t row = 0; row < rows.rows; ++row)
        for (int64_t col = 0; col < rows.cols; ++col)
          rows.row<float>(row)[col] /= factors[static_cast<size_t>(begin - first + row)];
    });
  }
  // A vector's elements become map(element, factor).
  template <class Map>
  void map_vector(const TensorKey& key, const std::vector<float>& factors, Map map) {
    change(key, [factors, map](int64_t, View row) {
      for (int64_t col = 0; col < row.cols; ++col)
        row.row<float>(0)[col] = map(row.row<float>(0)[col], factors[static_cast<size_t>(col)]);
    });
  }

 private:
  void change(const TensorKey& key, ChangedSource::Change change) {
    const int64_t begin = first_row(tensors_, key), rows = tensors_.shape(key).first;
    source_.change(tensors_.name(key), begin, begin + rows, std::move(change));
  }

  const ModelTensors& tensors_;
  ChangedSource& source_;
};

// Of each of the producer's channels: inputs that share one have the same factor.
std::vector<float> producer_factors(const Producer& producer, const std::vector<float>& factors,
                                    int64_t channels) {
  std::vector<float> of_channels(static_cast<size_t>(channels), 1);
  for (size_t i = 0; i < factors.size(); ++i)
    of_channels[static_cast<size_t>(producer.channel_of[i])] = factors[i];
  return of_channels;
}

void divide_producer(const OpenedModel& model, const Producer& producer,
                     const std::vector<float>& factors, ModelChanger& changer) {
  TensorKey key = producer.key;
  if (!is_linear(key.role)) {
    changer.map_vector(key, factors, [gain = GainStore(model, key)](float value, float factor) {
      return gain.divided(value, factor);
    });
    return;
  }
  const std::vector<float> channels =
      producer_factors(producer, factors, model.tensors->shape(key).first);
  changer.divide_rows(key, channels);
  key.part = Part::bias;
  if (model.tensors->has(key))
    changer.map_vector(key, channels, [](float value, float factor) { return value / factor; });
}

}  // namespace

void make_exact(const OpenedModel& model, StageScales& stage) {
  constexpr float kMost = 2;  // that rounding may change a factor: a gain near 0 keeps its own
  const auto producer = producer_of(*model.tensors, stage.id);
  std::vector<float>& factors = stage.scales.factors;
  if (factors.empty() || !producer || is_linear(producer->key.role)) return;
  const GainStore gain(model, producer->key);
  const std::vector<float> values = read_vector(model, producer->key);
  for (size_t i = 0; i < factors.size(); ++i) {
    const float after = gain.divided(values[i], factors[i]) + gain.offset;
    const float exact = (values[i] + gain.offset) / after;
    const bool close = exact > factors[i] / kMost && exact < factors[i] * kMost;  // false for NaN
    factors[i] = close ? exact : 1;
  }
}

std::string scaling_text(const std::vector<StageScales>& stages) {
  size_t scaled = 0;
  double log_ratio = 0;
  std::map<std::string, int> notes;
  for (const StageScales& stage : stages) {
    if (!stage.note.empty()) ++notes[stage.note];
    if (stage.scales.factors.empty()) continue;
    ++scaled;
    log_ratio += std::log(stage.scales.loss / stage.scales.plain_loss);
  }
  std::string text = fmt::format("channels of {} of {} stages scaled", scaled, stages.size());
  if (scaled > 0)
    text += fmt::format(": rounding's error at their outputs × {:.2f} (geometric mean)",
                        std::exp(log_ratio / static_cast<double>(scaled)));
  for (const auto& [note, count] : notes) text += fmt::format("; {} not: {}", count, note);
  return text;
}

OpenedModel scale_model(const OpenedModel& model, const std::vector<StageScales>& stages) {
  OpenedModel scaled = open_model(model.checkpoint->path(), model.own_head);
  scaled.tensors.reset();
  auto source = std::make_unique<ChangedSource>(std::move(scaled.source));
  ModelChanger changer(*model.tensors, *source);
  for (const StageScales& stage : stages) {
    const std::vector<float>& factors = stage.scales.factors;
    if (factors.empty()) continue;
    for (const TensorKey& key : linears_of(*model.tensors, stage.id))
      changer.multiply_columns(key, factors);
    divide_producer(model, *producer_of(*model.tensors, stage.id), factors, changer);
  }
  scaled.source = std::move(source);
  scaled.tensors = std::make_unique<ModelTensors>(*scaled.source, model.config());
  return scaled;
}

}  // namespace halftone
