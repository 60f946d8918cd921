// GPTQ as a weight source. Shapes are checked against each other when the checkpoint is opened;
// codes are unpacked when rows are asked for.
#include "format/gptq_source.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"

namespace halftone {
namespace {

constexpr int64_t kRowsAtOnce = 64;  // unpacked into a buffer

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void check_shape(const ContainerEntry& entry, const std::vector<int64_t>& expected,
                 const GptqConfig& config) {
  if (entry.shape == expected) return;
  throw bad_input("{}: {}: shape {}, expected {} ({} bits, group_size {})", entry.file,
                  printable(entry.name), shape_text(entry.shape), shape_text(expected),
                  config.grid.bits, config.grid.group_size)
      .hint(config.origin +
            " and the tensors do not agree; rules for single modules are not read.");
}

void check_type(const ContainerEntry& entry, std::string_view type) {
  if (entry.type == type) return;
  throw bad_input("{}: {}: type {}, expected {}", entry.file, printable(entry.name), entry.type,
                  type);
}

int32_t load_int(std::span<const std::byte> bytes, size_t at) {
  int32_t value;
  std::memcpy(&value, bytes.data() + 4 * at, sizeof(value));
  return value;
}

// What a symmetric grid's qzeros say, whatever the label: v1 holds 2^(bits−1) − 1 in every field,
// v2 2^(bits−1). Nothing when they hold neither.
std::optional<GptqVersion> version_of_zeros(const ContainerEntry& qzeros, int64_t rows, int bits) {
  const auto holds = [&](int zero) {
    // The fields repeat every `bits` words.
    std::vector<uint32_t> pattern(static_cast<size_t>(bits));
    for (int bit = 0; bit < bits * 32; ++bit) {
      const uint32_t set = static_cast<uint32_t>(zero >> bit % bits & 1);
      pattern[static_cast<size_t>(bit / 32)] |= set << bit % 32;
    }
    const size_t words = qzeros.bytes.size() / 4;
    const auto words_in_row = static_cast<size_t>(rows * bits / 32);
    for (size_t i = 0; i < words; ++i) {
      const uint32_t wanted = pattern[i % words_in_row % static_cast<size_t>(bits)];
      if (static_cast<uint32_t>(load_int(qzeros.bytes, i)) != wanted) return false;
    }
    return true;
  };
  if (holds((1 << (bits - 1)) - 1)) return GptqVersion::v1;
  if (holds(1 << (bits - 1))) return GptqVersion::v2;
  return std::nullopt;
}

class GptqWeights : public WeightSource {
 public:
  GptqWeights(const Checkpoint& checkpoint, const GptqConfig& config);

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;
  std::optional<ConstView> mapped(std::string_view name) const override;
  std::optional<QuantizedMatrix> quantized(std::string_view name) const override;

 private:
  const ContainerEntry& part(const std::string& module, const char* suffix) const;
  GptqLinear open_linear(const std::string& module);
  void read_groups(const std::string& module, GptqLinear& linear) const;
  void settle_zeros(const ContainerEntry& qzeros, GptqLinear& linear);
  void add_linear(const std::string& module);
  const GptqLinear* linear_of(std::string_view name) const;

  const Checkpoint& checkpoint_;
  GptqConfig config_;
  std::unique_ptr<WeightSource> dense_;
  std::vector<StoredTensor> tensors_;                       // by name
  std::map<std::string, GptqLinear, std::less<>> linears_;  // by "<module>.weight"
  int mislabelled_ = 0;
};

// "<module>.qweight" → "<module>"; nothing for other names.
std::optional<std::string> module_of(const std::string& name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() == suffix.size()) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

GptqWeights::GptqWeights(const Checkpoint& checkpoint, const GptqConfig& config)
    : checkpoint_(checkpoint), config_(config), dense_(open_dense_weights(checkpoint)) {
  for (const ContainerEntry& entry : checkpoint.entries()) {
    if (const auto module = module_of(entry.name, ".qweight")) add_linear(*module);
  }
  if (linears_.empty()) {
    throw bad_input("{}: says GPTQ, but no tensor is packed (no .qweight)", config.origin);
  }
  for (const StoredTensor& tensor : dense_->tensors()) {
    bool packed = false;
    for (const char* suffix : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
      const auto module = module_of(tensor.name, suffix);
      packed |= module && linears_.count(*module + ".weight") > 0;
    }
    if (packed) continue;
    if (linears_.count(tensor.name) > 0) {
      throw bad_input("{}: {} is there dense and packed", checkpoint.path(),
                      printable(tensor.name));
    }
    tensors_.push_back(tensor);
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
  if (mislabelled_ > 0) {
    spdlog::warn("{}: labelled {}, but {} linears hold the zero points of {}: read as such",
                 config.origin, name_of(config.version), mislabelled_,
                 name_of(config.version == GptqVersion::v1 ? GptqVersion::v2 : GptqVersion::v1));
  }
}

const ContainerEntry& GptqWeights::part(const std::string& module, const char* suffix) const {
  const ContainerEntry* entry = checkpoint_.find(module + suffix);
  if (entry == nullptr) {
    throw bad_input("{}: {}{} is missing, but {}.qweight is there", checkpoint_.path(),
                    printable(module), suffix, printable(module));
  }
  return *entry;
}

GptqLinear GptqWeights::open_linear(const std::string& module) {
  const ContainerEntry& qweight = part(module, ".qweight");
  const ContainerEntry& qzeros = part(module, ".qzeros");
  const ContainerEntry& scales = part(module, ".scales");
  const int bits = config_.grid.bits;
  check_type(qweight, "I32");
  check_type(qzeros, "I32");
  if (qweight.shape.size() != 2 || qweight.shape[0] < 1 || qweight.shape[1] < 1 ||
      qweight.shape[0] > INT32_MAX || qweight.shape[0] * 32 % bits != 0) {
    throw bad_input("{}: {}: shape {}, expected [inputs·{}/32, outputs]", qweight.file,
                    printable(qweight.name), shape_text(qweight.shape), bits);
  }
  GptqLinear linear;
  linear.grid = config_.grid;
  linear.version = config_.version;
  linear.rows = qweight.shape[1];
  linear.cols = qweight.shape[0] * 32 / bits;
  if (linear.rows > INT32_MAX || linear.rows * bits % 32 != 0) {
    throw bad_input("{}: {}: {} outputs of {} bits do not fill 32-bit words", qweight.file,
                    printable(qweight.name), linear.rows, bits);
  }
  const int64_t groups = linear.grid.groups(linear.cols);
  check_shape(scales, {groups, linear.rows}, config_);
  check_shape(qzeros, {groups, linear.rows * bits / 32}, config_);
  if (scales.type == "F16") {
    linear.grid.scales = ScaleStore::f16;
  } else if (scales.type == "BF16") {
    linear.grid.scales = ScaleStore::bf16;
  } else {
    check_type(scales, "F32");
    linear.grid.scales = ScaleStore::f32;
  }
  linear.qweight = qweight.bytes.data();
  linear.qzeros = qzeros.bytes.data();
  linear.scales = scales.bytes.data();
  read_groups(module, linear);
  settle_zeros(qzeros, linear);
  return linear;
}

// g_idx, kept only where it says more than input / group_size.
void GptqWeights::read_groups(const std::string& module, GptqLinear& linear) const {
  const ContainerEntry* entry = checkpoint_.find(module + ".g_idx");
  if (entry == nullptr) {
    if (config_.act_order) part(module, ".g_idx");
    return;
  }
  check_type(*entry, "I32");
  check_shape(*entry, {linear.cols}, config_);
  const int64_t groups = linear.grid.groups(linear.cols);
  const int64_t width = linear.grid.group_width(linear.cols);
  std::vector<int32_t> group_of(static_cast<size_t>(linear.cols));
  bool trivial = true;
  for (int64_t col = 0; col < linear.cols; ++col) {
    const int32_t group = load_int(entry->bytes, static_cast<size_t>(col));
    if (group < 0 || group >= groups) {
      throw bad_input("{}: {}: input {} is in group {}, expected 0 to {}", entry->file,
                      printable(entry->name), col, group, groups - 1);
    }
    group_of[static_cast<size_t>(col)] = group;
    trivial &= group == col / width;
  }
  if (!trivial) linear.group_of = std::move(group_of);
}

// Labels lie: a symmetric checkpoint called "gptq" may hold v2's zeros, which are known by their
// value.
void GptqWeights::settle_zeros(const ContainerEntry& qzeros, GptqLinear& linear) {
  if (!linear.grid.symmetric) return;
  const auto version = version_of_zeros(qzeros, linear.rows, linear.grid.bits);
  if (!version) {
    linear.grid.symmetric = false;  // what it says of itself does not hold: take zeros as they are
  } else if (*version != linear.version) {
    linear.version = *version;
    ++mislabelled_;
  }
}

void GptqWeights::add_linear(const std::string& module) {
  GptqLinear linear = open_linear(module);
  StoredTensor stored;
  stored.name = module + ".weight";
  stored.rows = linear.rows;
  stored.cols = linear.cols;
  stored.encoding = fmt::format("gptq {}-bit g{} {}", linear.grid.bits, linear.grid.group_size,
                                linear.grid.symmetric ? "sym" : "asym");
  for (const char* suffix : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
    const ContainerEntry* entry = checkpoint_.find(module + suffix);
    if (entry != nullptr) stored.bytes += static_cast<int64_t>(entry->bytes.size());
  }
  stored.quantized = true;
  stored.grid_bits = linear.grid.bits_per_weight(linear.cols);
  linears_.emplace(stored.name, std::move(linear));
  tensors_.push_back(std::move(stored));
}

const GptqLinear* GptqWeights::linear_of(std::string_view name) const {
  const auto at = linears_.find(name);
  return at == linears_.end() ? nullptr : &at->second;
}

void GptqWeights::read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const {
  const GptqLinear* linear = linear_of(name);
  if (linear == nullptr) {
    dense_->read(name, row_begin, row_end, out);
    return;
  }
  assert(0 <= row_begin && row_begin <= row_end && row_end <= linear->rows);
  for (int64_t row = row_begin; row < row_end; row += kRowsAtOnce) {
    const int64_t end = std::min(row + kRowsAtOnce, row_end);
    const QuantizedMatrix rows = unpack_gptq(*linear, row, end);
    dequantize(rows, 0, rows.rows, out.rows_of(row - row_begin, end - row_begin));
  }
}

std::optional<ConstView> GptqWeights::mapped(std::string_view name) const {
  if (linear_of(name) != nullptr) return std::nullopt;
  return dense_->mapped(name);
}

std::optional<QuantizedMatrix> GptqWeights::quantized(std::string_view name) const {
  const GptqLinear* linear = linear_of(name);
  if (linear == nullptr) return std::nullopt;
  return unpack_gptq(*linear, 0, linear->rows);
}

}  // namespace

std::unique_ptr<WeightSource> open_gptq_weights(const Checkpoint& checkpoint,
                                                const GptqConfig& config) {
  return std::make_unique<GptqWeights>(checkpoint, config);
}

std::string describe(const GptqConfig& config) {
  const std::string groups = config.grid.group_size < 0
                                 ? "one group a row"
                                 : fmt::format("groups of {}", config.grid.group_size);
  return fmt::format("GPTQ {} bits, {}, {}{}", config.grid.bits, groups,
                     config.grid.symmetric ? "symmetric" : "asymmetric",
                     config.act_order ? ", act-order" : "");
}

}  // namespace halftone
