// A checkpoint of packed linears beside dense tensors, whatever the packing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

// One linear as it lies in the files, its parts' shapes and types checked.
class PackedLinear {
 public:
  virtual ~PackedLinear() = default;
  // Rows [row_begin, row_end) as a matrix of their own; called only when the grid is an exact one
  // (PackedEntry::stored.grid).
  virtual QuantizedMatrix unpack(int64_t row_begin, int64_t row_end) const = 0;
  // out (row_end − row_begin, cols) := those rows, dequantized. Default: unpacked.
  virtual void read(int64_t row_begin, int64_t row_end, View out) const;
};

struct PackedEntry {
  StoredTensor stored;             // "<module>.weight", with its grid when unpack() gives it
  std::vector<std::string> parts;  // the tensors of the checkpoint that it is made of
  std::unique_ptr<PackedLinear> linear;
};

// The linears of one packing, each looked at when it is asked for, and only at its own tensors.
class PackedReader {
 public:
  virtual ~PackedReader() = default;
  // From any thread. Throws Error(bad_input) as opening the checkpoint does.
  virtual PackedEntry entry(const std::string& module) const = 0;
};

// `bytes` and `quantized` of the stored tensor and the parts, from the names of parts that are
// there.
PackedEntry make_packed_entry(const Checkpoint& checkpoint, const std::string& module,
                              std::initializer_list<const char*> suffixes, const Grid& grid,
                              std::string_view format);

// Everything else is dense. `checkpoint` outlives the source. Throws Error(bad_input) for a tensor
// that is there dense and packed.
std::unique_ptr<WeightSource> make_packed_source(const Checkpoint& checkpoint,
                                                 std::vector<PackedEntry> linears);

// --- what every reader checks ---

// "<module>.qweight" → "<module>"; nothing for other names.
std::optional<std::string> module_of(const std::string& name, std::string_view suffix);
std::string shape_text(const std::vector<int64_t>& shape);
// Throw Error(bad_input) naming the tensor. `sibling`: the suffix of the part that asks for it.
const ContainerEntry& packed_part(const Checkpoint& checkpoint, const std::string& module,
                                  std::string_view suffix, std::string_view sibling);
void check_part_type(const ContainerEntry& entry, std::string_view type);
// `origin`: the configuration that speaks of the grid.
void check_part_shape(const ContainerEntry& entry, const std::vector<int64_t>& expected,
                      const Grid& grid, const std::string& origin);
ScaleStore check_scales(const ContainerEntry& entry);
// g_idx of a linear, empty where it says no more than input / group_size.
std::vector<int32_t> read_group_index(const ContainerEntry& entry, const Grid& grid, int64_t cols,
                                      const std::string& origin);

}  // namespace halftone
