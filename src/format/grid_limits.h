// What formats have in common when they say which grids they hold, and which not.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/format.h"

namespace halftone {

// Throw Error(usage) that lists what the format takes. No sizes: any positive one, and -1.
void check_bits(const Grid& grid, std::initializer_list<int> held, std::string_view format);
void check_group_size(const Grid& grid, std::initializer_list<int64_t> held,
                      std::string_view format);
// Throws Error(usage) when `count` codes do not fill words of 32 bits; `what`: "inputs".
void check_fills_words(const std::string& module, const char* what, int64_t count, int bits,
                       std::string_view format);
// For formats whose configuration has one grid for all. Throws Error(usage) naming two modules.
void check_one_grid(std::span<const PlannedModule> modules, std::string_view format);

// Why a format that stores scales as `store` on an even grid cannot hold them; empty when it can.
// `neighbours`: groups must be of neighbouring inputs.
std::string grid_obstacle(const QuantizedMatrix& matrix, ScaleStore store, bool neighbours);

// One verdict a reader from those on each grid in use: the first refusal counts, then the first
// remark. `verdicts_of` names the same readers for every grid.
std::vector<ReaderVerdict> verdicts_of_all(
    std::span<const PlannedModule> modules,
    const std::function<std::vector<ReaderVerdict>(const Grid&)>& verdicts_of);

// Makes refusals of the verdicts of `readers` where the head is quantized.
void refuse_quantized_head(std::vector<ReaderVerdict>& verdicts,
                           std::span<const PlannedModule> modules,
                           std::initializer_list<std::string_view> readers, std::string_view why);

// "4 bits, groups of 128, symmetric".
std::string grid_text(const Grid& grid);
// "gptq 4-bit g128 sym": a stored tensor's encoding.
std::string encoding_text(std::string_view format, const Grid& grid);

}  // namespace halftone
