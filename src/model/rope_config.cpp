// rope_theta and rope_scaling, or Transformers 5's rope_parameters → RopeConfig; RopeConfig →
// frequencies. Linear: kaiokendev 2023; llama3: Llama 3.1's release; yarn: Peng et al. 2023
// (2309.00071). All as Transformers' modeling_rope_utils computes them.
#include "model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace halftone {
namespace {

constexpr double kMaxTheta = 1e12, kMaxFactor = 1e6;

// Where a layer type's rotary keys stand: rope_parameters (by layer type, or flat), else
// rope_scaling.
std::optional<JsonObject> find_parameters(const JsonObject& json, RopeLayers layers) {
  const std::string_view layer_type =
      layers == RopeLayers::full ? "full_attention" : "sliding_attention";
  if (const auto parameters = json.maybe_object("rope_parameters")) {
    if (parameters->has("full_attention") || parameters->has("sliding_attention"))
      return parameters->maybe_object(layer_type);
    if (layers == RopeLayers::full) return parameters;
    return std::nullopt;
  }
  return layers == RopeLayers::full ? json.maybe_object("rope_scaling") : std::nullopt;
}

double read_theta(const JsonObject& json, const std::optional<JsonObject>& parameters,
                  const ArchSpec& arch, std::string_view key) {
  if (parameters)
    if (const auto theta = parameters->maybe_number("rope_theta", 1.01, kMaxTheta)) return *theta;
  if (const auto theta = json.maybe_number(key, 1.01, kMaxTheta)) return *theta;
  for (const ConfigDefault& entry : arch.defaults)
    if (entry.key == key) return entry.value;
  return 10000;
}

RopeScaling read_scaling(const JsonObject& parameters) {
  const auto type = parameters.maybe_text("rope_type");
  const std::string name = type ? *type : parameters.maybe_text("type").value_or("default");
  if (name == "default") return RopeScaling::none;
  if (name == "linear") return RopeScaling::linear;
  if (name == "llama3") return RopeScaling::llama3;
  if (name == "yarn") return RopeScaling::yarn;
  throw bad_input("{}: rope_type: got \"{}\", expected default, linear, llama3 or yarn",
                  parameters.origin(), name);
}

int64_t read_original_positions(const JsonObject& json, const JsonObject& parameters,
                                int64_t max_positions) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  constexpr int64_t kMost = int64_t{1} << 40;
  if (const auto value = json.maybe_integer(kKey, 1, kMost)) return *value;
  return parameters.maybe_integer(kKey, 1, kMost).value_or(max_positions);
}

void read_llama3(const JsonObject& parameters, RopeConfig& rope) {
  rope.factor = parameters.number("factor", 1, kMaxFactor);
  rope.low_freq_factor = parameters.number("low_freq_factor", 1e-6, kMaxFactor);
  rope.high_freq_factor = parameters.number("high_freq_factor", 1e-6, kMaxFactor);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    throw bad_input("{}: high_freq_factor: got {}, expected more than {} (low_freq_factor)",
                    parameters.origin(), rope.high_freq_factor, rope.low_freq_factor);
}

// yarn's section 3.4: attention is scaled through cos and sin.
double yarn_attention_factor(const JsonObject& parameters, double factor) {
  if (const auto value = parameters.maybe_number("attention_factor", 1e-6, kMaxFactor))
    return *value;
  const auto magnitude = [factor](double scale) {
    return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
  };
  const double mscale = parameters.maybe_number("mscale", 0, kMaxFactor).value_or(0);
  const double all_dim = parameters.maybe_number("mscale_all_dim", 0, kMaxFactor).value_or(0);
  return mscale != 0 && all_dim != 0 ? magnitude(mscale) / magnitude(all_dim) : magnitude(1);
}

void read_yarn(const JsonObject& parameters, int64_t max_positions, RopeConfig& rope) {
  const double stretched =
      static_cast<double>(max_positions) / static_cast<double>(rope.original_positions);
  rope.factor = parameters.maybe_number("factor", 1, kMaxFactor).value_or(stretched);
  rope.attention_factor = yarn_attention_factor(parameters, rope.factor);
  rope.beta_fast = parameters.maybe_number("beta_fast", 1e-6, kMaxFactor).value_or(32);
  rope.beta_slow = parameters.maybe_number("beta_slow", 1e-6, kMaxFactor).value_or(1);
  if (rope.beta_fast < rope.beta_slow)
    throw bad_input("{}: beta_fast: got {}, expected at least {} (beta_slow)", parameters.origin(),
                    rope.beta_fast, rope.beta_slow);
  rope.truncate = parameters.flag("truncate", true);
}

// Divisors that a GGUF file's rope_freqs tensor holds, where no scaling of Hugging Face's describes
// them: io/gguf hands them on under this key.
std::vector<double> read_factors(const JsonObject& json, int64_t count) {
  const Json* list = json.find("rope_freq_factors");
  if (!list) return {};
  if (!list->is_array() || list->size() != static_cast<size_t>(count))
    throw bad_input("{}: rope_freq_factors: got {} values, expected {} (head_dim / 2)",
                    json.origin(), list->size(), count);
  std::vector<double> factors;
  for (const Json& value : *list) {
    if (!value.is_number() || !(value.get<double>() > 0) || value.get<double>() > kMaxFactor)
      throw bad_input("{}: rope_freq_factors: got {}, expected positive numbers", json.origin(),
                      value.dump());
    factors.push_back(value.get<double>());
  }
  return factors;
}

void apply_llama3(const RopeConfig& rope, std::vector<float>& frequencies) {
  const auto old_length = static_cast<float>(rope.original_positions);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto high = static_cast<float>(rope.high_freq_factor);
  for (float& frequency : frequencies) {
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    const float smooth = std::clamp((old_length / wavelength - low) / (high - low), 0.0f, 1.0f);
    frequency = (1 - smooth) * frequency / factor + smooth * frequency;
  }
}

void apply_yarn(const RopeConfig& rope, int64_t head_dim, std::vector<float>& frequencies) {
  const auto dim = static_cast<double>(head_dim);
  const auto boundary = [&](double rotations) {
    return dim *
           std::log(static_cast<double>(rope.original_positions) /
                    (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = boundary(rope.beta_fast), high = boundary(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] =
        static_cast<float>(frequencies[i] / rope.factor * ramp + frequencies[i] * (1 - ramp));
  }
}

}  // namespace

RopeConfig read_rope(const JsonObject& json, const ArchSpec& arch, RopeLayers layers,
                     const ModelConfig& config) {
  const auto parameters = find_parameters(json, layers);
  RopeConfig rope;
  rope.theta = read_theta(json, parameters, arch,
                          layers == RopeLayers::full ? "rope_theta" : "rope_local_base_freq");
  if (layers == RopeLayers::full) rope.factors = read_factors(json, config.head_dim / 2);
  if (!parameters) return rope;
  const double rotated = parameters->maybe_number("partial_rotary_factor", 0, 1).value_or(1);
  if (rotated != 1)
    throw bad_input("{}: partial_rotary_factor: got {}, expected 1", parameters->origin(), rotated);
  rope.scaling = read_scaling(*parameters);
  rope.original_positions = read_original_positions(json, *parameters, config.max_positions);
  if (rope.scaling == RopeScaling::linear)
    rope.factor = parameters->number("factor", 1e-6, kMaxFactor);
  if (rope.scaling == RopeScaling::llama3) read_llama3(*parameters, rope);
  if (rope.scaling == RopeScaling::yarn) read_yarn(*parameters, config.max_positions, rope);
  return rope;
}

RopeTable rope_table(const RopeConfig& rope, int64_t head_dim) {
  RopeTable table;
  // In f32, as the models were trained: at large positions the last bit of a frequency shows.
  for (int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    table.frequencies.push_back(1.0f / std::pow(static_cast<float>(rope.theta), exponent));
  }
  switch (rope.scaling) {
    case RopeScaling::none:
      break;
    case RopeScaling::linear:
      for (float& frequency : table.frequencies) frequency /= static_cast<float>(rope.factor);
      break;
    case RopeScaling::llama3:
      apply_llama3(rope, table.frequencies);
      break;
    case RopeScaling::yarn:
      apply_yarn(rope, head_dim, table.frequencies);
      table.magnitude = static_cast<float>(rope.attention_factor);
      break;
  }
  for (size_t i = 0; i < rope.factors.size(); ++i)
    table.frequencies[i] /= static_cast<float>(rope.factors[i]);
  return table;
}

}  // namespace halftone
