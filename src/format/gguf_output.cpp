// One file, or its parts: blocks where a module has a grid, else dense; vectors in f32. What
// llama.cpp's converter does to the weights is done here (gguf_source.cpp undoes it): rows of q and
// k interleaved in arch llama, 1 added to Gemma's norms.
#include "format/gguf_output.h"

#include <cassert>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/interrupt.h"
#include "format/ggml_grids.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "format/gguf_rows.h"

namespace halftone {
namespace {

constexpr int64_t kRowsAtOnce = 1024;

// A tensor of the file.
struct Target {
  GgufContents::Source source;
  GgufTensorPlan plan;
  int64_t rows = 0, cols = 0;
  int64_t head_dim = 0;  // whose rows are interleaved; 0: they are not
  bool packed = false;   // write() brings it
};

std::string dense_type(const StoredTensor& stored, std::optional<DType> wanted) {
  if (wanted) return *wanted == DType::bf16 ? "BF16" : *wanted == DType::f16 ? "F16" : "F32";
  return stored.encoding == "f32" ? "F32" : stored.encoding == "f16" ? "F16" : "BF16";
}

class GgufOutput : public ModelWriter {
 public:
  explicit GgufOutput(const OutputSpec& spec)
      : spec_(spec),
        contents_(*spec.gguf),
        targets_(plan_targets()),
        writer_(spec.directory + "/" + contents_.file_name, contents_.fields, plans(),
                spec.max_shard_bytes) {
    for (size_t i = 0; i < targets_.size(); ++i) by_source_[targets_[i].source.name] = i;
  }

  void write(const std::string& module, const QuantizedMatrix& matrix) override {
    const Target& target = targets_[by_source_.at(module + ".weight")];
    if (!target.packed || matrix.rows != target.rows || matrix.cols != target.cols)
      throw internal_error("{}: not planned in blocks, or in another shape", module);
    const std::string obstacle = ggml_obstacle(target.plan.type, matrix);
    if (!obstacle.empty())
      throw internal_error("{}: {} cannot store it: {}", module, target.plan.type, obstacle);
    write_rows(target, [&](int64_t row, std::span<std::byte> out) {
      pack_ggml_row(target.plan.type, matrix, row, out);
    });
  }

  // A file names its tensors as llama.cpp does, whatever they were called.
  std::string name_when_read(const std::string& module) const override {
    const std::string& name = targets_[by_source_.at(module + ".weight")].plan.name;
    const std::string read = hugging_face_name(*contents_.family, name).value_or(name);
    return read.substr(0, read.rfind(".weight"));
  }

  // The rope's divisors are configuration, though they lie among the tensors. Ollama takes one
  // file.
  void write_configuration() override {
    if (!contents_.rope_factors.empty())
      writer_.write("rope_freqs.weight", 0, std::as_bytes(std::span(contents_.rope_factors)));
    if (!contents_.modelfile.empty() && writer_.parts() == 1)
      write_file_atomically(spec_.directory + "/Modelfile", contents_.modelfile);
  }

  void write_dense(ThreadPool& threads) override {
    threads.parallel_for(static_cast<int64_t>(targets_.size()), 1, [&](int64_t begin, int64_t) {
      throw_if_interrupted();
      const Target& target = targets_[static_cast<size_t>(begin)];
      if (target.packed) return;
      if (target.plan.shape.size() == 1)
        write_vector(target);
      else
        write_matrix(target);
    });
  }

  int64_t finish() override { return writer_.finish(); }

 private:
  std::vector<Target> plan_targets() const {
    std::map<std::string, const PlannedModule*> modules;
    for (const PlannedModule& module : spec_.summary.modules)
      modules[module.name + ".weight"] = &module;
    std::vector<Target> targets;
    for (const GgufContents::Source& source : contents_.tensors) {
      const StoredTensor* stored = spec_.source.find(source.name);
      if (stored == nullptr) throw internal_error("{}: is not in the model", source.name);
      const auto module = modules.find(source.name);
      targets.push_back(
          plan_target(source, *stored, module == modules.end() ? nullptr : module->second));
    }
    return targets;
  }

  Target plan_target(const GgufContents::Source& source, const StoredTensor& stored,
                     const PlannedModule* module) const {
    Target target{source, {gguf_name(source.key), "F32", {stored.cols}}, stored.rows, stored.cols};
    if (source.key.role == Role::q && contents_.family->interleaved)
      target.head_dim = outputs_of(stored) / contents_.heads;
    if (source.key.role == Role::k && contents_.family->interleaved)
      target.head_dim = outputs_of(stored) / contents_.kv_heads;
    if (stored.rank == 1) return target;
    target.plan.shape = {stored.rows, stored.cols};
    target.packed = module != nullptr && !module->skipped;
    if (target.packed)
      target.plan.type = *ggml_type_of(module->grid);
    else
      target.plan.type =
          dense_type(stored, module != nullptr && module->dense ? module->dense : spec_.dense);
    return target;
  }

  static int64_t outputs_of(const StoredTensor& stored) {
    return stored.rank == 1 ? stored.cols : stored.rows;
  }

  std::vector<GgufTensorPlan> plans() const {
    std::vector<GgufTensorPlan> plans;
    if (!contents_.rope_factors.empty())
      plans.push_back(
          {"rope_freqs.weight", "F32", {static_cast<int64_t>(contents_.rope_factors.size())}});
    for (const Target& target : targets_) plans.push_back(target.plan);
    return plans;
  }

  // Calls encode(row, bytes) for every row of the source and puts it where the file has it. Whole
  // heads are written at a time.
  template <class Encode>
  void write_rows(const Target& target, Encode encode) {
    const int64_t row_bytes = bytes_of(target.plan) / target.rows;
    const int64_t step = target.head_dim > 0 ? target.head_dim : kRowsAtOnce;
    std::vector<std::byte> bytes(static_cast<size_t>(step * row_bytes));
    for (int64_t begin = 0; begin < target.rows; begin += step) {
      const int64_t end = std::min(begin + step, target.rows);
      for (int64_t row = begin; row < end; ++row) {
        const int64_t place = target.head_dim > 0 ? row_in_file(row, target.head_dim) : row;
        encode(row, std::span(bytes).subspan(static_cast<size_t>((place - begin) * row_bytes),
                                             static_cast<size_t>(row_bytes)));
      }
      writer_.write(target.plan.name, begin * row_bytes,
                    std::span(bytes).first(static_cast<size_t>((end - begin) * row_bytes)));
    }
  }

  void write_matrix(const Target& target) {
    const bool bf16s = target.plan.type == "BF16";
    HostAllocator host;
    const Tensor values(host, 1, target.cols, bf16s ? DType::bf16 : DType::f32);
    std::vector<f16> halves(target.plan.type == "F16" ? static_cast<size_t>(target.cols) : 0);
    write_rows(target, [&](int64_t row, std::span<std::byte> out) {
      spec_.source.read(target.source.name, row, row + 1, values);
      const void* from = values.view().data;
      if (!halves.empty()) {
        to_halves(target, row, values.row<float>(0), halves);
        from = halves.data();
      }
      std::memcpy(out.data(), from, out.size());
    });
  }

  static void to_halves(const Target& target, int64_t row, const float* values,
                        std::vector<f16>& halves) {
    for (size_t col = 0; col < halves.size(); ++col) {
      halves[col] = to_f16(values[col]);
      if ((halves[col].bits & 0x7fff) == 0x7c00)
        throw bad_input("{}: {} at row {}, column {} does not fit F16", target.source.name,
                        values[col], row, col)
            .hint("use BF16 or F32.");
    }
  }

  void write_vector(const Target& target) {
    HostAllocator host;
    const Tensor values(host, 1, target.cols, DType::f32);
    spec_.source.read(target.source.name, 0, 1, values);
    std::vector<float> stored(static_cast<size_t>(target.cols));
    for (int64_t i = 0; i < target.cols; ++i) {
      const int64_t place = target.head_dim > 0 ? row_in_file(i, target.head_dim) : i;
      stored[static_cast<size_t>(place)] =
          values.row<float>(0)[i] +
          (is_norm(target.source.key) ? contents_.family->gain_offset : 0);
    }
    writer_.write(target.plan.name, 0, std::as_bytes(std::span(stored)));
  }

  static bool is_norm(const TensorKey& key) {
    return key.part == Part::weight && !is_linear(key.role) && key.role != Role::embed &&
           key.role != Role::head;
  }

  const OutputSpec spec_;
  const GgufContents& contents_;
  std::vector<Target> targets_;
  std::map<std::string, size_t> by_source_;
  GgufWriter writer_;
};

}  // namespace

std::unique_ptr<ModelWriter> open_gguf_writer(const Format&, const OutputSpec& spec) {
  assert(spec.gguf != nullptr);
  return std::make_unique<GgufOutput>(spec);
}

}  // namespace halftone
