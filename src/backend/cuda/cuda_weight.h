// A linear's weight on the card.
#pragma once

#include "backend/cuda/cuda_context.h"
#include "backend/cuda/transfers.h"

namespace halftone::cuda {

class CudaWeight final : public Weight {
 public:
  CudaWeight(Context& context, int64_t out, int64_t in, DType compute);
  ~CudaWeight() override;

  // (out, in) in the type of the products; rows are padded with zeros to `ld`, a multiple of 16
  // bytes, so that cuBLASLt's fast kernels serve every size.
  View view() const { return view_; }
  // Work that is queued on the copy stream until now is what prepares this weight.
  void mark_prepared();
  // Makes the compute stream wait until the weight is there.
  void await() const;

 private:
  Context& context_;
  View view_;
  size_t bytes_ = 0;
  CudaEvent prepared_;
};

std::unique_ptr<Weight> prepare_weight(Context& context, Transfers& transfers, ConstView weight,
                                       DType compute);
std::unique_ptr<Weight> prepare_weight(Context& context, Transfers& transfers,
                                       const QuantizedMatrix& weight, DType compute);
// From codes that the compute stream has made; contiguous.
std::unique_ptr<Weight> prepare_weight(Context& context, const CodeView& weight, DType compute);

}  // namespace halftone::cuda
