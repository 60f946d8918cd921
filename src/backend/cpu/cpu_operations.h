// The CPU backend's class; its operations are defined in one .cpp a group: copy, linear, embed,
// norm, rope, attention, activation, score; the quantizer's operations are functions of
// quant_ops.h.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/dnnl_matmul.h"
#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/kernels.h"
#include "base/thread_pool.h"

namespace halftone::cpu {

class CpuBackend final : public Backend {
 public:
  // `isa`: the newest instructions to use, of those that the processor has; tests lower it.
  explicit CpuBackend(const BackendOptions& options, simd::Isa isa = simd::detect_isa());

  const DeviceInfo& info() const override { return info_; }
  Place place() const override { return Place::host; }
  bool runs_beside_host() const override { return false; }
  Allocator& allocator() override { return allocator_; }
  ThreadPool& host_threads() override { return pool_; }
  Allocator& host_allocator() override { return allocator_; }

  Tensor allocate(int64_t rows, int64_t cols, DType dtype) override;
  void upload(ConstView host, View device, Queue queue) override;
  void download(ConstView device, View host) override;
  void copy(ConstView from, View to) override;
  void fill(View x, float value) override;

  std::unique_ptr<Weight> prepare(ConstView weight, DType compute) override;
  std::unique_ptr<Weight> prepare(const QuantizedMatrix& weight, DType compute) override;
  std::unique_ptr<Weight> prepare(const CodeView& weight, DType compute) override;
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
  // Calls body(row) for each of `rows` rows of `cols` elements, in chunks that are worth a thread.
  void for_rows(int64_t rows, int64_t cols, const std::function<void(int64_t)>& body);

  // A linear's product of some rows of x and a slice of the weight.
  struct LinearTile {
    ConstView x;
    const PackedWeight::Slice* slice = nullptr;
    const void* weight = nullptr;  // the slice's
    ConstView bias;
    View y;
    DType compute = DType::f32;
    bool accumulate = false;
  };
  void run_tile(const LinearTile& tile);

  HostAllocator allocator_;  // outlives what is allocated from it
  ThreadPool pool_;
  const simd::Kernels& kernels_;
  DeviceInfo info_;
  Scratch scratch_;
  MatmulEngine matmul_;
};

}  // namespace halftone::cpu
