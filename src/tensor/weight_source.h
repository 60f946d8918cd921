// Where the loader gets a model's tensors, by their Hugging Face names: dense safetensors, a packed
// checkpoint, or a GGUF file alike.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/quantized.h"
#include "tensor/tensor.h"

namespace halftone {

// What is stored under a name. A vector of n elements is (1, n).
struct StoredTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  int64_t rows = 0, cols = 0;
  int rank = 2;               // in the file: 1 or 2
  std::string encoding = {};  // "bf16", "f32", "Q4_K", "gptq 4-bit g128 sym"
  int64_t bytes = 0;          // in the file, scales and zeros included
  bool quantized = false;     // holds codes: not a dense floating-point tensor
  double grid_bits = 0;       // of a quantized one, where its grid says: codes, scales, zeros
  // Of a quantized one, when WeightSource::quantized() gives it.
  std::optional<Grid> grid = {};
  bool permuted = false;  // its groups are not of neighbouring inputs (act-order)

  // Bits a weight: the grid's, or what the file spends.
  double bits_per_weight() const {
    if (grid_bits > 0) return grid_bits;
    const int64_t values = rows * cols;
    return values == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(values);
  }
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Everything that is stored, sorted by name.
  virtual const std::vector<StoredTensor>& tensors() const = 0;
  virtual const StoredTensor* find(std::string_view name) const;

  // out (row_end − row_begin, cols), f32 or bf16, on the host := those rows, dequantized where need
  // be and rounded once. Throws Error(bad_input) naming the tensor.
  virtual void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const = 0;

  // The rows where they lie in the mapped file, in the file's dtype, when they are dense; otherwise
  // nothing. Valid as long as the source.
  virtual std::optional<ConstView> mapped(std::string_view name) const;

  // The codes, scales and zeros, when the stored grid is one that QuantizedMatrix holds.
  virtual std::optional<QuantizedMatrix> quantized(std::string_view name) const;
};

}  // namespace halftone
