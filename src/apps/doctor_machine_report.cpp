// The machine as a table of what there is and what it means, and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apps/doctor_finding.h"
#include "apps/doctor_machine.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/progress.h"
#include "format/format.h"
#include "format/runtimes.h"
#include "quant/method.h"

namespace halftone {
namespace {

constexpr size_t kWhat = 15, kHere = 22;

// One row: `here` where it is short, on lines of its own where it is not.
std::string row(std::string_view what, const std::string& here, const std::string& means) {
  if (here.size() < kHere) return wrapped(padded(what, kWhat) + padded(here, kHere), means);
  return wrapped(padded(what, kWhat), here) + wrapped(std::string(kWhat + kHere, ' '), means);
}

std::string feature(std::string_view what, bool there, const std::string& means) {
  return row(what, there ? "yes" : "no", means);
}

std::string processor_text(const MachineFacts& facts) {
  const ProcessorFacts& cpu = facts.processor;
  std::string text = row("processor", cpu.name.empty() ? "unknown" : cpu.name,
                         fmt::format("computes with its {} kernels", facts.instructions));
  text +=
      row("processors",
          facts.usable_processors == facts.processors
              ? fmt::format("{}", facts.processors)
              : fmt::format("{} of the machine's {}", facts.usable_processors, facts.processors),
          "threads that a job takes (--threads); results do not depend on it");
  text += feature("AVX2", cpu.avx2,
                  cpu.avx2 ? "vectors of 8 floats" : "scalar kernels: many times slower");
  text += feature("AVX-512", cpu.avx512,
                  cpu.avx512 ? "vectors of 16 floats: quantizing and f32 products twice as fast"
                             : "quantizing and f32 products run at AVX2's speed");
  text += feature("VNNI", cpu.vnni, "int8 products: llama.cpp's; not needed here");
  text += feature("AVX-512 BF16", cpu.avx512_bf16,
                  cpu.avx512_bf16 ? "bf16 products: --dtype auto computes in bf16"
                                  : "--dtype auto computes in f32");
  return text + feature("AMX", cpu.amx,
                        cpu.amx ? "tiles of bf16: the fastest of processors, several times AVX-512"
                                : "no tiles of bf16");
}

// Billions of parameters that so many bytes hold.
std::string billions(int64_t bytes, double bytes_each) {
  const double count = static_cast<double>(bytes) / bytes_each / 1e9;
  return fmt::format("{:.{}f} B", count, count < 10 ? 1 : 0);
}

std::string memory_rows(const MachineFacts& facts) {
  const bool limited = facts.memory_limit < facts.memory;
  std::string here = human_bytes(facts.memory_limit);
  if (limited) here += fmt::format(" of {}", human_bytes(facts.memory));
  const std::string means = fmt::format(
      "{}holds about {} parameters in bf16, {} at 4 bits; quantizing needs a block at a time, "
      "whatever the model's size",
      limited ? "the container's limit, which counts; " : "",
      billions(facts.memory_limit * 9 / 10, 2), billions(facts.memory_limit * 9 / 10, 0.55));
  std::string text = row("memory", here, means);
  if (facts.memory_available > 0 && facts.memory_available < facts.memory_limit)
    text += row("", human_bytes(facts.memory_available) + " free",
                "the machine's: others use the rest");
  return text + row("disk", human_bytes(facts.disk_free) + " free",
                    fmt::format("in {}: room for {} parameters at 4 bits, and a journal as large "
                                "while one is made",
                                facts.disk_path, billions(facts.disk_free / 2, 0.55)));
}

std::string gpu_means(const SurveyedGpu& gpu) {
  if (!gpu.trouble.empty()) return gpu.trouble;
  const auto processor = processor_of(gpu.major, gpu.minor);
  if (!processor) return "older than what runtimes have kernels for";
  switch (*processor) {
    case Processor::turing:
      return "Turing: 4-bit kernels (Marlin) in vLLM; no bf16, no FP8";
    case Processor::ampere:
      return "Ampere: bf16, 4-bit kernels (Marlin) everywhere; FP8 as weights alone";
    case Processor::ada:
      return "Ada: bf16, 4-bit kernels (Marlin), FP8";
    case Processor::hopper:
      return "Hopper: bf16, 4-bit kernels (Machete, Marlin), FP8";
    default:
      return "Blackwell: bf16, 4-bit kernels (Marlin), FP8, NVFP4; no INT8";
  }
}

std::string gpu_rows(const MachineFacts& facts) {
  std::string text;
  for (size_t i = 0; i < facts.gpus.gpus.size(); ++i) {
    const SurveyedGpu& gpu = facts.gpus.gpus[i];
    text += row(fmt::format("cuda:{}", i), gpu.name, gpu_means(gpu));
    text += row("", fmt::format("{}, compute {}.{}", human_bytes(gpu.memory), gpu.major, gpu.minor),
                fmt::format("holds {} parameters in bf16, {} at 4 bits",
                            billions(gpu.memory * 9 / 10, 2), billions(gpu.memory * 9 / 10, 0.55)));
  }
  if (text.empty())
    text = row("GPU", "none that can be used", "everything runs on the processor, slower");
  text += row("driver", facts.gpus.has_driver ? facts.gpus.driver : "none",
              facts.gpus.has_driver ? "" : facts.gpus.driver);
  if (facts.gpus.usable) {
    text += row("CUDA", "found", "the plug-in and CUDA's libraries are loaded");
  } else {
    text += row("CUDA", "not used",
                facts.gpus.reason == facts.gpus.driver ? "there is no driver" : facts.gpus.reason);
    if (facts.gpus.has_driver && !facts.gpus.libraries.empty())
      text += wrapped(std::string(kWhat + kHere, ' '),
                      fmt::format("libraries are looked for by the dynamic linker and in {}",
                                  fmt::join(facts.gpus.libraries, ", ")));
  }
  return text;
}

std::vector<std::string> names_of_methods() {
  std::vector<std::string> names;
  for (const Method& method : methods()) names.emplace_back(method.name);
  return names;
}

std::vector<std::string> names_of_formats() {
  std::vector<std::string> names;
  for (const Format& format : formats()) names.emplace_back(format.name);
  return names;
}

std::vector<int> bits_of(const Format& format) {
  std::vector<int> bits;
  for (int width = 2; width <= 8; ++width) {
    try {
      format.grid({.bits = width, .group_size = 64});
      bits.push_back(width);
    } catch (const Error&) {  // says what it holds instead
    }
  }
  return bits;
}

std::string bits_row() {
  std::set<int> all;
  std::string held;
  for (const Format& format : formats()) {
    const std::vector<int> bits = bits_of(format);
    all.insert(bits.begin(), bits.end());
    held += fmt::format("{}{} ({})", held.empty() ? "" : ", ", format.name, fmt::join(bits, ", "));
  }
  return row("bits", fmt::format("{}", fmt::join(all, ", ")),
             fmt::format("by {}; written as {}", fmt::join(names_of_methods(), ", "), held));
}

std::string cache_rows(const MachineFacts& facts) {
  std::string text;
  for (const CacheFacts& cache : facts.caches)
    text += row(text.empty() ? "caches" : "",
                !cache.there ? "not there" : count_text(cache.models, "model"),
                fmt::format("{} ({})", cache.path, cache.what));
  return text;
}

}  // namespace

std::string machine_text(const MachineFacts& facts) {
  std::string text = row("what", "here", "means");
  text += processor_text(facts) + memory_rows(facts) + gpu_rows(facts) + cache_rows(facts);
  text += row("device", facts.gpus.usable ? "cuda" : "cpu",
              "what --device auto takes; both give every bit width and method");
  text += bits_row();
  return text + "Next: halftone doctor MODEL looks at a model.\n";
}

Json machine_json(const MachineFacts& facts) {
  Json json;
  const ProcessorFacts& cpu = facts.processor;
  json["processor"] = {{"name", cpu.name},
                       {"count", facts.processors},
                       {"usable", facts.usable_processors},
                       {"avx2", cpu.avx2},
                       {"avx512", cpu.avx512},
                       {"vnni", cpu.vnni},
                       {"avx512_bf16", cpu.avx512_bf16},
                       {"amx", cpu.amx},
                       {"instructions", facts.instructions},
                       {"native_bf16", facts.native_bf16}};
  json["memory_bytes"] = facts.memory;
  json["memory_limit_bytes"] = facts.memory_limit;
  json["memory_available_bytes"] = facts.memory_available;
  json["disk"] = {{"path", facts.disk_path}, {"free_bytes", facts.disk_free}};
  Json gpus = Json::array();
  for (const SurveyedGpu& gpu : facts.gpus.gpus)
    gpus.push_back({{"name", gpu.name},
                    {"compute_capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
                    {"memory_bytes", gpu.memory},
                    {"trouble", gpu.trouble.empty() ? Json(nullptr) : Json(gpu.trouble)}});
  json["gpus"] = std::move(gpus);
  json["cuda"] = {{"driver", facts.gpus.driver},
                  {"usable", facts.gpus.usable},
                  {"reason", facts.gpus.reason},
                  {"library_folders", facts.gpus.libraries}};
  Json caches = Json::array();
  for (const CacheFacts& cache : facts.caches)
    caches.push_back({{"path", cache.path},
                      {"what", cache.what},
                      {"there", cache.there},
                      {"models", cache.models}});
  json["caches"] = std::move(caches);
  json["device"] = facts.gpus.usable ? "cuda" : "cpu";
  json["bits"] = {2, 3, 4, 6, 8};
  json["methods"] = names_of_methods();
  json["formats"] = names_of_formats();
  return json;
}

}  // namespace halftone
