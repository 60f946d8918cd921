// ggml's block types as grids: which grid each of them is, and blocks from codes and back. Layouts:
// docs/formats.md and llama.cpp's ggml-common.h; io/ggml_blocks.cpp decodes them to values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensor/quantized.h"

namespace halftone {

// The grid of a type; nothing for dense ones and for those that we do not write.
std::optional<Grid> ggml_grid(std::string_view type);
// The type whose grid this is; nothing where there is none.
std::optional<std::string_view> ggml_type_of(const Grid& grid);

// Why blocks of `type` cannot store these very values; empty when they can. Groups may be wider
// than the type's, by whole multiples.
std::string ggml_obstacle(std::string_view type, const QuantizedMatrix& matrix);
// out := row `row`; nothing is in the way of that (ggml_obstacle).
void pack_ggml_row(std::string_view type, const QuantizedMatrix& matrix, int64_t row,
                   std::span<std::byte> out);
// Codes, scales and offsets of row `row` of a matrix with the type's grid, whose vectors have their
// sizes, := those of the blocks.
void unpack_ggml_row(std::string_view type, std::span<const std::byte> blocks, int64_t row,
                     QuantizedMatrix& matrix);

}  // namespace halftone
