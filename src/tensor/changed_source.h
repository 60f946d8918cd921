// A model's tensors with some of them changed on the way: what a function-preserving transform
// makes of a dense model, without a second copy of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/weight_source.h"

namespace halftone {

class ChangedSource final : public WeightSource {
 public:
  // Changes rows of f32 values in place, the first of which is the tensor's row `begin`. From any
  // thread.
  using Change = std::function<void(int64_t begin, View rows)>;

  explicit ChangedSource(std::unique_ptr<WeightSource> base);
  // From now on rows [begin, end) of `name` are read through `change`, after the changes that are
  // there already. Of such a tensor no file holds the bytes: StoredTensor::bytes is 0. Not while
  // another thread reads.
  void change(const std::string& name, int64_t begin, int64_t end, Change change);

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;
  std::optional<ConstView> mapped(std::string_view name) const override;
  std::optional<QuantizedMatrix> quantized(std::string_view name) const override;

 private:
  struct ChangedRows {
    int64_t begin = 0, end = 0;
    Change change;
  };

  std::unique_ptr<WeightSource> base_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::vector<ChangedRows>, std::less<>> changes_;
};

}  // namespace halftone
