// The one interface between the program and a device: about twenty coarse operations over rank-2
// views. A virtual call costs nanoseconds, and the compiler lists what a new backend lacks.
//
// Operations *enqueue*: they return before the device is done, in order within a queue; `ref` and
// `cpu` simply execute at once. The host reads results only through download(). Status words (a
// factorization failed, something is not finite) are tensors, read late. One instance a device;
// none of this is global. Shapes are checked by assert: a wrong one is our bug, not the user's.
//
// Lifetimes: arguments on the host (spans, views with Place::host, structs) are consumed on return:
// they may die or be overwritten then, so a backend that needs them longer copies them. Arguments
// on the device need only live until the call returns, too: whoever owns the allocator releases
// memory in the order of its queues, after what was enqueued before.
//
// Unless an operation says otherwise, x and y may be f32 or bf16 and are computed in f32.
// tests/conformance runs every backend against `ref` on odd sizes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/quantized.h"
#include "tensor/tensor.h"

namespace halftone {

// What a backend says of itself.
struct DeviceInfo {
  std::string backend;       // "cpu"
  std::string device;        // "AMD EPYC, 2 threads"
  std::string instructions;  // "avx512_bf16": part of a journal's fingerprint
  bool native_bf16 = false;  // multiplies bf16 in hardware: what --dtype auto goes by
  int threads = 1;
  int64_t batch_tokens = 2048;  // rows a call that keep it busy: short sequences go together
  // Matrices in f64 are factored; false: nobody asks for it, and f32 has to do. Sums that
  // add_squares() makes are f64 anyway.
  bool f64 = true;
  // Of its memory, that operations take beside their arguments, whatever the sizes of these.
  int64_t workspace_bytes = int64_t{4} << 20;
};

// A linear's weight in a backend's own layout, made by Backend::prepare().
class Weight {
 public:
  virtual ~Weight() = default;
  int64_t rows = 0, cols = 0;  // (out, in)
  DType dtype = DType::f32;    // of the products: the type in which linear() takes its input
};

enum class Queue : uint8_t { compute, copy };
using Event = uint64_t;

enum class NormKind : uint8_t { rms, layer };
struct NormSpec {
  NormKind kind = NormKind::rms;
  float epsilon = 1e-6f;
  float gain_offset = 0;  // gemma stores gain − 1
  // Each y is √s times as large, s being what its row is divided by: the square of a row counts s
  // times as much. For Hessians (docs/methods.md §6); never what a layer computes.
  bool weighed = false;
};

enum class Activation : uint8_t { silu, gelu_tanh, gelu };

// Rotary position embedding, halves paired (x_i, x_{i+d/2}) as Hugging Face checkpoints have it.
struct RopeSpec {
  int heads = 1, head_dim = 0;
  float magnitude = 1;  // multiplies cos and sin (yarn's attention factor)
};

struct AttentionSpec {
  int heads = 1, kv_heads = 1, head_dim = 0;
  float scale = 1;    // of q·k
  int window = 0;     // a query sees its last `window` positions, itself included; 0: all
  float softcap = 0;  // s := cap · tanh(s / cap); 0: none
};

// One sequence of a batch: its queries are rows [q_begin, q_begin + q_count) of q, its keys and
// values rows [kv_begin, kv_begin + kv_count) of k and v; the last query is at the last key.
struct Sequence {
  int64_t q_begin = 0, q_count = 0, kv_begin = 0, kv_count = 0;
};

// What score() writes for each row, as f32.
enum ScoreColumn : int { kNll, kBaseNll, kKl, kSameTop, kScoreColumns };

enum class ScaleSearch : uint8_t {
  importance,  // least Σ importance · (w − ŵ)²; as power where no importance is given
  power,       // least Σ |w − ŵ|^power (2.4: GPTQModel's mse)
  minmax       // the whole range, as AutoGPTQ has it
};

struct GridFit {  // how fit_grid() chooses scales and zeros: docs/methods.md §2
  Grid grid;
  ScaleSearch search = ScaleSearch::power;
  float power = 2.4f;
  int steps = 80;  // shrink factors 1 − i/100, i < steps
};
// What scales are fitted to: w (rows, in), and importance (1, in) or nothing.
struct GridInputs {
  ConstView w, importance;
};
// Even levels, whole zeros, positive scales, no superblocks: what fit_grid() fits; fit_blocks() has
// the others.
inline bool has_plain_levels(const Grid& grid) {
  return grid.table == LevelTable::even && !grid.offsets && grid.superblock == 0 &&
         !grid.signed_scales;
}
// Of the errors in a search's sum.
inline float exponent_of(const GridFit& fit, bool importance) {
  return fit.search == ScaleSearch::importance && importance ? 2.0f : fit.power;
}

// How exactly a product is taken: `full`, f32 products and sums; `coarse`, the same of operands
// that may be rounded to 11 bits first: for results of which only a sum over very many elements
// counts.
enum class Products : uint8_t { full, coarse };

// A matrix of codes on the device, and what they stand for: ŵ_rk = scale · (level(code) − zero),
// with scale and zero of row r and group_of[k]; where `zeros` is f32 it holds offsets, and
// ŵ_rk = scale · level(code) − offset.
struct CodeView {
  View codes;                         // (rows, in) u8
  ConstView scales, zeros;            // (rows, groups) f32, u8 or f32
  std::span<const int32_t> group_of;  // (in): group of each column
  LevelTable table = LevelTable::even;
};

// A block of columns of one GPTQ problem; see Backend::quantize_columns.
struct ColumnBlock {
  int64_t begin = 0, end = 0;         // columns, in factored order
  std::span<const int32_t> group_of;  // (in): group of each column, in factored order
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const DeviceInfo& info() const = 0;
  // Where the memory that allocate() gives lies, and its budget.
  virtual Place place() const { return Place::device; }
  // Whether the host's threads have time for other work while operations run: false where it is
  // they that compute.
  virtual bool runs_beside_host() const { return true; }
  virtual Allocator& allocator() = 0;
  // Threads of the host, for what is to be done beside the device: reading, packing.
  virtual ThreadPool& host_threads() = 0;
  // Of host memory that upload() and download() are fastest with (pinned); ordinary by default. A
  // backend that computes in the host's memory has one allocator for both.
  virtual Allocator& host_allocator() { return host_allocator_; }

  // --- memory and order ---
  virtual Tensor allocate(int64_t rows, int64_t cols, DType dtype) = 0;
  // Copies with conversion between f64, f32, bf16 and f16 (rounding once); other types as they are.
  // Any leading dimension: a view of cols = 1, ld = n + 1 is a diagonal. upload: from the host,
  // download: to the host, and waits for it; copy: within the device.
  virtual void upload(ConstView host, View device, Queue queue = Queue::compute) = 0;
  virtual void download(ConstView device, View host) = 0;
  // download() of what was there at `event` of the compute queue, without waiting for what was
  // enqueued since. From any thread, also while another one enqueues.
  virtual void download_beside(Event event, ConstView device, View host);
  // Memory of the host that transfer() moves: pinned, where that is faster.
  virtual Allocator& transfer_allocator() { return host_allocator(); }
  // to := from, contiguous and of one type, one on the device and the other in memory of
  // transfer_allocator(): beside the compute queue, once the events `after` have happened. Returns
  // the event of its end, before which nobody changes either. Default: at once.
  virtual Event transfer(std::span<const Event> after, ConstView from, View to);
  virtual void copy(ConstView from, View to) = 0;
  virtual void fill(View x, float value) = 0;
  virtual void synchronize() {}  // waits until everything that was enqueued is done
  virtual Event record(Queue) { return 0; }
  virtual void wait(Queue, Event) {}

  // --- a decoder's forward pass ---
  // A weight (out, in) of f32, bf16 or f16 on the host, laid out for linear() with products in
  // `compute` (f32 or bf16) and sums in f32. The host memory is not referenced afterwards.
  virtual std::unique_ptr<Weight> prepare(ConstView weight, DType compute) = 0;
  // The same from codes. Default: dequantized. A backend with int4 kernels keeps the codes.
  virtual std::unique_ptr<Weight> prepare(const QuantizedMatrix& weight, DType compute);
  // The same from codes on the device. Default: by way of the host, one thread.
  virtual std::unique_ptr<Weight> prepare(const CodeView& weight, DType compute);

  // out (rows, cols) f32 := the weight as it is multiplied; false where its layout does not give
  // it.
  virtual bool restore(const Weight& /*weight*/, View /*out*/) { return false; }

  // y (n, out) := x (n, in) · Wᵀ + bias (1, out; f32; may be empty) [+ y when accumulate, y f32].
  virtual void linear(ConstView x, const Weight& weight, ConstView bias, View y,
                      bool accumulate = false) = 0;
  // y (n, hidden) := scale · table[ids], table (vocab, hidden).
  virtual void embed(std::span<const int32_t> ids, ConstView table, float scale, View y) = 0;
  // Each row: y := x / √(mean(x²) + epsilon) · (gain + gain_offset), of a layer norm x − mean(x) in
  // x's place; gain (1, cols) f32. x and y may be the same.
  virtual void norm(ConstView x, ConstView gain, const NormSpec& spec, View y) = 0;
  // x and y (n, heads·head_dim), may be the same; angle of pair i at row r is positions[r] ·
  // frequencies[i], frequencies (1, rotated/2) f32, rotated ≤ head_dim; the rest is copied.
  virtual void rope(ConstView x, std::span<const int32_t> positions, ConstView frequencies,
                    const RopeSpec& spec, View y) = 0;
  // y (n, heads·head_dim) := causal softmax(scale · q kᵀ) v for each sequence and head; head h
  // reads key-value head h / (heads / kv_heads).
  virtual void attention(ConstView q, ConstView k, ConstView v, std::span<const Sequence> sequences,
                         const AttentionSpec& spec, View y) = 0;
  // y := act(gate) · up, elementwise.
  virtual void gated_activation(ConstView gate, ConstView up, Activation act, View y) = 0;
  // y := a + b. y may be a or b.
  virtual void add(ConstView a, ConstView b, View y) = 0;
  // residual (f32) += x; y := norm(residual). Default: add, then norm.
  virtual void add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec, View y);

  // --- what a prediction is worth ---
  // x := cap · tanh(x / cap) (gemma 2's final logits).
  virtual void softcap(View x, float cap) = 0;
  // For each row of logits (n, vocab) f32 and its target: scores (n, kScoreColumns) f32 := negative
  // log likelihood; and, when base_logits (n, vocab) is not empty, the same of the base, KL(base ‖
  // model) in nats, and 1 or 0 for the same largest logit. Log-softmax in f32 over the first
  // `vocab` columns, sums in f64 or compensated: an error of 1e-6 relative at 262,144 columns.
  virtual void score(ConstView logits, ConstView base_logits, std::span<const int32_t> targets,
                     View scores) = 0;

  // --- matrices of the quantizer; all f32 unless said ---
  // h (in, in) += xᵀ · diag(row_weights) · x, the lower triangle only; x (n, in), row_weights (1,
  // n) or empty for ones, not negative. bf16 products are exact, sums in f32; √weight · x may be
  // rounded to x's type once more.
  virtual void accumulate_hessian(ConstView x, ConstView row_weights, View h) = 0;
  // out (n, n) := lower triangle of h[order, order] + damping on the diagonal; h lower (n, n) f32,
  // out f32 or f64. A zero on h's diagonal becomes `dead_diagonal` before damping. What is above
  // out's diagonal is undefined.
  virtual void gather_symmetric(ConstView h, std::span<const int32_t> order, double dead_diagonal,
                                double damping, View out) = 0;
  // a (n, n), lower triangle, f32 or f64, in place := a = L D Lᵀ with unit lower L: L below the
  // diagonal, D on it. status (1, 1) i32 := 0, or 1 + the index of the first pivot that is not
  // positive and finite (a is then undefined). The upper triangle is neither read nor meant.
  virtual void factor_ldl(View a, View status) = 0;
  // out (rows, n) := w[:, order]; both f32 or both u8.
  virtual void gather_columns(ConstView w, std::span<const int32_t> order, View out) = 0;
  // Scales (rows, groups) f32, values that fit.grid.scales can store, and zeros (rows, groups) u8
  // for w (rows, in), by groups of neighbouring columns. docs/methods.md §2 is the definition. Only
  // of grids that has_plain_levels() is true of.
  // importance (1, in) f32, positive, on the device; empty unless fit.search is `importance`.
  virtual void fit_grid(ConstView w, const GridFit& fit, ConstView importance, View scales,
                        View zeros) = 0;
  // The same of the other grids: scales and, where the grid has them, offsets (rows, groups) f32;
  // what is stored in f16 is a value of it, what is a multiple is one. Minimizes about
  // Σ |w − ŵ|^fit.power or, where importance (1, in; f32, on the device) is given, Σ importance ·
  // (w − ŵ)²; minmax takes the range. `in` is a multiple of group and superblock, groups
  // have at most 512 weights, superblocks 1, 2, 4, 8 or 16 groups, and fit.power is in [2, 4).
  // docs/methods.md §2 is the definition. Default: backend/block_search.h by the host's threads.
  virtual void fit_blocks(ConstView w, const GridFit& fit, ConstView importance, View scales,
                          View offsets);
  // GPTQ's inner loop by back-substitution with feedback (design §4), for k from block.end − 1 down
  // to block.begin:
  //   t_k = target_k + Σ_{j>k, j<block.end} (w_j − ŵ_j) L_jk,   ŵ_k = Q(t_k),
  //   codes[:, k],   errors[:, k − block.begin] = w_k − ŵ_k,   target_k := t_k − ŵ_k.
  // w (rows, in) original weights and target (rows, in) = w plus the feedback of the columns that
  // are done, both in factored order; factor (in, in) as factor_ldl leaves it (only what is below
  // the diagonal is read); scales, zeros (rows, groups), the latter f32 offsets where the grid has
  // them; codes (rows, in) u8; errors (rows, block) f32. Rounds half to even, in a table of levels
  // to the nearest, the lower one of two; codes clamped to the grid. What is left in target are the
  // columns of (W − Ŵ) L, whose squares weighted with D are the layer's error.
  virtual void quantize_columns(ConstView w, View target, ConstView factor,
                                const ColumnBlock& block, const Grid& grid, ConstView scales,
                                ConstView zeros, View codes, View errors) = 0;
  // q.codes := those nearest to w (rows, in), as quantize_columns() rounds; 0 for what is not a
  // number.
  virtual void encode(ConstView w, const Grid& grid, const CodeView& q) = 0;
  // errors (rows, in) := w − ŵ, ŵ and the difference rounded to f32; errors may be w.
  virtual void code_errors(ConstView w, const CodeView& q, View errors) = 0;
  // sum (1, 1) f64 += Σ_rk weights_k · m_rk², products and sums in f64; m (rows, n), weights (n) or
  // empty for ones. In an order that does not depend on the number of threads.
  virtual void add_squares(ConstView m, std::span<const double> weights, View sum) = 0;
  // blocks (n, width) := the diagonal blocks of a (n, n), width columns each but the last, below
  // the diagonal; zero from the diagonal on, and beyond the last block's columns.
  virtual void copy_diagonal_blocks(ConstView a, View blocks) = 0;
  // c (m, n) += a (m, k) · b (k, n).
  virtual void multiply_add(ConstView a, ConstView b, View c,
                            Products products = Products::full) = 0;

 private:
  HostAllocator host_allocator_;
};

// Which of the hardware's instructions to use: for tests of the code for what is older.
enum class Instructions : uint8_t {
  all,
  earlier,  // without the newest: no AVX-512; none that only Hopper has
  oldest    // those of the oldest hardware that is supported
};

struct BackendOptions {
  int threads = 0;  // 0: all that this process may use
  Instructions instructions = Instructions::all;
};

// The device that --device stands for, and why: "auto" takes a GPU where a driver and a card are
// there, else the processor.
struct DeviceChoice {
  std::string device;  // "cuda"
  std::string reason;  // "NVIDIA H200, 140 GB, driver for CUDA 13.0"; or why there is no GPU
};
DeviceChoice choose_device(std::string_view device);

// The backends of this build: auto, cpu, cuda, cuda:N, ref. Throws Error(usage) listing the known
// names, or saying why a device cannot be used.
std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options);
std::vector<std::string> backend_names();

}  // namespace halftone
