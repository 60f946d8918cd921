// Pass-through (design §6): what a command does not change, it copies byte for byte.
#include "format/dense_tensors.h"

#include <algorithm>

#include "base/error.h"
#include "base/half.h"
#include "base/interrupt.h"
#include "base/mapped_ranges.h"
#include "tensor/allocator.h"

namespace halftone {
namespace {

constexpr int64_t kValuesAtOnce = int64_t{1} << 20;  // of a table that is converted

// `first_row` of the tensor is row 0 of `exact`.
void round_to_f16(ConstView exact, View out, const std::string& name, int64_t first_row) {
  for (int64_t r = 0; r < exact.rows; ++r)
    for (int64_t c = 0; c < exact.cols; ++c) {
      const float value = exact.row<float>(r)[c];
      const f16 rounded = to_f16(value);
      if ((rounded.bits & 0x7fff) == 0x7c00)
        throw bad_input("{}: {} at row {}, column {} does not fit f16", name, value, first_row + r,
                        c)
            .hint("use --dtype bf16 or f32.");
      out.row<f16>(r)[c] = rounded;
    }
}

// Whether every value of a vector keeps its value in `dtype`.
bool holds(const WeightSource& source, const StoredTensor& stored, DType dtype) {
  HostAllocator host;
  const Tensor values(host, stored.rows, stored.cols, DType::f32);
  source.read(stored.name, 0, stored.rows, values);
  for (int64_t r = 0; r < stored.rows; ++r)
    for (int64_t c = 0; c < stored.cols; ++c) {
      const float value = values.row<float>(r)[c];
      const float kept = dtype == DType::f16 ? to_float(to_f16(value)) : to_float(to_bf16(value));
      if (kept != value) return false;
    }
  return true;
}

}  // namespace

DType dense_type(const Checkpoint& checkpoint, const WeightSource& source,
                 const StoredTensor& stored) {
  if (stored.encoding == "f16") return DType::f16;
  if (stored.encoding != "f32") return DType::bf16;
  if (stored.rank != 1) return DType::f32;
  const Json& config = checkpoint.metadata().config;
  const auto says = [&](const char* name) {
    for (const char* key : {"torch_dtype", "dtype"})
      if (const auto found = config.find(key); found != config.end() && found->is_string())
        return *found == name;
    return false;
  };
  for (const auto& [name, dtype] :
       {std::pair("bfloat16", DType::bf16), std::pair("float16", DType::f16)})
    if (says(name) && holds(source, stored, dtype)) return dtype;
  return DType::f32;
}

DenseTensors::DenseTensors(const Checkpoint& checkpoint, const WeightSource& source,
                           const std::function<bool(const std::string&)>& wanted,
                           std::optional<DType> dtype)
    : checkpoint_(checkpoint), source_(source), dtype_(dtype) {
  for (const StoredTensor& stored : source.tensors())
    if (wanted(stored.name)) names_.push_back(stored.name);
}

std::optional<DType> DenseTensors::conversion(const StoredTensor& stored) const {
  if (dtype_) return dtype_;
  const bool in_file = stored.bytes > 0;  // else a transform changed it: tensor/changed_source.h
  if (!stored.quantized && in_file && !checkpoint_.is_gguf()) return std::nullopt;
  return dense_type(checkpoint_, source_, stored);
}

void DenseTensors::plan(std::vector<TensorPlan>& tensors) const {
  for (const std::string& name : names_) {
    const StoredTensor& stored = *source_.find(name);
    const auto dtype = conversion(stored);
    if (!dtype) {
      const ContainerEntry& entry = *checkpoint_.find(name);
      tensors.push_back({name, entry.type, entry.shape, static_cast<int64_t>(entry.bytes.size())});
      continue;
    }
    std::vector<int64_t> shape = {stored.rows, stored.cols};
    if (stored.rank == 1) shape.erase(shape.begin());
    tensors.push_back({name, std::string(safetensors_name(*dtype)), shape,
                       stored.rows * stored.cols * static_cast<int64_t>(size_of(*dtype))});
  }
}

void DenseTensors::write(SafetensorsWriter& writer, ThreadPool& threads) const {
  threads.parallel_for(static_cast<int64_t>(names_.size()), 1, [&](int64_t begin, int64_t) {
    const std::string& name = names_[static_cast<size_t>(begin)];
    throw_if_interrupted();
    check_mapped_files();
    if (const auto dtype = conversion(*source_.find(name)))
      write_converted(name, *dtype, writer);
    else
      writer.write(name, checkpoint_.find(name)->bytes);
  });
}

void DenseTensors::write_converted(const std::string& name, DType dtype,
                                   SafetensorsWriter& writer) const {
  const StoredTensor& stored = *source_.find(name);
  const bool checked = dtype == DType::f16;  // by way of f32: values that do not fit are refused
  if (stored.rows * stored.cols == 0) return writer.write(name, {});
  const int64_t rows_at_once =
      std::min(stored.rows, std::max<int64_t>(1, kValuesAtOnce / stored.cols));
  HostAllocator host;
  const Tensor part(host, rows_at_once, stored.cols, dtype);
  const Tensor exact(host, checked ? rows_at_once : 0, stored.cols, DType::f32);
  for (int64_t row = 0; row < stored.rows; row += rows_at_once) {
    throw_if_interrupted();
    const int64_t rows = std::min(rows_at_once, stored.rows - row);
    const View out = part.view().rows_of(0, rows);
    if (checked) {
      source_.read(name, row, row + rows, exact.view().rows_of(0, rows));
      round_to_f16(exact.view().rows_of(0, rows), out, name, row);
    } else {
      source_.read(name, row, row + rows, out);
    }
    writer.append(name, {static_cast<const std::byte*>(out.data),
                         static_cast<size_t>(rows * stored.cols) * size_of(dtype)});
  }
}

}  // namespace halftone
