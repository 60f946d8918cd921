#include "apps/doctor_foreign.h"

#include <algorithm>

#include "base/printable.h"
#include "format/format.h"

namespace halftone {
namespace {

ForeignQuantization fp8(std::string writers) {
  return {"fp8", "FP8 weights and activations", std::move(writers)};
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string()) return "";
  return found->get<std::string>();
}

// config_groups.*: weights that are not integers, or inputs that are quantized, too.
std::optional<ForeignQuantization> of_compressed_tensors(const Json& config) {
  const auto groups = config.find("config_groups");
  if (groups == config.end() || !groups->is_object()) return std::nullopt;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object() || !group.contains("weights")) continue;
    const Json& weights = group["weights"];
    const bool inputs =
        group.contains("input_activations") && group["input_activations"].is_object();
    const bool four =
        weights.is_object() && weights.contains("num_bits") && weights["num_bits"] == Json(4);
    if (text_of(weights, "type") == "float")
      return four ? ForeignQuantization{"nvfp4", "FP4 weights (NVFP4 or MXFP4)", "llm-compressor"}
                  : fp8("llm-compressor");
    if (inputs && !four)
      return ForeignQuantization{"int8", "INT8 weights and activations", "llm-compressor"};
    if (inputs)
      return ForeignQuantization{"", "4-bit weights and quantized activations", "llm-compressor"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<ForeignQuantization> foreign_quantization(const StatedQuantization& stated) {
  const std::string& method = stated.method;
  if (!stated.json.is_object()) return std::nullopt;
  if (method == "compressed-tensors") return of_compressed_tensors(stated.json);
  if (find_reading(method) != nullptr) return std::nullopt;
  if (method == "fp8" || method == "fbgemm_fp8")
    return fp8("llm-compressor, Transformers, Qwen's and DeepSeek's own releases");
  if (method == "modelopt") {
    const bool four = text_of(stated.json, "quant_algo").find("FP4") != std::string::npos;
    if (!four) return fp8("NVIDIA's ModelOpt");
    return ForeignQuantization{"nvfp4", "FP4 weights and activations (NVFP4)", "NVIDIA's ModelOpt"};
  }
  return ForeignQuantization{"", "the method " + printable(method, 40), "another program"};
}

const char* const kNotWrittenHere =
    "activations in FP8 or INT8 (W8A8) and NVFP4: llm-compressor and NVIDIA's ModelOpt write "
    "them, vLLM and SGLang run them (FP8 from Ada on, NVFP4 on Blackwell); FP8 key-value caches: "
    "an option of the runtimes";

}  // namespace halftone
