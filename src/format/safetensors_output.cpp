// ModelWriter of every format that is a Hugging Face directory: what pack() makes and what stays
// dense in safetensors shards, and the configuration beside them.
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "format/dense_tensors.h"
#include "format/format.h"

namespace halftone {
namespace {

constexpr int64_t kMaxShardBytes = int64_t{4} << 30;

std::string torch_name(DType dtype) {
  return dtype == DType::bf16 ? "bfloat16" : dtype == DType::f16 ? "float16" : "float32";
}

// Tensors that are codes in the output.
std::set<std::string> packed_weights(const OutputSpec& spec) {
  std::set<std::string> names;
  for (const PlannedModule& module : spec.summary.modules)
    if (!module.skipped) names.insert(module.name + ".weight");
  return names;
}

// A quantized head is a tensor of its own, whatever it was.
void untie(Json& config) {
  config["tie_word_embeddings"] = false;
  if (const auto text = config.find("text_config"); text != config.end() && text->is_object())
    (*text)["tie_word_embeddings"] = false;
}

// Transformers 5 moved rope_theta into rope_parameters; mlx-lm and others look where it was, and
// take 10,000 when they do not find it.
void keep_old_names(Json& config) {
  const auto rope = config.find("rope_parameters");
  if (rope == config.end() || !rope->is_object() || config.contains("rope_theta")) return;
  const auto theta = rope->find("rope_theta");
  if (theta != rope->end() && theta->is_number()) config["rope_theta"] = *theta;
}

class SafetensorsOutput : public ModelWriter {
 public:
  SafetensorsOutput(const Format* format, const OutputSpec& spec)
      : format_(format),
        spec_(spec),
        dense_(
            spec.checkpoint, spec.source,
            [packed = packed_weights(spec)](const std::string& name) {
              return packed.count(name) == 0;
            },
            spec.dense),
        plan_(plan()),
        writer_(spec.directory, plan_,
                spec.max_shard_bytes > 0 ? spec.max_shard_bytes : kMaxShardBytes) {
    write_known();
  }

  void write(const std::string& module, const QuantizedMatrix& matrix) override {
    for (const PackedTensor& tensor : format_->pack(module, matrix))
      if (known_.count(tensor.name) == 0) writer_.write(tensor.name, tensor.data);
  }

  void write_configuration() override {
    Json config = spec_.checkpoint.metadata().config;
    for (const char* key : {"quantization_config", "quantization"}) config.erase(key);
    if (spec_.dense)
      config[config.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name(*spec_.dense);
    keep_old_names(config);
    if (quantizes_head(spec_.summary.modules)) untie(config);
    if (format_ != nullptr) {
      const Json quantization = format_->configuration(spec_.summary);
      for (const std::string_view key : format_->config_keys)
        config[std::string(key)] = quantization;
      for (const std::string_view name : format_->side_files)
        write_file_atomically(spec_.directory + "/" + std::string(name),
                              quantization.dump(2) + "\n");
    }
    write_file_atomically(spec_.directory + "/config.json", config.dump(2) + "\n");
  }

  void write_dense(ThreadPool& threads) override { dense_.write(writer_, threads); }

  int64_t finish() override {
    int64_t bytes = 0;
    for (const std::string& file : writer_.finish())
      if (file.ends_with(".safetensors"))
        bytes += static_cast<int64_t>(std::filesystem::file_size(file));
    return bytes;
  }

 private:
  // First of all, so that what is read back while the rest is being written has its shapes.
  void write_known() {
    for (const TensorPlan& tensor : plan_) {
      if (tensor.value.empty()) continue;
      writer_.write(tensor.name, tensor.value);
      known_.insert(tensor.name);
    }
  }

  std::vector<TensorPlan> plan() const {
    std::vector<TensorPlan> tensors;
    for (const PlannedModule& module : spec_.summary.modules) {
      if (module.skipped) continue;
      for (TensorPlan& tensor :
           format_->packed_plan(module.name, module.grid, module.rows, module.cols))
        tensors.push_back(std::move(tensor));
    }
    dense_.plan(tensors);
    return tensors;
  }

  const Format* format_;
  OutputSpec spec_;
  DenseTensors dense_;
  const std::vector<TensorPlan> plan_;
  SafetensorsWriter writer_;
  std::set<std::string> known_;  // written with the plan
};

}  // namespace

std::unique_ptr<ModelWriter> open_safetensors_writer(const Format& format, const OutputSpec& spec) {
  return std::make_unique<SafetensorsOutput>(&format, spec);
}

int64_t write_dense_model(const OutputSpec& spec, ThreadPool& threads) {
  SafetensorsOutput output(nullptr, spec);
  output.write_configuration();
  output.write_dense(threads);
  return output.finish();
}

}  // namespace halftone
