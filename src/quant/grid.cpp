// Which group sizes divide, and what to propose where one does not.
#include "quant/grid.h"

#include <cassert>

#include "base/error.h"

namespace halftone {
namespace {

// What to type instead: the largest size that kernels are made for and that divides, then the other
// multiples of 32 that do.
std::string propose_group_size(int64_t cols) {
  int64_t best = -1;
  for (const int64_t size : {16, 32, 64, 128})
    if (cols % size == 0) best = size;
  if (best < 0) return "use --group-size -1 (one group a row).";
  std::string others;
  for (int64_t size = 32; size <= 256; size += 32)
    if (cols % size == 0 && size != best) others += fmt::format("{}, ", size);
  return fmt::format("use --group-size {} (or {}-1).", best, others);
}

}  // namespace

void check_grid(const Grid& grid, [[maybe_unused]] int64_t rows, int64_t cols,
                const std::string& module) {
  assert(rows > 0 && cols > 0);
  if (grid.bits < 2 || grid.bits > 8 || grid.bits == 7)
    throw usage_error("--bits {}: expected 2, 3, 4, 5, 6 or 8", grid.bits);
  if (grid.superblock > 0 && cols % grid.superblock != 0)
    throw usage_error("{}: {} inputs, expected a multiple of {} (of its superblocks)", module, cols,
                      grid.superblock);
  if (grid.group_size == -1) return;
  if (grid.group_size <= 0)
    throw usage_error("--group-size {}: expected a positive number, or -1 for one group a row",
                      grid.group_size);
  if (cols % grid.group_size != 0)
    throw usage_error("--group-size {} does not divide {}'s {} inputs", grid.group_size, module,
                      cols)
        .hint(propose_group_size(cols));
}

}  // namespace halftone
