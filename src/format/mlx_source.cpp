// MLX as a weight source. Whether biases are whole multiples of scales, as our grids have it, is
// seen when the checkpoint is opened; weights are read either way.
#include "format/mlx_source.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "base/half.h"
#include "base/printable.h"
#include "format/bitstream.h"
#include "format/grid_limits.h"
#include "format/mlx.h"
#include "format/stored_scales.h"

namespace halftone {
namespace {

class MlxPacked : public PackedLinear {
 public:
  explicit MlxPacked(const MlxLinear& linear) : linear_(linear) {}

  QuantizedMatrix unpack(int64_t row_begin, int64_t row_end) const override {
    return unpack_mlx(linear_, row_begin, row_end);
  }

  // scale · code + bias, in f32 and rounded once.
  void read(int64_t row_begin, int64_t row_end, View out) const override {
    assert(out.dtype == DType::f32 || out.dtype == DType::bf16);
    const Grid& grid = linear_.grid;
    const int64_t groups = grid.groups(linear_.cols), width = grid.group_width(linear_.cols);
    const int64_t bytes = packed_bytes(linear_.cols, grid.bits);
    std::vector<uint8_t> codes(static_cast<size_t>(linear_.cols));
    for (int64_t row = row_begin; row < row_end; ++row) {
      unpack_codes(linear_.weight + row * bytes, linear_.cols, grid.bits, codes.data());
      for (int64_t group = 0; group < groups; ++group) {
        const float scale = load_scale(linear_.scales, row * groups + group, grid.scales);
        const float bias = load_scale(linear_.biases, row * groups + group, grid.scales);
        for (int64_t col = group * width; col < (group + 1) * width; ++col) {
          const float value = scale * static_cast<float>(codes[static_cast<size_t>(col)]) + bias;
          if (out.dtype == DType::f32)
            out.row<float>(row - row_begin)[col] = value;
          else
            out.row<bf16>(row - row_begin)[col] = to_bf16(value);
        }
      }
    }
  }

 private:
  MlxLinear linear_;
};

struct MlxConfig {
  std::string origin;
  Json json;
  Grid grid;

  Grid grid_of(const std::string& module) const {
    const auto own = json.find(module);
    if (own == json.end() || own->is_boolean()) return grid;
    return read_grid(JsonObject(*own, origin + ": " + printable(module)));
  }

  static Grid read_grid(const JsonObject& config) {
    const std::string mode = config.maybe_text("mode").value_or("affine");
    if (mode != "affine")
      throw bad_input("{}: mode {}, expected affine", config.origin(), printable(mode));
    Grid result = stated_grid(config);
    if (result.bits < 2 || result.bits > 8 || result.bits == 7)
      throw bad_input("{}: bits {}, expected 2, 3, 4, 5, 6 or 8", config.origin(), result.bits);
    if (result.group_size < 1)
      throw bad_input("{}: group_size {}, expected a positive number", config.origin(),
                      result.group_size);
    result.stores_offset = true;
    return result;
  }
};

MlxLinear open_linear(const Checkpoint& checkpoint, const std::string& module,
                      const MlxConfig& config) {
  const ContainerEntry& weight = packed_part(checkpoint, module, ".weight", ".biases");
  const ContainerEntry& scales = packed_part(checkpoint, module, ".scales", ".biases");
  const ContainerEntry& biases = packed_part(checkpoint, module, ".biases", ".biases");
  MlxLinear linear;
  linear.grid = config.grid_of(module);
  const int bits = linear.grid.bits;
  check_part_type(weight, "U32");
  if (weight.shape.size() != 2 || weight.shape[0] < 1 || weight.shape[1] < 1 ||
      weight.shape[1] > INT32_MAX || weight.shape[1] * 32 % bits != 0 ||
      weight.shape[1] * 32 / bits % linear.grid.group_size != 0)
    throw bad_input("{}: {}: shape {}, expected [outputs, inputs·{}/32] with groups of {}",
                    weight.file, printable(weight.name), shape_text(weight.shape), bits,
                    linear.grid.group_size);
  linear.rows = weight.shape[0];
  linear.cols = weight.shape[1] * 32 / bits;
  const int64_t groups = linear.grid.groups(linear.cols);
  check_part_shape(scales, {linear.rows, groups}, linear.grid, config.origin);
  check_part_shape(biases, {linear.rows, groups}, linear.grid, config.origin);
  linear.grid.scales = check_scales(scales);
  check_part_type(biases, scales.type);
  linear.weight = weight.bytes.data();
  linear.scales = scales.bytes.data();
  linear.biases = biases.bytes.data();
  return linear;
}

// Whether every group has a zero, and whether that is always the middle one.
struct Zeros {
  bool whole = true, symmetric = true;
};
Zeros look_at_zeros(const MlxLinear& linear) {
  Zeros zeros;
  const int64_t count = linear.rows * linear.grid.groups(linear.cols);
  for (int64_t i = 0; zeros.whole && i < count; ++i) {
    const auto zero = mlx_zero(load_scale(linear.scales, i, linear.grid.scales),
                               load_scale(linear.biases, i, linear.grid.scales), linear.grid.bits);
    zeros.whole = zero.has_value();
    zeros.symmetric &= zero == linear.grid.symmetric_zero();
  }
  return zeros;
}

class MlxReader : public PackedReader {
 public:
  MlxReader(const Checkpoint& checkpoint, const StatedQuantization& stated)
      : checkpoint_(checkpoint),
        config_{stated.origin, stated.json,
                MlxConfig::read_grid(JsonObject(stated.json, stated.origin))} {}

  const Grid& grid() const { return config_.grid; }

  PackedEntry entry(const std::string& module) const override {
    MlxLinear linear = open_linear(checkpoint_, module, config_);
    const Zeros zeros = look_at_zeros(linear);
    linear.grid.symmetric = zeros.whole && zeros.symmetric;
    PackedEntry entry = make_packed_entry(checkpoint_, module, {".weight", ".scales", ".biases"},
                                          linear.grid, "mlx");
    if (!zeros.whole) entry.stored.grid.reset();
    entry.stored.rows = linear.rows;
    entry.stored.cols = linear.cols;
    entry.stored.grid_bits = linear.grid.bits_per_weight(linear.cols);
    entry.linear = std::make_unique<MlxPacked>(linear);
    return entry;
  }

 private:
  const Checkpoint& checkpoint_;
  const MlxConfig config_;
};

}  // namespace

OpenedWeights open_mlx_weights(const Checkpoint& checkpoint, const StatedQuantization& stated) {
  const MlxReader reader(checkpoint, stated);
  std::vector<PackedEntry> linears;
  for (const ContainerEntry& entry : checkpoint.entries())
    if (const auto module = module_of(entry.name, ".biases"))
      linears.push_back(reader.entry(*module));
  if (linears.empty())
    throw bad_input("{}: says that weights are quantized, but no tensor is packed (no .biases)",
                    stated.origin);
  const std::string text =
      fmt::format("MLX {} bits, groups of {}", reader.grid().bits, reader.grid().group_size);
  return {make_packed_source(checkpoint, std::move(linears)), text};
}

std::unique_ptr<PackedReader> mlx_reader(const Checkpoint& checkpoint,
                                         const StatedQuantization& stated) {
  return std::make_unique<MlxReader>(checkpoint, stated);
}

}  // namespace halftone
