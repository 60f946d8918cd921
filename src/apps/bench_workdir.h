// Where a bench's model, journal and output lie meanwhile, and the room that they need.
#pragma once

#include <cstdint>
#include <string>

#include "apps/plan.h"
#include "base/json.h"

namespace halftone {

// Of a code, its scale and its zero in a journal: scales are f32 there.
double journal_bits(const Grid& grid, int64_t cols);

// What model, journal and output take together, with so many layers of a shape; rather too much.
int64_t bench_disk_bytes(const Json& config, int64_t layers, const QuantizeOptions& options);

// Where `bytes` go: to `given`; else to memory, as a model that has just been fetched lies in the
// page cache; else to the temporary directory. Throws Error(resources) when there is no room.
std::string choose_workdir(const std::string& given, int64_t bytes);

}  // namespace halftone
