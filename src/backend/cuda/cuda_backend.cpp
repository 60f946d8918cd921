// The backend's class: what it says of itself, events, and the way from virtuals to operations.
#include "backend/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/cuda_weight.h"

namespace halftone::cuda {
namespace {

// Events that nobody can still wait for in earnest: the device is long past them.
constexpr size_t kEventsKept = 4096;
// Products' workspace, tiles of f32 results, pieces that are converted on the way, small operands.
constexpr int64_t kWorkspaceBytes = int64_t{384} << 20;

std::string name_of_card(int device) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, device), "asking for a card's properties");
  return properties.name;
}

}  // namespace

CudaBackend::CudaBackend(int device, const BackendOptions& options)
    : context_(device, options.instructions),
      transfers_(context_, options.threads),
      pinned_(transfers_.host_threads()) {
  const CardProperties& card = context_.card();
  info_.backend = "cuda";
  info_.device = fmt::format("{} (cuda:{})", name_of_card(device), device);
  const char* narrowed = options.instructions == Instructions::all ? ""
                         : card.bf16                               ? " as sm_80"
                                                                   : " as sm_75";
  info_.instructions = fmt::format("sm_{}{}{}", card.major, card.minor, narrowed);
  info_.native_bf16 = card.bf16;
  info_.threads = transfers_.threads();
  info_.batch_tokens = 8192;  // fills the card with products of a few thousand columns
  info_.workspace_bytes = kWorkspaceBytes;
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(context_.compute());
  cudaStreamSynchronize(context_.copy());
}

Tensor CudaBackend::allocate(int64_t rows, int64_t cols, DType dtype) {
  return on_card().temporary(rows, cols, dtype);
}

void CudaBackend::upload(ConstView host, View device, Queue queue) {
  transfers().upload(host, device, queue);
}

void CudaBackend::download(ConstView device, View host) { transfers().download(device, host); }

void CudaBackend::copy(ConstView from, View to) {
  Context& context = on_card();
  cuda::copy(context, from, to, context.compute());
}

void CudaBackend::fill(View x, float value) { cuda::fill(on_card(), x, value); }

void CudaBackend::synchronize() {
  on_card();
  check(cudaDeviceSynchronize(), {"waiting for the card"});
}

Event CudaBackend::record(Queue queue) {
  CudaEvent event;
  event.record(on_card().stream(queue));
  const std::lock_guard lock(recording_);
  return keep(std::move(event));
}

Event CudaBackend::keep(CudaEvent event) {
  events_.push_back(std::move(event));
  if (events_.size() > kEventsKept) {
    events_.front().wait();
    events_.pop_front();
    ++first_event_;
  }
  return first_event_ + events_.size() - 1;
}

Event CudaBackend::transfer(std::span<const Event> after, ConstView from, View to) {
  assert(from.contiguous() && to.contiguous() && from.bytes() == to.bytes());
  const Context& context = on_card();
  const bool up = from.place == Place::host;
  const cudaStream_t stream = up ? context.arrivals() : context.departures();
  const std::lock_guard lock(recording_);
  for (const Event event : after)
    if (event >= first_event_) events_[event - first_event_].block(stream);
  check(cudaMemcpyAsync(to.data, from.data, static_cast<size_t>(from.bytes()),
                        up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, stream),
        {"transfer", {from.rows, from.cols}});
  CudaEvent done;
  done.record(stream);
  return keep(std::move(done));
}

void CudaBackend::wait(Queue queue, Event event) {
  const cudaStream_t stream = on_card().stream(queue);
  const std::lock_guard lock(recording_);
  if (event >= first_event_) events_[event - first_event_].block(stream);
}

void CudaBackend::download_beside(Event event, ConstView device, View host) {
  {
    const cudaStream_t stream = on_card().beside();
    const std::lock_guard lock(recording_);
    if (event >= first_event_) events_[event - first_event_].block(stream);
  }
  transfers().download_beside(device, host);
}

std::unique_ptr<Weight> CudaBackend::prepare(ConstView weight, DType compute) {
  return prepare_weight(on_card(), transfers_, weight, compute);
}

std::unique_ptr<Weight> CudaBackend::prepare(const QuantizedMatrix& weight, DType compute) {
  return prepare_weight(on_card(), transfers_, weight, compute);
}

std::unique_ptr<Weight> CudaBackend::prepare(const CodeView& weight, DType compute) {
  return prepare_weight(on_card(), weight, compute);
}

bool CudaBackend::restore(const Weight& weight, View out) {
  const auto& prepared = static_cast<const CudaWeight&>(weight);
  prepared.await();
  Context& context = on_card();
  cuda::copy(context, prepared.view(), out, context.compute());
  return true;
}

void CudaBackend::linear(ConstView x, const Weight& weight, ConstView bias, View y,
                         bool accumulate) {
  cuda::linear(on_card(), x, weight, bias, {y, accumulate});
}

void CudaBackend::embed(std::span<const int32_t> ids, ConstView table, float scale, View y) {
  cuda::embed(on_card(), ids, table, scale, y);
}

void CudaBackend::norm(ConstView x, ConstView gain, const NormSpec& spec, View y) {
  cuda::norm(on_card(), x, gain, spec, y);
}

void CudaBackend::rope(ConstView x, std::span<const int32_t> positions, ConstView frequencies,
                       const RopeSpec& spec, View y) {
  cuda::rope(on_card(), x, {positions, frequencies, spec}, y);
}

void CudaBackend::attention(ConstView q, ConstView k, ConstView v,
                            std::span<const Sequence> sequences, const AttentionSpec& spec,
                            View y) {
  cuda::attention(on_card(), {q, k, v}, sequences, spec, y);
}

void CudaBackend::gated_activation(ConstView gate, ConstView up, Activation act, View y) {
  cuda::gated_activation(on_card(), gate, up, act, y);
}

void CudaBackend::add(ConstView a, ConstView b, View y) { cuda::add(on_card(), a, b, y); }

void CudaBackend::add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec,
                           View y) {
  cuda::add_norm(on_card(), {x, residual}, gain, spec, y);
}

void CudaBackend::softcap(View x, float cap) { cuda::softcap(on_card(), x, cap); }

void CudaBackend::score(ConstView logits, ConstView base_logits, std::span<const int32_t> targets,
                        View scores) {
  cuda::score(on_card(), logits, base_logits, targets, scores);
}

void CudaBackend::accumulate_hessian(ConstView x, ConstView row_weights, View h) {
  cuda::accumulate_hessian(on_card(), x, row_weights, h);
}

void CudaBackend::gather_symmetric(ConstView h, std::span<const int32_t> order,
                                   double dead_diagonal, double damping, View out) {
  cuda::gather_symmetric(on_card(), h, order, {dead_diagonal, damping}, out);
}

void CudaBackend::factor_ldl(View a, View status) { cuda::factor_ldl(on_card(), a, status); }

void CudaBackend::gather_columns(ConstView w, std::span<const int32_t> order, View out) {
  cuda::gather_columns(on_card(), w, order, out);
}

void CudaBackend::fit_grid(ConstView w, const GridFit& fit, ConstView importance, View scales,
                           View zeros) {
  cuda::fit_grid(on_card(), {w, importance}, fit, {scales, zeros});
}

void CudaBackend::fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                             View offsets) {
  if (!cuda::fit_blocks(on_card(), {w, importance}, fit, {scales, offsets}))
    Backend::fit_blocks(w, fit, importance, scales, offsets);
}

void CudaBackend::quantize_columns(ConstView w, View target, ConstView factor,
                                   const ColumnBlock& block, const Grid& grid, ConstView scales,
                                   ConstView zeros, View codes, View errors) {
  cuda::quantize_columns(on_card(), {w, factor, scales, zeros}, block, grid,
                         {target, codes, errors});
}

void CudaBackend::encode(ConstView w, const Grid& grid, const CodeView& q) {
  cuda::encode(on_card(), w, grid, q);
}

void CudaBackend::code_errors(ConstView w, const CodeView& q, View errors) {
  cuda::code_errors(on_card(), w, q, errors);
}

void CudaBackend::add_squares(ConstView m, std::span<const double> weights, View sum) {
  cuda::add_squares(on_card(), m, weights, sum);
}

void CudaBackend::copy_diagonal_blocks(ConstView a, View blocks) {
  cuda::copy_diagonal_blocks(on_card(), a, blocks);
}

void CudaBackend::multiply_add(ConstView a, ConstView b, View c, Products products) {
  cuda::multiply_add(on_card(), a, b, {c, products});
}

}  // namespace halftone::cuda
