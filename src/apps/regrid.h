// Regridded weights: channels rescaled in pairs that cancel, so that the model computes the same
// and its weights lie on no 4-bit grid any more.
//
// The real models at hand are 4-bit files. Quantizing those again to 4 bits would measure how well
// a method finds the old grid. With factors f = exp(U(−¼, ¼)), one a channel:
//   a norm's gain × f       the columns of the linears that read it ÷ f   (q, k, v; gate, up)
//   rows of up × f          columns of down ÷ f
//   rows of v × f           columns of o ÷ f, in every head that reads that key-value head
// Products are taken in f64 and rounded once, to f32 or bf16.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/open_model.h"
#include "model/weights.h"

namespace halftone {

class RegriddedSource final : public WeightSource {
 public:
  // `tensors` outlives this. Throws Error(bad_input) for a model with fused tensors or parts that
  // are not text.
  RegriddedSource(const ModelTensors& tensors, uint64_t seed);

  const std::vector<StoredTensor>& tensors() const override { return stored_; }
  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override;

 private:
  // What a tensor's rows and columns are multiplied with; empty: 1.
  struct Scaling {
    TensorKey key;
    std::vector<double> rows, cols;
    double offset = 0;  // a gain's: (w + offset) · f − offset
  };
  void scale_layer(int layer, uint64_t seed);
  Scaling& scaling(int layer, Role role, Part part = Part::weight);

  const ModelTensors& tensors_;
  std::vector<StoredTensor> stored_;
  std::map<std::string, Scaling, std::less<>> scalings_;
};

struct RegridOptions {
  uint64_t seed = 0;
  bool force = false;  // replace an output that is there
  bool quiet = false;
};

// The regridded model as a Hugging Face directory in bf16, with tokenizer and configuration. Throws
// Error(usage) when `output` exists and not `force`.
void write_regridded(const OpenedModel& model, const std::string& output,
                     const RegridOptions& options);

}  // namespace halftone
