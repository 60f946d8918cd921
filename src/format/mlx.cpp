// MLX's packing and its inverse, and its row of the table of formats.
#include "format/mlx.h"

#include <fmt/core.h>

#include <cassert>
#include <cmath>

#include "format/bitstream.h"
#include "format/grid_limits.h"
#include "format/mlx_source.h"
#include "format/packed_rows.h"
#include "format/stored_scales.h"

namespace halftone {
namespace {

// mlx-lm reads the first; other programs look for the second.
constexpr std::string_view kConfigKeys[] = {"quantization", "quantization_config"};

Grid grid_of(const Grid& wanted) {
  check_bits(wanted, {2, 3, 4, 6, 8}, "mlx");
  check_group_size(wanted, {32, 64, 128}, "mlx");
  Grid grid = wanted;
  grid.stores_offset = true;
  return grid;
}

void check_any(std::span<const PlannedModule>) {}

// A scale times a zero is exact in f32: 24 bits hold 11 and 8, and the 24 of an f32 scale are
// checked by dividing again.
std::string obstacle(const QuantizedMatrix& matrix) {
  const ScaleStore store = matrix.grid.scales;
  std::string reason = grid_obstacle(matrix, store, true);
  for (size_t i = 0; reason.empty() && i < matrix.scales.size(); ++i) {
    const float bias = -matrix.scales[i] * static_cast<float>(matrix.zeros[i]);
    const double exact = -static_cast<double>(matrix.scales[i]) * matrix.zeros[i];
    if (static_cast<double>(round_to(store, bias)) != exact)
      reason = fmt::format("scale {} times zero {} would be rounded, and mlx stores the product",
                           matrix.scales[i], matrix.zeros[i]);
  }
  return reason;
}

Json configuration(const QuantizationSummary& summary) {
  const Grid main = main_grid(summary.modules);
  Json config;
  config["group_size"] = main.group_size;
  config["bits"] = main.bits;
  for (const PlannedModule& module : summary.modules)
    if (!module.skipped && module.grid != main)
      config[module.name] = {{"group_size", module.grid.group_size}, {"bits", module.grid.bits}};
  return config;
}

std::vector<ReaderVerdict> readers(std::span<const PlannedModule> modules, bool) {
  return verdicts_of_all(modules, [](const Grid&) {
    return std::vector<ReaderVerdict>{{"MLX", true, ""}};
  });
}

}  // namespace

std::optional<int> mlx_zero(float scale, float bias, int bits) {
  if (scale == 0 && bias == 0) return 0;
  const float zero = -bias / scale;
  if (!(zero >= 0) || zero > static_cast<float>((1 << bits) - 1)) return std::nullopt;
  if (zero != std::nearbyint(zero)) return std::nullopt;
  if (static_cast<double>(scale) * static_cast<double>(zero) != -static_cast<double>(bias))
    return std::nullopt;
  return static_cast<int>(zero);
}

std::vector<TensorPlan> plan_mlx(const std::string& module, const Grid& grid, int64_t rows,
                                 int64_t cols) {
  check_fills_words(module, "inputs", cols, grid.bits, "mlx");
  const int64_t groups = grid.groups(cols), bytes = packed_bytes(cols, grid.bits);
  const std::string type(safetensors_name(grid.scales));
  const int64_t scale_bytes = rows * groups * bytes_of(grid.scales);
  return {{module + ".weight", "U32", {rows, bytes / 4}, rows * bytes},
          {module + ".scales", type, {rows, groups}, scale_bytes},
          {module + ".biases", type, {rows, groups}, scale_bytes}};
}

std::vector<PackedTensor> pack_mlx(const std::string& module, const QuantizedMatrix& matrix) {
  assert(matrix.group_of.empty());
  std::vector<PackedTensor> packed =
      empty_tensors(plan_mlx(module, matrix.grid, matrix.rows, matrix.cols));
  pack_rows(matrix, packed[0].data.data());
  for (size_t i = 0; i < matrix.scales.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const float bias = -matrix.scales[i] * static_cast<float>(matrix.zeros[i]);
    store_scale(matrix.scales[i], matrix.grid.scales, packed[1].data.data(), at);
    store_scale(bias, matrix.grid.scales, packed[2].data.data(), at);
  }
  return packed;
}

QuantizedMatrix unpack_mlx(const MlxLinear& linear, int64_t row_begin, int64_t row_end) {
  const int bits = linear.grid.bits;
  const int64_t groups = linear.grid.groups(linear.cols), bytes = packed_bytes(linear.cols, bits);
  QuantizedMatrix matrix = empty_rows(linear, row_begin, row_end);
  for (int64_t row = row_begin; row < row_end; ++row)
    unpack_codes(linear.weight + row * bytes, linear.cols, bits,
                 matrix.codes.data() + (row - row_begin) * matrix.cols);
  for (size_t i = 0; i < matrix.scales.size(); ++i) {
    const int64_t at = row_begin * groups + static_cast<int64_t>(i);
    matrix.scales[i] = load_scale(linear.scales, at, linear.grid.scales);
    const float bias = load_scale(linear.biases, at, linear.grid.scales);
    matrix.zeros[i] = static_cast<uint8_t>(mlx_zero(matrix.scales[i], bias, bits).value_or(0));
  }
  return matrix;
}

const Format kMlxFormat = {.name = "mlx",
                           .summary = "MLX's affine layout, 2, 3, 4, 6 or 8 bits",
                           .grid = grid_of,
                           .one_grid = GridScope::linear,
                           .embedding_codes = true,
                           .check = check_any,
                           .obstacle = obstacle,
                           .pack = pack_mlx,
                           .packed_plan = plan_mlx,
                           .configuration = configuration,
                           .config_keys = kConfigKeys,
                           .side_files = {},
                           .readers = readers,
                           .open_writer = open_safetensors_writer,
                           .reading = {"mlx", open_mlx_weights, mlx_reader}};

}  // namespace halftone
