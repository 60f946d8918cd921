// AWQ as a weight source. Shapes are checked against each other when the checkpoint is opened.
#include "format/awq_source.h"

#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "format/awq.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

class AwqPacked : public PackedLinear {
 public:
  explicit AwqPacked(const AwqLinear& linear) : linear_(linear) {}
  QuantizedMatrix unpack(int64_t row_begin, int64_t row_end) const override {
    return unpack_awq(linear_, row_begin, row_end);
  }

 private:
  AwqLinear linear_;
};

Grid read_grid(const StatedQuantization& stated) {
  if (stated.format != "" && stated.format != "gemm")
    throw bad_input("{}: AWQ packed as {}, expected gemm", stated.origin, printable(stated.format))
        .hint("get the checkpoint that it was made from.");
  const Grid grid = stated_grid(JsonObject(stated.json, stated.origin));
  if (grid.bits != 4) throw bad_input("{}: bits {}, expected 4", stated.origin, grid.bits);
  return grid;
}

AwqLinear open_linear(const Checkpoint& checkpoint, const std::string& module, const Grid& grid,
                      const std::string& origin) {
  const ContainerEntry& qweight = packed_part(checkpoint, module, ".qweight", ".qweight");
  const ContainerEntry& qzeros = packed_part(checkpoint, module, ".qzeros", ".qweight");
  const ContainerEntry& scales = packed_part(checkpoint, module, ".scales", ".qweight");
  check_part_type(qweight, "I32");
  check_part_type(qzeros, "I32");
  const auto fits = [](int64_t size) { return size >= 1 && size <= INT32_MAX / 8; };
  if (qweight.shape.size() != 2 || !fits(qweight.shape[0]) || !fits(qweight.shape[1]))
    throw bad_input("{}: {}: shape {}, expected [inputs, outputs/8]", qweight.file,
                    printable(qweight.name), shape_text(qweight.shape));
  AwqLinear linear;
  linear.grid = grid;
  linear.rows = qweight.shape[1] * 8;
  linear.cols = qweight.shape[0];
  const int64_t groups = grid.groups(linear.cols);
  check_part_shape(scales, {groups, linear.rows}, grid, origin);
  check_part_shape(qzeros, {groups, linear.rows / 8}, grid, origin);
  linear.grid.scales = check_scales(scales);
  linear.qweight = qweight.bytes.data();
  linear.qzeros = qzeros.bytes.data();
  linear.scales = scales.bytes.data();
  // Whatever it says of itself: zeros are stored in any case.
  linear.grid.symmetric = std::all_of(qzeros.bytes.begin(), qzeros.bytes.end(),
                                      [](std::byte byte) { return byte == std::byte{0x88}; });
  return linear;
}

class AwqReader : public PackedReader {
 public:
  AwqReader(const Checkpoint& checkpoint, const StatedQuantization& stated)
      : checkpoint_(checkpoint), grid_(read_grid(stated)), origin_(stated.origin) {}

  const Grid& grid() const { return grid_; }

  PackedEntry entry(const std::string& module) const override {
    const AwqLinear linear = open_linear(checkpoint_, module, grid_, origin_);
    PackedEntry entry = make_packed_entry(checkpoint_, module, {".qweight", ".qzeros", ".scales"},
                                          linear.grid, "awq");
    entry.stored.rows = linear.rows;
    entry.stored.cols = linear.cols;
    entry.stored.grid_bits = linear.grid.bits_per_weight(linear.cols);
    entry.linear = std::make_unique<AwqPacked>(linear);
    return entry;
  }

 private:
  const Checkpoint& checkpoint_;
  const Grid grid_;  // of all linears
  const std::string origin_;
};

}  // namespace

OpenedWeights open_awq_weights(const Checkpoint& checkpoint, const StatedQuantization& stated) {
  const AwqReader reader(checkpoint, stated);
  Grid grid = reader.grid();
  std::vector<PackedEntry> linears;
  bool symmetric = true;
  for (const ContainerEntry& entry : checkpoint.entries()) {
    const auto module = module_of(entry.name, ".qweight");
    if (!module) continue;
    linears.push_back(reader.entry(*module));
    symmetric &= linears.back().stored.grid->symmetric;
  }
  if (linears.empty())
    throw bad_input("{}: says AWQ, but no tensor is packed (no .qweight)", stated.origin);
  grid.symmetric = symmetric;
  return {make_packed_source(checkpoint, std::move(linears)), "AWQ " + grid_text(grid)};
}

std::unique_ptr<PackedReader> awq_reader(const Checkpoint& checkpoint,
                                         const StatedQuantization& stated) {
  return std::make_unique<AwqReader>(checkpoint, stated);
}

}  // namespace halftone
