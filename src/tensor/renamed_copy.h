// A model's tensors and one more: a tensor that is there, under a second name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/weight_source.h"

namespace halftone {

// What a tied head becomes when it is to have values of its own (codes, for one).
class RenamedCopy final : public WeightSource {
 public:
  // `original` is in `base`; a tensor of the copy's name is hidden. No file holds the copy's bytes:
  // StoredTensor::bytes is 0.
  RenamedCopy(std::unique_ptr<WeightSource> base, std::string original, std::string copy);

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;
  std::optional<ConstView> mapped(std::string_view name) const override;
  std::optional<QuantizedMatrix> quantized(std::string_view name) const override;

 private:
  std::string_view stored_name(std::string_view name) const;

  std::unique_ptr<WeightSource> base_;
  std::string original_, copy_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace halftone
