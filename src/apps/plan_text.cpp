// A plan in words that no two plans share: what a journal's fingerprint is made of.
#include <fmt/format.h>

#include "apps/plan.h"

namespace halftone {

std::string Plan::text() const {
  std::string text = fmt::format(
      "format {} order {} tokens {} inputs {} damping {} search {} power {} steps {} block {}\n",
      dense ? "dense" : format->name, name_of(solver.order), name_of(solver.tokens),
      name_of(solver.inputs), solver.damping, search_name(solver), solver.fit.power,
      solver.fit.steps, solver.block);
  for (const PlannedModule& table : tables)
    text += fmt::format("{} skipped {} bits {} table {} superblock {} offsets {}\n", table.name,
                        table.skipped, table.grid.bits, static_cast<int>(table.grid.table),
                        table.grid.superblock, table.grid.offsets);
  for (const PlanRow& row : rows)
    text += fmt::format("{} {}x{} {} {} {}\n", row.module, row.rows, row.cols,
                        row.method.empty() ? "skip" : row.method, canonical_text(row.grid),
                        row.skip_reason);
  return text;
}

std::string canonical_text(const Grid& grid) {
  return fmt::format(
      "bits {} group {} sym {} scales {} {} table {} offsets {} superblock {} of {} signed {}",
      grid.bits, grid.group_size, grid.symmetric, static_cast<int>(grid.scales), grid.stores_offset,
      static_cast<int>(grid.table), grid.offsets, grid.superblock, grid.multiple_bits,
      grid.signed_scales);
}

}  // namespace halftone
