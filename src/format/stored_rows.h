// The rows of one tensor of a mapped file, decoded where they are asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "io/container.h"
#include "io/gguf.h"
#include "tensor/tensor.h"

namespace halftone {

class StoredRows {
 public:
  // A vector of n elements is one row. Throws Error(bad_input) naming the tensor: a type that
  // ggml_dequantize does not know (F32, F16 and BF16 are called the same in safetensors), more than
  // two dimensions. `entry` outlives this.
  explicit StoredRows(const ContainerEntry& entry);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  const ContainerEntry& entry() const { return *entry_; }
  bool dense() const;  // F32, F16 or BF16
  std::span<const std::byte> row_bytes(int64_t row) const;
  void decode(int64_t row, std::span<float> out) const;

  // out (end − begin, cols), f32 or bf16 := rows [begin, end), rounded once.
  void read(int64_t begin, int64_t end, View out) const;
  // All rows where they lie; nothing for blocks and for addresses that the type does not allow.
  std::optional<ConstView> mapped() const;

 private:
  const ContainerEntry* entry_;
  int64_t rows_ = 1, cols_ = 0;
  size_t row_bytes_ = 0;
};

// out row `row` := values, rounded once when it is bf16.
void store_row(std::span<const float> values, View out, int64_t row);

}  // namespace halftone
