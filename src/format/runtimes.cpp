// The rules, as of late 2026: vLLM's table of supported hardware, quantization/auto_gptq.py,
// auto_awq.py, marlin_utils.py and its CPU kernel (4 bits); SGLang's marlin_utils.py (compute
// capability 8.0); GPTQModel's qlinear and release notes; llama.cpp's convert_hf_to_gguf.py;
// mlx-lm's utils.py (AWQ is repacked on loading, a g_idx refused).
#include "format/runtimes.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "base/error.h"
#include "format/fused_modules.h"

namespace halftone {
namespace {

RuntimeCell fast(std::string why = "") { return {Opening::fast, std::move(why)}; }
RuntimeCell slow(std::string why) { return {Opening::slow, std::move(why)}; }
RuntimeCell wrong(std::string why) { return {Opening::wrong, std::move(why)}; }
RuntimeCell refuses(std::string why) { return {Opening::refuses, std::move(why)}; }
RuntimeCell absent(std::string why = "") { return {Opening::absent, std::move(why)}; }

const std::string kOffByOne = "believes the label: every weight is off by one step";
const std::string kScattered = "act-order: g_idx is gathered for every token";

// What the rules of one checkpoint go by.
struct Case {
  explicit Case(const CheckpointFacts& about) : facts(about) {
    for (const Format& format : formats())
      if (format.name == facts.format) verdicts = format.readers(facts.modules, facts.in_parts);
    try {
      check_fused(facts.modules);
    } catch (const Error& error) {
      unfused = error.what();
    }
  }
  bool is(std::string_view format) const { return facts.format == format; }
  bool gptq() const { return facts.format.starts_with("gptq"); }
  bool dense() const { return is("safetensors"); }
  bool foreign() const { return is("fp8") || is("int8") || is("nvfp4"); }
  // The table of formats on this reader; nothing: it does not know the format.
  const ReaderVerdict* verdict(std::string_view reader) const {
    for (const ReaderVerdict& verdict : verdicts)
      if (verdict.reader == reader) return &verdict;
    return nullptr;
  }
  bool every_grid(const std::function<bool(const Grid&)>& holds) const {
    return std::all_of(facts.modules.begin(), facts.modules.end(),
                       [&](const PlannedModule& m) { return m.skipped || holds(m.grid); });
  }
  // Of a GGUF: why it is too many files for a reader; empty: it is one.
  std::string too_many_files() const {
    const ReaderVerdict* one_file = is("gguf") ? verdict("Ollama") : nullptr;
    return one_file != nullptr && !one_file->opens ? one_file->why : "";
  }
  bool four_bits() const {
    return every_grid([](const Grid& grid) { return grid.bits == 4; });
  }

  const CheckpointFacts& facts;
  std::vector<ReaderVerdict> verdicts;
  std::string unfused;  // why runtimes that fuse q, k and v, or gate and up, cannot
};

bool is_gpu(Processor processor) { return processor <= Processor::blackwell; }

// What the table remarks of vLLM and SGLang, where they open a grid, is the fast kernel that they
// lack for it.
RuntimeCell cell_of(const ReaderVerdict& verdict) {
  if (!verdict.opens) return refuses(verdict.why);
  return verdict.why.empty() ? fast() : slow(verdict.why);
}

// FP8 and INT8 weights and activations, NVFP4: not ours to write.
RuntimeCell vllm_foreign(const Case& about, Processor processor) {
  if (about.is("int8"))
    return processor == Processor::blackwell ? refuses("no INT8 kernel there: FP8 is meant for it")
                                             : fast();
  if (processor == Processor::cpu) return refuses("its CPU kernels have no such type");
  const Processor first = about.is("fp8") ? Processor::ada : Processor::blackwell;
  if (processor < first) return slow("weights alone (Marlin): no such tensor cores there");
  return fast();
}

// What vLLM refuses as GPTQ, it may open with the same codes in another format.
std::string for_vllm(const Case& about) {
  constexpr std::string_view kOther = "compressed-tensors";
  if (!about.gptq() || about.facts.act_order) return "";
  for (const Format& format : formats()) {
    if (format.name != kOther) continue;
    for (const ReaderVerdict& verdict : format.readers(about.facts.modules, false))
      if (verdict.reader == "vLLM" && verdict.opens)
        return fmt::format("; halftone convert --format {} keeps the codes", kOther);
  }
  return "";
}

RuntimeCell vllm(const Case& about, Processor processor) {
  if (processor == Processor::apple) return absent();
  if (about.dense())
    return processor == Processor::turing && about.facts.bf16
               ? fast("no bf16 there: pass --dtype half")
               : fast();
  if (about.foreign()) return vllm_foreign(about, processor);
  if (about.is("gguf") && !about.too_many_files().empty()) return refuses(about.too_many_files());
  if (about.is("gguf"))
    return processor == Processor::cpu ? refuses("its kernels for GGUF are CUDA's")
                                       : slow("experimental there");
  const ReaderVerdict* verdict = about.verdict("vLLM");
  if (verdict == nullptr) return refuses("it does not know the format");
  if (!verdict->opens) return refuses(verdict->why + for_vllm(about));
  if (!about.unfused.empty()) return refuses(about.unfused);
  if (processor == Processor::cpu)
    return about.four_bits() ? fast("x86 with AVX2 or newer")
                             : refuses("its CPU kernel has 4 bits alone");
  if (about.facts.act_order) return slow(kScattered + "; tensor parallel repeats the scales");
  return cell_of(*verdict);
}

RuntimeCell sglang_foreign(const Case& about, Processor processor) {
  if (about.is("int8"))
    return processor == Processor::blackwell ? refuses("no INT8 kernel there") : fast();
  if (about.is("nvfp4"))
    return processor == Processor::blackwell ? fast() : refuses("needs Blackwell");
  if (processor == Processor::cpu) return fast("with AMX");
  if (processor == Processor::turing) return refuses("needs Ampere or newer");
  if (processor == Processor::ampere) return slow("weights alone (Marlin)");
  return fast();
}

RuntimeCell sglang(const Case& about, Processor processor) {
  const bool turing = processor == Processor::turing;
  if (processor == Processor::apple) return absent();
  if (about.dense()) {
    if (processor == Processor::cpu) return fast("made for AMX");
    return turing && about.facts.bf16 ? fast("no bf16 there: pass --dtype half") : fast();
  }
  if (about.foreign()) return sglang_foreign(about, processor);
  if (about.is("gguf") && !about.too_many_files().empty()) return refuses(about.too_many_files());
  if (about.is("gguf"))
    return processor == Processor::cpu ? refuses("its kernels for GGUF are CUDA's")
                                       : slow("its own formats have faster kernels");
  const ReaderVerdict* verdict = about.verdict("SGLang");
  if (verdict == nullptr) return refuses("it does not know the format");
  if (!verdict->opens) return refuses(verdict->why);
  if (!about.unfused.empty()) return refuses(about.unfused);
  if (processor == Processor::cpu) return refuses("its CPU build has bf16, INT8 and FP8");
  if (turing && about.is("compressed-tensors")) return refuses("needs Ampere or newer");
  RuntimeCell cell = cell_of(*verdict);
  if (turing && cell.opening == Opening::fast) cell = slow("its fast kernel needs Ampere");
  // Marlin's symmetric kernels never look at the zeros.
  if (about.facts.wrong_label && cell.opening == Opening::slow) return wrong(kOffByOne);
  if (about.facts.act_order) return slow(kScattered);
  return cell;
}

RuntimeCell gptqmodel(const Case& about, Processor processor) {
  if (about.dense()) return absent("it quantizes such models");
  if (!about.gptq() && !about.is("awq")) return refuses("it reads GPTQ and AWQ");
  const ReaderVerdict* verdict = about.verdict("GPTQModel");
  if (verdict != nullptr && !verdict->opens) return refuses(verdict->why);
  if (about.facts.wrong_label) return wrong(kOffByOne);
  if (processor == Processor::apple) return slow("PyTorch's kernels");
  if (processor == Processor::cpu) {
    const bool own_kernel = about.four_bits() && about.every_grid([](const Grid& grid) {
      return grid.group_size >= 16 && grid.group_size <= 512;
    });
    return own_kernel ? fast("with AVX-512 BF16, else PyTorch's kernels")
                      : slow("PyTorch's kernels");
  }
  const bool marlin = about.every_grid([&](const Grid& grid) {
    const bool group = grid.group_size == -1 || grid.group_size == 32 || grid.group_size == 64 ||
                       grid.group_size == 128;
    return group && (grid.bits == 4 || (grid.bits == 8 && about.gptq())) &&
           (grid.symmetric || about.is("awq"));
  });
  if (!marlin) return slow("no fast kernel (Marlin) for such a grid: Triton's or PyTorch's");
  return about.facts.act_order ? slow(kScattered) : fast();
}

RuntimeCell transformers(const Case& about, Processor processor) {
  if (about.dense()) return fast();
  if (about.is("gguf"))
    return about.too_many_files().empty() ? slow("decoded to dense weights on loading")
                                          : refuses(about.too_many_files());
  if (about.foreign()) {
    const bool native = about.is("fp8") && is_gpu(processor) && processor >= Processor::ada;
    return native ? fast() : slow("weights are decoded as it runs, where the package allows it");
  }
  const ReaderVerdict* verdict = about.verdict("Transformers");
  if (verdict == nullptr) return refuses("it does not know the format");
  if (!verdict->opens) return refuses(verdict->why);
  if (about.is("compressed-tensors")) return slow("weights are decoded as it runs");
  return gptqmodel(about, processor);  // which it calls
}

// Whether ggml's blocks of 32 hold the codes as they are: even levels around zero in 4, 5 or 8
// bits, or above a minimum in 4 or 5. The minimum is scale times zero, rounded; MLX stores it
// rounded, too.
bool held_by_ggml(const Grid& grid, bool stored_as_minimum) {
  const bool blocks = grid.group_size == -1 || (grid.group_size > 0 && grid.group_size % 32 == 0);
  if (!blocks || grid.offsets) return false;
  if (grid.bits == 4 || grid.bits == 5) return grid.symmetric || stored_as_minimum;
  return grid.bits == 8 && grid.symmetric;
}

// What we offer instead.
std::string our_way(const Case& about) {
  const bool held =
      about.every_grid([&](const Grid& grid) { return held_by_ggml(grid, about.is("mlx")); });
  if (held && !about.facts.act_order) return "; halftone convert --format gguf keeps the codes";
  return "; none of ggml's types holds all of these codes: halftone convert --format gguf "
         "--requantize rounds again";
}

RuntimeCell llama_cpp(const Case& about, Processor) {
  if (about.is("gguf")) return fast();
  if (about.dense()) return refuses("reads GGUF alone: convert_hf_to_gguf.py makes one");
  if (about.foreign()) return refuses("reads GGUF alone");
  if (about.is("awq") || about.is("mlx"))
    return refuses("reads GGUF alone, and its converter does not know the format" + our_way(about));
  return refuses("reads GGUF alone; its converter decodes this, and codes are rounded again" +
                 our_way(about));
}

RuntimeCell ollama(const Case& about, Processor) {
  if (about.is("gguf"))
    return about.too_many_files().empty() ? fast() : refuses(about.too_many_files());
  if (about.dense()) return fast("ollama create converts it, where it knows the family");
  return refuses("reads GGUF and dense safetensors" + (about.foreign() ? "" : our_way(about)));
}

RuntimeCell mlx(const Case& about, Processor processor) {
  if (about.gptq()) return refuses("mlx-lm takes no GPTQ with a g_idx");
  if (about.is("gguf") || about.foreign()) return refuses("mlx-lm does not read it");
  if (about.is("compressed-tensors"))
    return refuses("mlx-lm takes it for groups of 32 in MLX's order");
  if (about.is("awq") && !about.every_grid([](const Grid& grid) {
        return grid.group_size == 32 || grid.group_size == 64 || grid.group_size == 128;
      }))
    return refuses("its kernels have groups of 32, 64 and 128");
  const std::string repacked = about.is("awq") ? "repacked on loading" : "";
  if (processor == Processor::apple) return fast(repacked);
  return slow(is_gpu(processor) ? "its CUDA build; Metal is what it is made for"
                                : "its CPU build; Metal is what it is made for");
}

// What is broken is so for all who open it.
RuntimeCell after_all(RuntimeCell cell, std::string_view runtime, const CheckpointFacts& facts) {
  const bool opens = cell.opening == Opening::fast || cell.opening == Opening::slow;
  if (opens && !facts.denied.empty() && runtime != "GPTQModel") return refuses(facts.denied);
  if (opens && !facts.broken.empty()) return wrong(facts.broken);
  if (opens && !facts.untold.empty()) return {Opening::unknown, facts.untold};
  return cell;
}

struct Rule {
  std::string_view runtime;
  RuntimeCell (*cell)(const Case&, Processor);
};
constexpr Rule kRules[] = {{"vLLM", vllm},
                           {"SGLang", sglang},
                           {"Transformers", transformers},
                           {"GPTQModel", gptqmodel},
                           {"llama.cpp", llama_cpp},
                           {"Ollama", ollama},
                           {"MLX", mlx}};

}  // namespace

std::string_view name_of(Processor processor) {
  constexpr std::string_view kNames[] = {"Turing",    "Ampere", "Ada",  "Hopper",
                                         "Blackwell", "CPU",    "Apple"};
  return kNames[static_cast<size_t>(processor)];
}

std::optional<Processor> processor_of(int major, int minor) {
  if (major >= 10) return Processor::blackwell;
  if (major == 9) return Processor::hopper;
  if (major == 8) return minor == 9 ? Processor::ada : Processor::ampere;
  if (major == 7 && minor >= 5) return Processor::turing;
  return std::nullopt;
}

std::string_view name_of(Opening opening) {
  constexpr std::string_view kNames[] = {"fast", "slow", "wrong", "refuses", "absent", "unknown"};
  return kNames[static_cast<size_t>(opening)];
}

std::vector<RuntimeRow> runtime_table(const CheckpointFacts& facts) {
  const Case about(facts);
  if (about.verdicts.empty() && !about.dense() && !about.foreign() && !about.is("gguf")) return {};
  std::vector<RuntimeRow> rows;
  for (const Rule& rule : kRules) {
    RuntimeRow& row = rows.emplace_back();
    row.runtime = rule.runtime;
    for (size_t i = 0; i < kProcessorCount; ++i)
      row.cells[i] = after_all(rule.cell(about, static_cast<Processor>(i)), rule.runtime, facts);
  }
  return rows;
}

}  // namespace halftone
