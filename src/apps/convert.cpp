// Dense or quantized in, dense safetensors out; published by one rename.
#include "apps/convert.h"

#include <filesystem>

#include "apps/dense_output.h"
#include "apps/quantize.h"
#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

std::optional<DType> output_dtype(const OpenedModel& model, const std::string& option) {
  if (option == "bf16") return DType::bf16;
  if (option == "f16") return DType::f16;
  if (option == "f32") return DType::f32;
  // Codes have no dense type of their own.
  return model.quantized() ? std::optional(DType::bf16) : std::nullopt;
}

std::string torch_name(DType dtype) {
  return dtype == DType::bf16 ? "bfloat16" : dtype == DType::f16 ? "float16" : "float32";
}

}  // namespace

int64_t convert_to_dense(const OpenedModel& model, const ConvertOptions& options) {
  check_place(options.output, model, options.force);
  const std::optional<DType> dtype = output_dtype(model, options.dtype);
  PendingDirectory pending(options.output);
  const DenseOutput dense(
      model, [](const std::string&) { return true; }, dtype);
  std::vector<TensorPlan> tensors;
  dense.plan(tensors);
  SafetensorsWriter writer(pending.path(), tensors);
  dense.write(writer);
  int64_t bytes = 0;
  for (const std::string& file : writer.finish())
    if (file.ends_with(".safetensors")) bytes += static_cast<int64_t>(fs::file_size(file));
  write_side_files(*model.checkpoint, pending.path());
  Json config = model.checkpoint->metadata().config;
  config.erase("quantization_config");
  if (dtype) config[config.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name(*dtype);
  write_file_atomically(pending.path() + "/config.json", config.dump(2) + "\n");
  pending.publish(options.force);
  return bytes;
}

}  // namespace halftone
