#include "backend/cpu/dnnl_matmul.h"

#include <omp.h>

#include <algorithm>
#include <cassert>

namespace halftone::cpu {
namespace {

using dnnl::memory;

// The rows of the tile for which a weight's layout is chosen; every other number of rows takes the
// layout as it is.
constexpr int64_t kLayoutRows = 256;

// Weight elements of a slice: small enough that a single token's product is shared by all threads,
// large enough that a call's overhead does not count.
constexpr int64_t kSliceElements = int64_t{1} << 18;

// More than a model has shapes: only a server's odd prompt lengths get there, and calibration on
// hundreds of documents of uneven length.
constexpr size_t kMostKernels = 2048;

memory::data_type type_of(DType dtype) {
  assert(dtype == DType::f32 || dtype == DType::bf16);
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc row_major(int64_t rows, int64_t cols, DType dtype) {
  return memory::desc({rows, cols}, type_of(dtype), memory::dims{cols, 1});
}

memory::desc any_layout(int64_t inputs, int64_t outputs, DType dtype) {
  return memory::desc({inputs, outputs}, type_of(dtype), memory::format_tag::any);
}

// oneDNN's threads are OpenMP's, and their number is a property of the calling thread.
void hold_at_one_thread() { omp_set_num_threads(1); }

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const MatmulShape& shape,
                                      const memory::desc& weight) {
  hold_at_one_thread();  // compiling asks for their number too
  const memory::desc x = row_major(shape.rows, shape.inputs, shape.compute);
  const memory::desc y = row_major(shape.rows, shape.outputs, shape.result);
  const memory::desc bias = row_major(1, shape.outputs, DType::f32);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  if (shape.bias) return {engine, x, weight, bias, y, attributes};
  return {engine, x, weight, y, attributes};
#else
  if (shape.bias) return {dnnl::matmul::desc(x, weight, bias, y), attributes, engine};
  return {dnnl::matmul::desc(x, weight, y), attributes, engine};
#endif
}

// How a (K, N) matrix lies: element offsets of a step of one block along each dimension, and the
// blocks within.
struct Blocking {
  memory::dims strides, inner_sizes, inner_dims;
  bool operator==(const Blocking&) const = default;
};

Blocking blocking_of(const memory::desc& layout) {
#if DNNL_VERSION_MAJOR >= 3
  return {layout.get_strides(), layout.get_inner_blks(), layout.get_inner_idxs()};
#else
  const dnnl_blocking_desc_t& blocking = layout.data.format_desc.blocking;
  const int blocks = blocking.inner_nblks;
  return {{blocking.strides[0], blocking.strides[1]},
          {blocking.inner_blks, blocking.inner_blks + blocks},
          {blocking.inner_idxs, blocking.inner_idxs + blocks}};
#endif
}

// Columns of N in one inner block.
int64_t block_columns(const Blocking& blocking) {
  int64_t columns = 1;
  for (size_t i = 0; i < blocking.inner_sizes.size(); ++i)
    if (blocking.inner_dims[i] == 1) columns *= blocking.inner_sizes[i];
  return columns;
}

}  // namespace

MatmulEngine::MatmulEngine() : engine_(dnnl::engine::kind::cpu, 0) {}

// N is oneDNN's outermost dimension in every blocked layout it picks for matrix products; where the
// layout of a slice would differ from the whole's, there is one slice.
std::vector<PackedWeight::Slice> MatmulEngine::slices_of(const PackedWeight& weight) const {
  const Blocking whole = blocking_of(weight.layout);
  const int64_t columns = block_columns(whole);
  const int64_t element = static_cast<int64_t>(size_of(weight.dtype));
  const auto round_up = [](int64_t value, int64_t unit) {
    return (value + unit - 1) / unit * unit;
  };
  const int64_t width = round_up(std::max<int64_t>(kSliceElements / weight.inputs, 64),
                                 std::max<int64_t>(columns, 64));
  std::vector<PackedWeight::Slice> slices;
  for (int64_t begin = 0; begin < weight.outputs;) {
    // The last slice takes a short remainder along.
    const int64_t left = weight.outputs - begin;
    const int64_t end = left < 2 * width ? weight.outputs : begin + width;
    memory::desc layout;
    if (whole.inner_sizes.empty()) {
      layout = memory::desc({weight.inputs, end - begin}, type_of(weight.dtype), whole.strides);
    } else {
      const MatmulShape shape{.rows = kLayoutRows,
                              .inputs = weight.inputs,
                              .outputs = end - begin,
                              .compute = weight.dtype};
      layout = describe(engine_, shape, any_layout(weight.inputs, end - begin, weight.dtype))
                   .weights_desc();
      if (blocking_of(layout) != whole)
        return {{.begin = 0, .end = weight.outputs, .offset = 0, .layout = weight.layout}};
    }
    slices.push_back({.begin = begin,
                      .end = end,
                      .offset = begin / columns * whole.strides[1] * element,
                      .layout = layout});
    begin = end;
  }
  return slices;
}

PackedWeight MatmulEngine::pack(ConstView weight, DType dtype, Allocator& allocator,
                                ThreadPool& pool, const simd::Kernels& kernels) {
  PackedWeight packed;
  packed.inputs = weight.cols;
  packed.outputs = weight.rows;
  packed.dtype = dtype;
  const MatmulShape shape{
      .rows = kLayoutRows, .inputs = weight.cols, .outputs = weight.rows, .compute = dtype};
  packed.layout =
      describe(engine_, shape, any_layout(weight.cols, weight.rows, dtype)).weights_desc();
  packed.slices = slices_of(packed);
  packed.bytes = Tensor(allocator, 1, static_cast<int64_t>(packed.layout.get_size()), DType::u8);

  const auto pack_slice = [&](const PackedWeight::Slice& slice) {
    hold_at_one_thread();
    const int64_t rows = slice.end - slice.begin;
    ConstView source = weight.rows_of(slice.begin, slice.end);
    Tensor converted;
    if (source.dtype != dtype) {
      converted = Tensor(allocator, rows, weight.cols, dtype);
      for (int64_t row = 0; row < rows; ++row)
        kernels.convert(simd::source(source, row), simd::target(converted, row), weight.cols);
      source = converted;
    }
    const memory::desc plain({weight.cols, rows}, type_of(dtype), memory::dims{1, source.ld});
    memory from(plain, engine_, const_cast<void*>(source.data));
    memory to(slice.layout, engine_, packed.bytes.row<std::byte>(0) + slice.offset);
    dnnl::stream stream(engine_);
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
  };
  pool.parallel_for(static_cast<int64_t>(packed.slices.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pack_slice(packed.slices[static_cast<size_t>(i)]);
  });
  return packed;
}

MatmulKernel MatmulEngine::compile(const MatmulShape& shape, const memory::desc& weight) const {
  const dnnl::matmul::primitive_desc description = describe(engine_, shape, weight);
  return {.primitive = dnnl::matmul(description),
          .x = description.src_desc(),
          .weight = description.weights_desc(),
          .bias = row_major(1, shape.outputs, DType::f32),
          .y = description.dst_desc(),
          .scratchpad = description.scratchpad_desc(),
          .scratch_bytes = static_cast<int64_t>(description.scratchpad_desc().get_size())};
}

MatmulKernel MatmulEngine::kernel(const MatmulShape& shape, const memory::desc& weight) {
  // A layout follows from the shape, but for slices of plain ones, whose strides are the whole's.
  const Key key{shape, blocking_of(weight).strides};
  const std::lock_guard lock(mutex_);
  const auto found = kernels_.find(key);
  if (found != kernels_.end()) return found->second;
  if (kernels_.size() >= kMostKernels) kernels_.clear();
  return kernels_.emplace(key, compile(shape, weight)).first->second;
}

void MatmulEngine::run(const MatmulKernel& kernel, const MatmulOperands& operands) {
  hold_at_one_thread();
  const auto wrap = [&](const memory::desc& desc, const void* data) {
    return memory(desc, engine_, const_cast<void*>(data));
  };
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, wrap(kernel.x, operands.x)},
      {DNNL_ARG_WEIGHTS, wrap(kernel.weight, operands.weight)},
      {DNNL_ARG_DST, wrap(kernel.y, operands.y)}};
  if (operands.bias) arguments.emplace(DNNL_ARG_BIAS, wrap(kernel.bias, operands.bias));
  if (kernel.scratch_bytes > 0)
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(kernel.scratchpad, operands.scratch));
  dnnl::stream stream(engine_);
  kernel.primitive.execute(stream, arguments);
  stream.wait();
}

PackKernel MatmulEngine::pack_kernel(int64_t inputs, int64_t outputs, DType dtype) {
  assert(outputs <= kPackColumns);
  const std::lock_guard lock(mutex_);
  const auto key = std::tuple(inputs, outputs, dtype);
  const auto found = pack_kernels_.find(key);
  if (found != pack_kernels_.end()) return found->second;
  using tag = memory::format_tag;
  const MatmulShape shape{
      .rows = kLayoutRows, .inputs = inputs, .outputs = outputs, .compute = dtype};
  PackKernel kernel;
  kernel.staged = memory::desc({inputs, outputs}, type_of(dtype),
                               dtype == DType::bf16 ? tag::BA16a64b2a : tag::BA16a64b);
  kernel.layout = describe(engine_, shape, any_layout(inputs, outputs, dtype)).weights_desc();
  kernel.direct = kernel.staged == kernel.layout;
  kernel.staged_bytes = static_cast<int64_t>(kernel.staged.get_size());
  kernel.bytes = static_cast<int64_t>(kernel.layout.get_size());
  if (!kernel.direct)
    kernel.primitive = dnnl::reorder(
        dnnl::reorder::primitive_desc(engine_, kernel.staged, engine_, kernel.layout));
  if (pack_kernels_.size() >= kMostKernels) pack_kernels_.clear();
  return pack_kernels_.emplace(key, std::move(kernel)).first->second;
}

void MatmulEngine::run(const PackKernel& kernel, const void* staged, void* packed) {
  assert(!kernel.direct);
  hold_at_one_thread();
  memory from(kernel.staged, engine_, const_cast<void*>(staged));
  memory to(kernel.layout, engine_, packed);
  dnnl::stream stream(engine_);
  kernel.primitive.execute(stream, from, to);
  stream.wait();
}

std::string effective_instructions() {
  using dnnl::cpu_isa;
  const int isa = static_cast<int>(dnnl::get_effective_cpu_isa());
  const auto has = [isa](cpu_isa wanted) {
    return (isa & static_cast<int>(wanted)) == static_cast<int>(wanted);
  };
  if (has(cpu_isa::avx512_core_amx)) return "amx_bf16";
  if (has(cpu_isa::avx512_core_bf16)) return "avx512_bf16";
  if (has(cpu_isa::avx512_core)) return "avx512";
  if (has(cpu_isa::avx2)) return "avx2";
  return "sse41";
}

}  // namespace halftone::cpu
