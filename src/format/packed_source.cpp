// Packed linears by name, dense tensors behind them. Codes are unpacked when rows are asked for.
#include "format/packed_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <set>

#include "base/error.h"
#include "base/printable.h"
#include "format/grid_limits.h"
#include "format/stored_scales.h"

namespace halftone {
namespace {

constexpr int64_t kRowsAtOnce = 64;  // unpacked into a buffer

class PackedSource : public WeightSource {
 public:
  PackedSource(const Checkpoint& checkpoint, std::vector<PackedEntry> linears)
      : dense_(open_dense_weights(checkpoint)) {
    std::set<std::string> parts;
    for (PackedEntry& entry : linears) {
      parts.insert(entry.parts.begin(), entry.parts.end());
      tensors_.push_back(entry.stored);
      linears_.emplace(entry.stored.name, std::move(entry));
    }
    for (const StoredTensor& tensor : dense_->tensors()) {
      if (parts.count(tensor.name) > 0) continue;
      if (linears_.count(tensor.name) > 0)
        throw bad_input("{}: {} is there dense and packed", checkpoint.path(),
                        printable(tensor.name));
      tensors_.push_back(tensor);
    }
    std::sort(tensors_.begin(), tensors_.end(),
              [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
  }

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }

  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override {
    const PackedEntry* entry = entry_of(name);
    if (entry == nullptr) return dense_->read(name, row_begin, row_end, out);
    assert(0 <= row_begin && row_begin <= row_end && row_end <= entry->stored.rows);
    entry->linear->read(row_begin, row_end, out);
  }

  std::optional<ConstView> mapped(std::string_view name) const override {
    if (entry_of(name) != nullptr) return std::nullopt;
    return dense_->mapped(name);
  }

  std::optional<QuantizedMatrix> quantized(std::string_view name) const override {
    const PackedEntry* entry = entry_of(name);
    if (entry == nullptr || !entry->stored.grid) return std::nullopt;
    return entry->linear->unpack(0, entry->stored.rows);
  }

 private:
  const PackedEntry* entry_of(std::string_view name) const {
    const auto at = linears_.find(name);
    return at == linears_.end() ? nullptr : &at->second;
  }

  std::unique_ptr<WeightSource> dense_;
  std::vector<StoredTensor> tensors_;                        // by name
  std::map<std::string, PackedEntry, std::less<>> linears_;  // by "<module>.weight"
};

}  // namespace

void PackedLinear::read(int64_t row_begin, int64_t row_end, View out) const {
  for (int64_t row = row_begin; row < row_end; row += kRowsAtOnce) {
    const int64_t end = std::min(row + kRowsAtOnce, row_end);
    const QuantizedMatrix rows = unpack(row, end);
    dequantize(rows, 0, rows.rows, out.rows_of(row - row_begin, end - row_begin));
  }
}

PackedEntry make_packed_entry(const Checkpoint& checkpoint, const std::string& module,
                              std::initializer_list<const char*> suffixes, const Grid& grid,
                              std::string_view format) {
  PackedEntry entry;
  entry.stored.name = module + ".weight";
  entry.stored.encoding = encoding_text(format, grid);
  entry.stored.quantized = true;
  entry.stored.grid = grid;
  for (const char* suffix : suffixes) {
    const ContainerEntry* part = checkpoint.find(module + suffix);
    if (part == nullptr) continue;
    entry.stored.bytes += static_cast<int64_t>(part->bytes.size());
    entry.parts.push_back(part->name);
  }
  return entry;
}

std::unique_ptr<WeightSource> make_packed_source(const Checkpoint& checkpoint,
                                                 std::vector<PackedEntry> linears) {
  return std::make_unique<PackedSource>(checkpoint, std::move(linears));
}

std::optional<std::string> module_of(const std::string& name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() == suffix.size()) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

const ContainerEntry& packed_part(const Checkpoint& checkpoint, const std::string& module,
                                  std::string_view suffix, std::string_view sibling) {
  const ContainerEntry* entry = checkpoint.find(module + std::string(suffix));
  if (entry == nullptr)
    throw bad_input("{}: {}{} is missing, but {}{} is there", checkpoint.path(), printable(module),
                    suffix, printable(module), sibling);
  return *entry;
}

void check_part_type(const ContainerEntry& entry, std::string_view type) {
  if (entry.type == type) return;
  throw bad_input("{}: {}: type {}, expected {}", entry.file, printable(entry.name), entry.type,
                  type);
}

void check_part_shape(const ContainerEntry& entry, const std::vector<int64_t>& expected,
                      const Grid& grid, const std::string& origin) {
  if (entry.shape == expected) return;
  throw bad_input("{}: {}: shape {}, expected {} ({} bits, group_size {})", entry.file,
                  printable(entry.name), shape_text(entry.shape), shape_text(expected), grid.bits,
                  grid.group_size)
      .hint(origin + " and the tensors do not agree.");
}

ScaleStore check_scales(const ContainerEntry& entry) {
  const auto store = scale_store_of(entry.type);
  if (!store)
    throw bad_input("{}: {}: type {}, expected F32, F16 or BF16", entry.file, printable(entry.name),
                    entry.type);
  return *store;
}

std::vector<int32_t> read_group_index(const ContainerEntry& entry, const Grid& grid, int64_t cols,
                                      const std::string& origin) {
  check_part_type(entry, "I32");
  check_part_shape(entry, {cols}, grid, origin);
  const int64_t groups = grid.groups(cols), width = grid.group_width(cols);
  std::vector<int32_t> group_of(static_cast<size_t>(cols));
  std::memcpy(group_of.data(), entry.bytes.data(), entry.bytes.size());
  bool trivial = true;
  for (int64_t col = 0; col < cols; ++col) {
    const int32_t group = group_of[static_cast<size_t>(col)];
    if (group < 0 || group >= groups)
      throw bad_input("{}: {}: input {} is in group {}, expected 0 to {}", entry.file,
                      printable(entry.name), col, group, groups - 1);
    trivial &= group == col / width;
  }
  if (trivial) group_of.clear();
  return group_of;
}

}  // namespace halftone
