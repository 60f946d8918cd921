#include "apps/bench_workdir.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "apps/model_shapes.h"
#include "apps/synthetic_model.h"
#include "base/error.h"
#include "base/memory_usage.h"
#include "base/progress.h"
#include "format/ggml_grids.h"
#include "format/gguf_types.h"
#include "model/config.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr double kDenseBits = 16;

// Of a weight, in the output and in the journal.
struct StoredBits {
  double output = 0, journal = 0;
  double both() const { return output + journal; }
};

StoredBits bits_of(const std::optional<Grid>& grid, int64_t cols) {
  if (!grid) return {.output = kDenseBits};
  return {grid->bits_per_weight(cols), journal_bits(*grid, cols)};
}

// Of a linear with so many inputs; in a GGUF of the largest type that the mix has.
StoredBits most_bits(const QuantizeOptions& options, int64_t cols) {
  const Format& format = find_format(options.format);
  const Grid grid = format.grid(
      {.bits = options.bits, .group_size = options.group_size, .symmetric = options.symmetric});
  if (!format.ggml_types) return bits_of(grid, cols);
  const GgufMix& mix =
      find_gguf_mix(options.gguf.type.empty() ? *ggml_type_of(grid) : options.gguf.type);
  StoredBits most;
  for (const std::string_view type : {mix.type, mix.more}) {
    if (type.empty()) continue;
    const StoredBits bits = bits_of(ggml_grid(gguf_type_for_row(type, cols)), cols);
    if (bits.both() > most.both()) most = bits;
  }
  return most;
}

}  // namespace

double journal_bits(const Grid& grid, int64_t cols) {
  constexpr double kScale = 32, kZero = 8;
  const double group = kScale + (grid.offsets ? kScale : kZero);
  return grid.bits + group * static_cast<double>(grid.groups(cols)) / static_cast<double>(cols);
}

int64_t bench_disk_bytes(const Json& config, int64_t layers, const QuantizeOptions& options) {
  const auto model = static_cast<double>(synthetic_bytes(with_layers(config, layers)));
  int64_t a_layer = synthetic_bytes(with_layers(config, 1));
  if (layers_of(config) > 1) a_layer = synthetic_bytes(with_layers(config, 2)) - a_layer;
  const auto dense = static_cast<double>(a_layer * layers);
  Metadata metadata;
  metadata.config = config;
  const ModelConfig shape = read_config(metadata);
  const double bits = std::max(most_bits(options, shape.hidden).both(),
                               most_bits(options, shape.intermediate).both());
  double bytes = model + (model - dense) + dense * bits / kDenseBits;
  if (options.lm_head)  // codes beside the embedding
    bytes += static_cast<double>(shape.vocab * shape.hidden) * bits / 8;
  return static_cast<int64_t>(bytes);
}

std::string choose_workdir(const std::string& given, int64_t bytes) {
  const auto room = [](const fs::path& path) {
    std::error_code failed;
    const fs::space_info space = fs::space(path, failed);
    return failed ? 0 : static_cast<int64_t>(space.available);
  };
  if (!given.empty()) {
    if (!fs::is_directory(given))
      throw usage_error("--workdir {}: expected a directory that is there", given);
    if (room(given) < bytes)
      throw out_of_resources("--workdir {}: needs {}, {} are free", given, human_bytes(bytes),
                             human_bytes(room(given)))
          .hint("take fewer --layers.");
    return given;
  }
  const std::string memory = "/dev/shm", disk = fs::temp_directory_path().string();
  const int64_t in_memory = std::min(room(memory), memory_limit() / 4 * 3);
  if (in_memory >= bytes) return memory;
  if (room(disk) >= bytes) return disk;
  throw out_of_resources("{} needed for the model and its output: {} has {}, {} has {}",
                         human_bytes(bytes), memory, human_bytes(std::max<int64_t>(0, in_memory)),
                         disk, human_bytes(room(disk)))
      .hint("take fewer --layers, or name a --workdir.");
}

}  // namespace halftone
