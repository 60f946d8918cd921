// NVIDIA cards from compute capability 7.5 on: the class whose operations are the functions of
// cuda_operations.h. bf16 products on tensor cores from 8.0 on; before, and with
// Instructions::oldest, f32 products of values that are rounded to bf16.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/cuda_context.h"
#include "backend/cuda/transfers.h"

namespace halftone::cuda {

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, const BackendOptions& options);
  ~CudaBackend() override;

  const DeviceInfo& info() const override { return info_; }
  Allocator& allocator() override { return context_.allocator(); }
  ThreadPool& host_threads() override { return transfers_.host_threads(); }

  Tensor allocate(int64_t rows, int64_t cols, DType dtype) override;
  void upload(ConstView host, View device, Queue queue) override;
  void download(ConstView device, View host) override;
  void download_beside(Event event, ConstView device, View host) override;
  Allocator& transfer_allocator() override { return pinned_; }
  Event transfer(std::span<const Event> after, ConstView from, View to) override;
  void copy(ConstView from, View to) override;
  void fill(View x, float value) override;
  void synchronize() override;
  Event record(Queue queue) override;
  void wait(Queue queue, Event event) override;

  std::unique_ptr<Weight> prepare(ConstView weight, DType compute) override;
  std::unique_ptr<Weight> prepare(const QuantizedMatrix& weight, DType compute) override;
  std::unique_ptr<Weight> prepare(const CodeView& weight, DType compute) override;
  bool restore(const Weight& weight, View out) override;
  void linear(ConstView x, const Weight& weight, ConstView bias, View y, bool accumulate) override;
  void embed(std::span<const int32_t> ids, ConstView table, float scale, View y) override;
  void norm(ConstView x, ConstView gain, const NormSpec& spec, View y) override;
  void rope(ConstView x, std::span<const int32_t> positions, ConstView frequencies,
            const RopeSpec& spec, View y) override;
  void attention(ConstView q, ConstView k, ConstView v, std::span<const Sequence> sequences,
                 const AttentionSpec& spec, View y) override;
  void gated_activation(ConstView gate, ConstView up, Activation act, View y) override;
  void add(ConstView a, ConstView b, View y) override;
  void add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec, View y) override;

  void softcap(View x, float cap) override;
  void score(ConstView logits, ConstView base_logits, std::span<const int32_t> targets,
             View scores) override;

  void accumulate_hessian(ConstView x, ConstView row_weights, View h) override;
  void gather_symmetric(ConstView h, std::span<const int32_t> order, double dead_diagonal,
                        double damping, View out) override;
  void factor_ldl(View a, View status) override;
  void gather_columns(ConstView w, std::span<const int32_t> order, View out) override;
  void fit_grid(ConstView w, const GridFit& fit, ConstView importance, View scales,
                View zeros) override;
  void fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                  View offsets) override;
  void quantize_columns(ConstView w, View target, ConstView factor, const ColumnBlock& block,
                        const Grid& grid, ConstView scales, ConstView zeros, View codes,
                        View errors) override;
  void encode(ConstView w, const Grid& grid, const CodeView& q) override;
  void code_errors(ConstView w, const CodeView& q, View errors) override;
  void add_squares(ConstView m, std::span<const double> weights, View sum) override;
  void copy_diagonal_blocks(ConstView a, View blocks) override;
  void multiply_add(ConstView a, ConstView b, View c, Products products) override;

 private:
  Event keep(CudaEvent event);  // under recording_

  // By these every operation begins: a card is current for a thread, and any thread may call.
  Context& on_card() {
    context_.make_current();
    return context_;
  }
  Transfers& transfers() {
    on_card();
    return transfers_;
  }

  Context context_;
  Transfers transfers_;
  PinnedAllocator pinned_;
  DeviceInfo info_;
  std::mutex recording_;          // of the next two: events are waited for by other threads, too
  std::deque<CudaEvent> events_;  // what record() gave out, the oldest first
  Event first_event_ = 1;         // the number of events_.front()
};

}  // namespace halftone::cuda
