// Factors drawn by layer, and a weight source that multiplies with them as rows are read.
#include "apps/regrid.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/side_files.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"

namespace halftone {
namespace {

// One exp(U(−¼, ¼)) for each of `count` channels.
std::vector<double> draw(int64_t count, Rng& rng) {
  std::vector<double> factors(static_cast<size_t>(count));
  for (double& factor : factors) factor = std::exp(0.5 * rng.uniform() - 0.25);
  return factors;
}

std::vector<double> inverse(std::vector<double> factors) {
  for (double& factor : factors) factor = 1 / factor;
  return factors;
}

// A factor of each key-value channel → of each channel of the heads that read it.
std::vector<double> repeat_heads(const std::vector<double>& factors, const ModelConfig& config) {
  std::vector<double> repeated;
  const int64_t shared = config.heads / config.kv_heads;
  for (int64_t head = 0; head < config.heads; ++head) {
    const auto begin = factors.begin() + head / shared * config.head_dim;
    repeated.insert(repeated.end(), begin, begin + config.head_dim);
  }
  return repeated;
}

void round_into(double value, DType dtype, View out, int64_t row, int64_t col) {
  const auto narrow = static_cast<float>(value);
  if (dtype == DType::f32)
    out.row<float>(row)[col] = narrow;
  else
    out.row<bf16>(row)[col] = to_bf16(narrow);
}

}  // namespace

RegriddedSource::RegriddedSource(const ModelTensors& tensors, uint64_t seed) : tensors_(tensors) {
  if (!tensors.arch().text_config.empty())
    throw bad_input("a {} model: expected one of text alone", tensors.arch().model_type);
  for (const TensorRule& rule : tensors.arch().tensors)
    if (rule.slice.of > 1)
      throw bad_input("a {} model: {} is fused, expected one linear a tensor",
                      tensors.arch().model_type, rule.name);
  for (const TensorKey& key : tensors.keys()) {
    StoredTensor stored = tensors.stored(key);
    stored.encoding = "f32";
    stored.quantized = false;
    stored.bytes = 4 * stored.rows * stored.cols;
    scalings_[stored.name].key = key;
    stored_.push_back(std::move(stored));
  }
  std::sort(stored_.begin(), stored_.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
  for (int layer = 0; layer < tensors.config().layers; ++layer) scale_layer(layer, seed);
}

RegriddedSource::Scaling& RegriddedSource::scaling(int layer, Role role, Part part) {
  return scalings_.at(tensors_.name({.layer = layer, .role = role, .part = part}));
}

void RegriddedSource::scale_layer(int layer, uint64_t seed) {
  const ModelConfig& config = tensors_.config();
  // A stream of its own for each layer, so that a layer's factors do not depend on the others'
  // sizes.
  Rng rng(seed + 0x100000001b3u * static_cast<uint64_t>(layer + 1));
  const auto scale_norm = [&](Role norm, std::initializer_list<Role> readers) {
    const std::vector<double> factors = draw(config.hidden, rng);
    Scaling& gain = scaling(layer, norm);
    gain.cols = factors;
    gain.offset = config.norm.gain_offset;
    for (const Role reader : readers) scaling(layer, reader).cols = inverse(factors);
  };
  const auto scale_rows = [&](Role role, const std::vector<double>& factors) {
    scaling(layer, role).rows = factors;
    if (tensors_.has({.layer = layer, .role = role, .part = Part::bias}))
      scaling(layer, role, Part::bias).cols = factors;
  };
  scale_norm(Role::attn_norm, {Role::q, Role::k, Role::v});
  scale_norm(Role::mlp_norm, {Role::gate, Role::up});
  const std::vector<double> inner = draw(config.intermediate, rng);
  scale_rows(Role::up, inner);
  scaling(layer, Role::down).cols = inverse(inner);
  const std::vector<double> values = draw(config.kv_heads * config.head_dim, rng);
  scale_rows(Role::v, values);
  scaling(layer, Role::o).cols = inverse(repeat_heads(values, config));
}

void RegriddedSource::read(std::string_view name, int64_t row_begin, int64_t row_end,
                           View out) const {
  const Scaling& scaling = scalings_.find(name)->second;
  HostAllocator host;
  const Tensor plain(host, row_end - row_begin, out.cols, DType::f32);
  tensors_.read(scaling.key, row_begin, row_end, plain);
  for (int64_t r = 0; r < plain.rows(); ++r) {
    const double row_factor =
        scaling.rows.empty() ? 1 : scaling.rows[static_cast<size_t>(row_begin + r)];
    for (int64_t c = 0; c < out.cols; ++c) {
      const double col_factor = scaling.cols.empty() ? 1 : scaling.cols[static_cast<size_t>(c)];
      const double value = plain.row<float>(r)[c] + scaling.offset;
      round_into(value * row_factor * col_factor - scaling.offset, out.dtype, out, r, c);
    }
  }
}

void write_regridded(const OpenedModel& model, const std::string& output,
                     const RegridOptions& options) {
  if (std::filesystem::exists(output) && !options.force)
    throw usage_error("{} exists", output).hint("pass --force to replace it, or another -o.");
  const RegriddedSource source(*model.tensors, options.seed);
  PendingDirectory pending(output);
  std::vector<TensorPlan> plan;
  for (const StoredTensor& stored : source.tensors()) {
    std::vector<int64_t> shape = {stored.rows, stored.cols};
    if (stored.rank == 1) shape.erase(shape.begin());
    plan.push_back({stored.name, "BF16", shape, 2 * stored.rows * stored.cols});
  }
  SafetensorsWriter writer(pending.path(), plan);
  Progress progress("Regridding", static_cast<double>(plan.size()), options.quiet);
  double done = 0;
  for (const StoredTensor& stored : source.tensors()) {
    throw_if_interrupted();
    HostAllocator host;
    const Tensor values(host, stored.rows, stored.cols, DType::bf16);
    source.read(stored.name, 0, stored.rows, values);
    writer.write(stored.name, {values.row<std::byte>(0), static_cast<size_t>(values.bytes())});
    progress.update(++done, stored.name);
  }
  progress.finish();
  writer.finish();
  write_side_files(*model.checkpoint, pending.path());
  Json config = model.checkpoint->metadata().config;
  config.erase("quantization_config");
  config[config.contains("dtype") ? "dtype" : "torch_dtype"] = "bfloat16";
  write_file_atomically(pending.path() + "/config.json", config.dump(2) + "\n");
  pending.publish(options.force);
}

}  // namespace halftone
