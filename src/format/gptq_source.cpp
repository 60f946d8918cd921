// GPTQ as a weight source. Shapes are checked against each other when the checkpoint is opened.
#include "format/gptq_source.h"

#include <cstring>
#include <vector>

#include "base/count_text.h"
#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"
#include "format/bitstream.h"
#include "format/gptq_config.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

// The group index is read when the codes are: a checkpoint may be opened while its later layers are
// still to be written.
class GptqPacked : public PackedLinear {
 public:
  // index: of the checkpoint, or null. origin: what speaks of the grid.
  GptqPacked(GptqLinear linear, const ContainerEntry* index, std::string origin)
      : linear_(std::move(linear)), index_(index), origin_(std::move(origin)) {
    linear_.group_of.clear();
  }
  QuantizedMatrix unpack(int64_t row_begin, int64_t row_end) const override {
    GptqLinear linear = linear_;
    if (index_ != nullptr)
      linear.group_of = read_group_index(*index_, linear.grid, linear.cols, origin_);
    return unpack_gptq(linear, row_begin, row_end);
  }

 private:
  GptqLinear linear_;
  const ContainerEntry* index_;
  const std::string origin_;
};

class GptqReader {
 public:
  GptqReader(const Checkpoint& checkpoint, const GptqConfig& config)
      : checkpoint_(checkpoint), config_(config) {}

  PackedEntry entry(const std::string& module, GptqLinear linear) const {
    PackedEntry entry = make_packed_entry(
        checkpoint_, module, {".qweight", ".qzeros", ".scales", ".g_idx"}, linear.grid, "gptq");
    entry.stored.rows = linear.rows;
    entry.stored.cols = linear.cols;
    entry.stored.grid_bits = linear.grid.bits_per_weight(linear.cols);
    entry.stored.permuted = !linear.group_of.empty();
    entry.linear = std::make_unique<GptqPacked>(
        std::move(linear), checkpoint_.find(module + ".g_idx"), config_.origin);
    return entry;
  }

  // Labels lie: a symmetric checkpoint called "gptq" may hold v2's zeros, which are known by their
  // value.
  GptqLinear settled_linear(const std::string& module) const {
    GptqLinear linear = open_linear(module);
    if (!linear.grid.symmetric) return linear;
    const auto version = version_of_zeros(linear);
    if (version)
      linear.version = *version;
    else
      linear.grid.symmetric = false;  // what it says of itself does not hold: zeros as they are
    return linear;
  }

  // Its zeros as the label has them.
  GptqLinear open_linear(const std::string& module) const {
    const ContainerEntry& qweight = part(module, ".qweight");
    const ContainerEntry& qzeros = part(module, ".qzeros");
    const ContainerEntry& scales = part(module, ".scales");
    GptqLinear linear;
    linear.grid = config_.grid_of(module);
    linear.version = config_.version;
    check_weight(qweight, linear);
    check_part_type(qzeros, "I32");
    const int64_t groups = linear.grid.groups(linear.cols);
    check_part_shape(scales, {groups, linear.rows}, linear.grid, config_.origin);
    check_part_shape(qzeros, {groups, linear.rows * linear.grid.bits / 32}, linear.grid,
                     config_.origin);
    linear.grid.scales = check_scales(scales);
    linear.qweight = qweight.bytes.data();
    linear.qzeros = qzeros.bytes.data();
    linear.scales = scales.bytes.data();
    read_groups(module, linear);
    return linear;
  }

 private:
  const ContainerEntry& part(const std::string& module, const char* suffix) const {
    return packed_part(checkpoint_, module, suffix, ".qweight");
  }

  static void check_weight(const ContainerEntry& qweight, GptqLinear& linear) {
    const int bits = linear.grid.bits;
    check_part_type(qweight, "I32");
    if (qweight.shape.size() != 2 || qweight.shape[0] < 1 || qweight.shape[1] < 1 ||
        qweight.shape[0] > INT32_MAX || qweight.shape[0] * 32 % bits != 0)
      throw bad_input("{}: {}: shape {}, expected [inputs·{}/32, outputs]", qweight.file,
                      printable(qweight.name), shape_text(qweight.shape), bits);
    linear.rows = qweight.shape[1];
    linear.cols = qweight.shape[0] * 32 / bits;
    if (linear.rows > INT32_MAX || linear.rows * bits % 32 != 0)
      throw bad_input("{}: {}: {} outputs of {} bits do not fill 32-bit words", qweight.file,
                      printable(qweight.name), linear.rows, bits);
  }

  // g_idx, kept only where it says more than input / group_size.
  void read_groups(const std::string& module, GptqLinear& linear) const {
    const ContainerEntry* entry = checkpoint_.find(module + ".g_idx");
    if (entry != nullptr)
      linear.group_of = read_group_index(*entry, linear.grid, linear.cols, config_.origin);
    else if (config_.act_order)
      part(module, ".g_idx");
  }

  const Checkpoint& checkpoint_;
  const GptqConfig& config_;
};

class GptqLinears : public PackedReader {
 public:
  GptqLinears(const Checkpoint& checkpoint, GptqConfig config)
      : config_(std::move(config)), reader_(checkpoint, config_) {}
  PackedEntry entry(const std::string& module) const override {
    return reader_.entry(module, reader_.settled_linear(module));
  }

 private:
  const GptqConfig config_;
  const GptqReader reader_;
};

void report_mislabelled(const GptqConfig& config, int linears) {
  if (linears == 0) return;
  spdlog::warn("{}: labelled {}, but the zero points of {} are those of {}: read as such",
               config.origin, name_of(config.version), count_text(linears, "linear"),
               name_of(config.version == GptqVersion::v1 ? GptqVersion::v2 : GptqVersion::v1));
}

}  // namespace

std::optional<GptqVersion> version_of_zeros(const GptqLinear& linear) {
  const int bits = linear.grid.bits;
  const size_t size = static_cast<size_t>(packed_bytes(linear.rows, bits));
  const auto groups = static_cast<size_t>(linear.grid.groups(linear.cols));
  const auto holds = [&](int zero) {
    const std::vector<uint8_t> zeros(static_cast<size_t>(linear.rows), static_cast<uint8_t>(zero));
    std::vector<std::byte> line(size);
    pack_codes(zeros.data(), linear.rows, bits, line.data());
    for (size_t group = 0; group < groups; ++group)
      if (std::memcmp(linear.qzeros + group * size, line.data(), size) != 0) return false;
    return true;
  };
  if (holds((1 << (bits - 1)) - 1)) return GptqVersion::v1;
  if (holds(1 << (bits - 1))) return GptqVersion::v2;
  return std::nullopt;
}

std::vector<NamedGptqLinear> open_gptq_linears(const Checkpoint& checkpoint,
                                               const GptqConfig& config) {
  const GptqReader reader(checkpoint, config);
  std::vector<NamedGptqLinear> linears;
  for (const ContainerEntry& entry : checkpoint.entries())
    if (const auto module = module_of(entry.name, ".qweight"))
      linears.push_back({*module, reader.open_linear(*module)});
  return linears;
}

OpenedWeights open_gptq_weights(const Checkpoint& checkpoint, const StatedQuantization& stated) {
  const GptqConfig config = read_gptq_config(stated);
  const GptqReader reader(checkpoint, config);
  std::vector<PackedEntry> linears;
  int mislabelled = 0;
  for (const ContainerEntry& entry : checkpoint.entries()) {
    const auto module = module_of(entry.name, ".qweight");
    if (!module) continue;
    GptqLinear linear = reader.settled_linear(*module);
    mislabelled += linear.version != config.version ? 1 : 0;
    linears.push_back(reader.entry(*module, std::move(linear)));
  }
  if (linears.empty())
    throw bad_input("{}: says GPTQ, but no tensor is packed (no .qweight)", config.origin);
  report_mislabelled(config, mislabelled);
  return {make_packed_source(checkpoint, std::move(linears)),
          fmt::format("GPTQ {}{}{}", grid_text(config.grid), config.act_order ? ", act-order" : "",
                      config.rules.empty() ? "" : ", mixed")};
}

std::unique_ptr<PackedReader> gptq_reader(const Checkpoint& checkpoint,
                                          const StatedQuantization& stated) {
  return std::make_unique<GptqLinears>(checkpoint, read_gptq_config(stated));
}

}  // namespace halftone
