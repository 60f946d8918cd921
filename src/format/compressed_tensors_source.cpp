// compressed-tensors as a weight source. Shapes are checked against each other when the checkpoint
// is opened.
#include "format/compressed_tensors_source.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/printable.h"
#include "format/bitstream.h"
#include "format/compressed_tensors.h"
#include "format/compressed_tensors_config.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

class CompressedPacked : public PackedLinear {
 public:
  explicit CompressedPacked(CompressedLinear linear) : linear_(std::move(linear)) {}
  QuantizedMatrix unpack(int64_t row_begin, int64_t row_end) const override {
    return unpack_compressed(linear_, row_begin, row_end);
  }

 private:
  CompressedLinear linear_;
};

constexpr std::initializer_list<const char*> kParts = {
    ".weight_packed", ".weight_scale", ".weight_shape", ".weight_zero_point", ".weight_g_idx"};

class CompressedReader : public PackedReader {
 public:
  CompressedReader(const Checkpoint& checkpoint, CompressedConfig config)
      : checkpoint_(checkpoint), config_(std::move(config)) {}

  const CompressedConfig& config() const { return config_; }

  PackedEntry entry(const std::string& module) const override {
    CompressedLinear linear;
    linear.grid = config_.grid_of(module);
    read_shape(module, linear);
    check_codes(part(module, ".weight_packed"), linear);
    const ContainerEntry& scales = part(module, ".weight_scale");
    const int64_t groups = linear.grid.groups(linear.cols);
    check_part_shape(scales, {linear.rows, groups}, linear.grid, config_.origin);
    linear.grid.scales = check_scales(scales);
    linear.scales = scales.bytes.data();
    read_zeros(module, linear);
    if (const ContainerEntry* index = checkpoint_.find(module + ".weight_g_idx"))
      linear.group_of = read_group_index(*index, linear.grid, linear.cols, config_.origin);
    PackedEntry entry =
        make_packed_entry(checkpoint_, module, kParts, linear.grid, "compressed-tensors");
    entry.stored.rows = linear.rows;
    entry.stored.cols = linear.cols;
    entry.stored.grid_bits = linear.grid.bits_per_weight(linear.cols);
    entry.stored.permuted = !linear.group_of.empty();
    entry.linear = std::make_unique<CompressedPacked>(std::move(linear));
    return entry;
  }

 private:
  const ContainerEntry& part(const std::string& module, const char* suffix) const {
    return packed_part(checkpoint_, module, suffix, ".weight_packed");
  }

  void read_shape(const std::string& module, CompressedLinear& linear) const {
    const ContainerEntry& entry = part(module, ".weight_shape");
    int64_t shape[2] = {};
    if (entry.shape != std::vector<int64_t>{2} || (entry.type != "I64" && entry.type != "I32"))
      throw bad_input("{}: {}: {} of shape {}, expected I64 of [2]", entry.file,
                      printable(entry.name), entry.type, shape_text(entry.shape));
    if (entry.type == "I64") {
      std::memcpy(shape, entry.bytes.data(), sizeof(shape));
    } else {
      int32_t narrow[2];
      std::memcpy(narrow, entry.bytes.data(), sizeof(narrow));
      std::copy(narrow, narrow + 2, shape);
    }
    for (const int64_t size : shape)
      if (size < 1 || size > INT32_MAX)
        throw bad_input("{}: {}: says [{}, {}], expected positive sizes", entry.file,
                        printable(entry.name), shape[0], shape[1]);
    linear.rows = shape[0];
    linear.cols = shape[1];
  }

  void check_codes(const ContainerEntry& packed, CompressedLinear& linear) const {
    const int bits = linear.grid.bits, per_word = 32 / bits;
    check_part_type(packed, "I32");
    const int64_t words = packed_bytes(linear.cols, bits) / 4;
    const int64_t with_gaps = (linear.cols + per_word - 1) / per_word;
    linear.gaps =
        words != with_gaps && packed.shape == std::vector<int64_t>{linear.rows, with_gaps};
    if (!linear.gaps) check_part_shape(packed, {linear.rows, words}, linear.grid, config_.origin);
    linear.packed = packed.bytes.data();
  }

  void read_zeros(const std::string& module, CompressedLinear& linear) const {
    const ContainerEntry* zeros = checkpoint_.find(module + ".weight_zero_point");
    const int64_t groups = linear.grid.groups(linear.cols);
    if (zeros == nullptr) {
      if (!linear.grid.symmetric) part(module, ".weight_zero_point");
      return;
    }
    if (zeros->type == "I8") {
      read_byte_zeros(*zeros, linear);
      return;
    }
    if (linear.grid.symmetric)
      throw bad_input("{}: {}: is there, but {} says symmetric", zeros->file,
                      printable(zeros->name), config_.origin);
    check_part_type(*zeros, "I32");
    const int64_t per_word = 32 / linear.grid.bits;
    const int64_t words = linear.gaps ? (linear.rows + per_word - 1) / per_word
                                      : packed_bytes(linear.rows, linear.grid.bits) / 4;
    check_part_shape(*zeros, {words, groups}, linear.grid, config_.origin);
    linear.zeros = zeros->bytes.data();
  }

  // Versions before 0.9 wrote signed bytes, for symmetric grids too.
  void read_byte_zeros(const ContainerEntry& zeros, CompressedLinear& linear) const {
    check_part_shape(zeros, {linear.rows, linear.grid.groups(linear.cols)}, linear.grid,
                     config_.origin);
    const int middle = linear.grid.symmetric_zero();
    for (const std::byte byte : zeros.bytes) {
      const auto zero = static_cast<int8_t>(byte);
      if (zero < -middle || zero >= middle || (linear.grid.symmetric && zero != 0))
        throw bad_input("{}: {}: zero {}, expected {}", zeros.file, printable(zeros.name), zero,
                        linear.grid.symmetric ? std::string("0 (symmetric)")
                                              : fmt::format("{} to {}", -middle, middle - 1));
    }
    if (linear.grid.symmetric) return;
    linear.zeros = zeros.bytes.data();
    linear.zeros_are_bytes = true;
  }

  const Checkpoint& checkpoint_;
  const CompressedConfig config_;
};

}  // namespace

OpenedWeights open_compressed_tensors_weights(const Checkpoint& checkpoint,
                                              const StatedQuantization& stated) {
  const CompressedReader reader(checkpoint, read_compressed_config(stated));
  const CompressedConfig& config = reader.config();
  std::vector<PackedEntry> linears;
  for (const ContainerEntry& entry : checkpoint.entries())
    if (const auto module = module_of(entry.name, ".weight_packed"))
      linears.push_back(reader.entry(*module));
  if (linears.empty())
    throw bad_input("{}: says pack-quantized, but no tensor is packed (no .weight_packed)",
                    config.origin);
  const bool mixed = config.groups.size() > 1;
  const std::string text = grid_text(*linears.front().stored.grid);
  return {make_packed_source(checkpoint, std::move(linears)),
          fmt::format("compressed-tensors {}{}", text, mixed ? ", mixed" : "")};
}

std::unique_ptr<PackedReader> compressed_tensors_reader(const Checkpoint& checkpoint,
                                                        const StatedQuantization& stated) {
  return std::make_unique<CompressedReader>(checkpoint, read_compressed_config(stated));
}

}  // namespace halftone
