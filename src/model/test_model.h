// For tests: weights in memory, and a small random model of any family.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/arch_table.h"
#include "model/config.h"
#include "tensor/weight_source.h"

namespace halftone {

// f32 matrices by name.
class MemorySource final : public WeightSource {
 public:
  // A vector of `cols` when rank is 1.
  void add(const std::string& name, int64_t rows, int64_t cols, std::vector<float> values,
           int rank = 2);
  void remove(const std::string& name);
  std::vector<float>& values(const std::string& name) { return values_.at(name); }

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;

 private:
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::vector<float>, std::less<>> values_;
};

// hidden 16, four heads of 8 on two of keys and values, 24 in the MLP, 40 tokens; `layers` of them.
ModelConfig small_config(const std::string& model_type, int64_t layers = 2);

// Every tensor that the family needs, drawn from a seed; a fused tensor whole.
MemorySource random_weights(const ModelConfig& config, const ArchSpec& arch, uint64_t seed = 1);

}  // namespace halftone
