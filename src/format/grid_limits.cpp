// Checks, refusals and names of grids that formats share.
#include "format/grid_limits.h"

#include <algorithm>

#include "base/error.h"

namespace halftone {
namespace {

template <class Number>
std::string list_text(std::initializer_list<Number> numbers) {
  std::string text;
  size_t left = numbers.size();
  for (const Number number : numbers) {
    text += fmt::format("{}", number);
    if (--left > 0) text += left == 1 ? " or " : ", ";
  }
  return text;
}

template <class Number>
bool contains(std::initializer_list<Number> numbers, Number wanted) {
  return std::find(numbers.begin(), numbers.end(), wanted) != numbers.end();
}

}  // namespace

void check_bits(const Grid& grid, std::initializer_list<int> held, std::string_view format) {
  if (contains(held, grid.bits)) return;
  throw usage_error("--bits {}: expected {} (what --format {} holds)", grid.bits, list_text(held),
                    format);
}

void check_group_size(const Grid& grid, std::initializer_list<int64_t> held,
                      std::string_view format) {
  if (held.size() > 0) {
    if (contains(held, grid.group_size)) return;
    throw usage_error("--group-size {}: expected {} (what --format {} holds)", grid.group_size,
                      list_text(held), format);
  }
  if (grid.group_size == -1 || grid.group_size > 0) return;
  throw usage_error("--group-size {}: expected a positive number, or -1 for one group a row",
                    grid.group_size);
}

void check_fills_words(const std::string& module, const char* what, int64_t count, int bits,
                       std::string_view format) {
  if (count * bits % 32 == 0) return;
  throw usage_error("{}: {} {} of {} bits do not fill 32-bit words, as --format {} packs them",
                    module, count, what, bits, format)
      .hint(fmt::format("leave it out with --skip '{}'.", module));
}

void check_one_grid(std::span<const PlannedModule> modules, std::string_view format) {
  const PlannedModule* first = nullptr;
  for (const PlannedModule& module : modules) {
    if (module.skipped) continue;
    if (first == nullptr) first = &module;
    if (module.grid == first->grid) continue;
    throw usage_error("--format {} has one grid for all: {} has {}, {} has {}", format, first->name,
                      grid_text(first->grid), module.name, grid_text(module.grid))
        .hint("gptq, compressed-tensors and mlx hold grids that differ.");
  }
}

std::string grid_obstacle(const QuantizedMatrix& matrix, ScaleStore store, bool neighbours) {
  if (matrix.grid.table != LevelTable::even) return "its levels are uneven";
  if (matrix.grid.offsets) return "its offsets are no multiples of its scales";
  if (neighbours && !matrix.group_of.empty()) return "its groups are scattered (act-order g_idx)";
  for (const float scale : matrix.scales)
    if (round_to(store, scale) != scale)
      return fmt::format("its scale {} would be rounded to {}", scale, round_to(store, scale));
  return "";
}

std::vector<ReaderVerdict> verdicts_of_all(
    std::span<const PlannedModule> modules,
    const std::function<std::vector<ReaderVerdict>(const Grid&)>& verdicts_of) {
  std::vector<Grid> grids;
  for (const PlannedModule& module : modules)
    if (!module.skipped && std::find(grids.begin(), grids.end(), module.grid) == grids.end())
      grids.push_back(module.grid);
  if (grids.empty()) return verdicts_of(Grid());
  std::vector<ReaderVerdict> all = verdicts_of(grids.front());
  for (size_t i = 1; i < grids.size(); ++i) {
    const std::vector<ReaderVerdict> more = verdicts_of(grids[i]);
    for (size_t r = 0; r < all.size(); ++r) {
      const bool refuses_now = all[r].opens && !more[r].opens;
      const bool remark = all[r].opens && all[r].why.empty();
      if (refuses_now || remark) all[r] = more[r];
    }
  }
  return all;
}

void refuse_quantized_head(std::vector<ReaderVerdict>& verdicts,
                           std::span<const PlannedModule> modules,
                           std::initializer_list<std::string_view> readers, std::string_view why) {
  if (!quantizes_head(modules)) return;
  for (ReaderVerdict& verdict : verdicts)
    if (verdict.opens && std::find(readers.begin(), readers.end(), verdict.reader) != readers.end())
      verdict = {verdict.reader, false, fmt::format("a quantized head: {}", why)};
}

std::string grid_text(const Grid& grid) {
  return fmt::format(
      "{} bits, {}, {}", grid.bits,
      grid.group_size < 0 ? "one group a row" : fmt::format("groups of {}", grid.group_size),
      grid.symmetric ? "symmetric" : "asymmetric");
}

std::string encoding_text(std::string_view format, const Grid& grid) {
  return fmt::format("{} {}-bit g{} {}", format, grid.bits, grid.group_size,
                     grid.symmetric ? "sym" : "asym");
}

}  // namespace halftone
