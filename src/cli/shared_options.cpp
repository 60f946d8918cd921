// Options that several commands have, and the checks of their values.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "apps/memory_limits.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/suggest.h"
#include "format/gguf_types.h"

namespace halftone {
namespace {

std::optional<double> number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != 0 || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> whole_number(const std::string& text) {
  constexpr size_t kMostDigits = 18;  // fits 64 bits whatever they are
  const size_t sign = text.starts_with('-') ? 1 : 0;
  const size_t digits = text.size() - sign;
  if (digits == 0 || digits > kMostDigits) return std::nullopt;
  if (text.find_first_not_of("0123456789", sign) != std::string::npos) return std::nullopt;
  return std::stoll(text);
}

// "2, 3, 4 or 8"
std::string either(const std::vector<std::string>& choices) {
  std::string text;
  for (size_t i = 0; i < choices.size(); ++i)
    text += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
  return text;
}

// The complaint, and below it what to do; suggest.cpp parts the two lines.
std::string refusal(const std::string& got, const std::string& expected, const std::string& close) {
  const std::string complaint =
      fmt::format("got {}, expected {}", got.empty() ? "nothing" : got, expected);
  return close.empty() ? complaint : fmt::format("{}\nthe nearest is {}.", complaint, close);
}

// A check without a name: its type is what type_name() says.
CLI::Option* with_check(CLI::Option* option, const std::string& type,
                        std::function<std::string(std::string&)> check) {
  return option->type_name(type)->check(CLI::Validator(std::move(check), ""));
}

}  // namespace

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command
      .add_option("--device", options.device,
                  "auto (a GPU if there is one), cpu, cuda or cuda:N (ref: slow, the oracle of our "
                  "tests)")
      ->type_name("NAME")
      ->capture_default_str();
  take_whole_number(command.add_option("--threads", options.threads, "0: all there are"), 0, 4096)
      ->capture_default_str();
}

std::unique_ptr<Backend> open_device(const DeviceOptions& options) {
  const DeviceChoice choice = choose_device(options.device);
  if (options.device == "auto") spdlog::info("Device    {}: {}", choice.device, choice.reason);
  return make_backend(choice.device, {.threads = options.threads});
}

CLI::Option* take_once(CLI::Option* option) {
  return option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
}

void add_model(CLI::App& command, std::string& model, const std::string& names) {
  take_once(command.add_option(names, model, "Directory, .gguf file, or org/name in a local cache"))
      ->type_name("MODEL")
      ->required();
}

void add_dtype(CLI::App& command, std::string& dtype) {
  take_one_of(command.add_option("--dtype", dtype, "What to compute in"), {"auto", "f32", "bf16"})
      ->capture_default_str();
}

void add_size_option(CLI::App& command, const std::string& name, int64_t& bytes,
                     const std::string& what) {
  CLI::Option* option = command.add_option_function<std::string>(
      name, [&bytes](const std::string& text) { bytes = *parse_bytes(text); }, what);
  with_check(option, "SIZE", [](std::string& text) {
    return parse_bytes(text) ? "" : refusal(text, "a size such as 1.5G or 800M", "");
  });
}

// `known` throws for a name that is none of `choices`, whose case does not matter.
void check_type(CLI::Option* option, const std::vector<std::string>& choices,
                void (*known)(const std::string&)) {
  with_check(option, "NAME", [=](std::string& text) {
    try {
      known(text);
      return std::string();
    } catch (const Error&) {
      std::string upper = text;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      return refusal(text, either(choices), nearest(upper, choices));
    }
  });
}

CLI::Option* take_gguf_mix(CLI::Option* option) {
  const std::vector<std::string> mixes = names_of(gguf_mixes());
  check_type(
      option->description(option->get_description() + fmt::format(": {}", fmt::join(mixes, ", "))),
      mixes, [](const std::string& name) { find_gguf_mix(name); });
  return option;
}

CLI::Option* add_gguf_options(CLI::App& command, GgufOptions& options) {
  CLI::Option* mix = command.add_option("--gguf-type", options.type, "Of --format gguf");
  add_gguf_table_options(command, options);
  return take_gguf_mix(mix);
}

void add_gguf_table_options(CLI::App& command, GgufOptions& options) {
  std::vector<std::string> types;
  for (const GgufMix& mix : gguf_mixes())
    if (std::find(types.begin(), types.end(), mix.type) == types.end())
      types.emplace_back(mix.type);
  const auto check_table = [](const std::string& name) { check_gguf_type("", name); };
  check_type(command.add_option("--embedding-type", options.embedding_type,
                                "Of the embedding in a GGUF: Q8_0"),
             types, check_table);
  check_type(command.add_option("--head-type", options.head_type, "Of the head in a GGUF: Q6_K"),
             types, check_table);
}

void add_format_option(CLI::App& command, QuantizeOptions& options) {
  take_one_of(command.add_option("--format", options.format, "What to write"), names_of(formats()))
      ->capture_default_str();
}

void add_method_options(CLI::App& command, QuantizeOptions& options, CLI::Option* gguf_type) {
  take_one_of(command.add_option("--method", options.method, "The solver; rtn: just rounding"),
              names_of(methods()))
      ->capture_default_str();
  take_one_of(command.add_option("--recipe", options.recipe, "The steps around the solver"),
              names_of(recipes()))
      ->capture_default_str();
  take_number_of(command.add_option("--bits,-b", options.bits,
                                    "Bits of a code; 5 and 6 where --format holds them"),
                 {2, 3, 4, 5, 6, 8})
      ->capture_default_str()
      ->excludes(gguf_type);
  take_whole_number(command.add_option("--group-size,-g", options.group_size,
                                       "Inputs that share a scale; -1: all"),
                    1, int64_t{1} << 20, -1)
      ->capture_default_str()
      ->excludes(gguf_type);
}

void add_step_options(CLI::App& command, QuantizeOptions& options) {
  command.add_flag("--lm-head", options.lm_head,
                   "Quantize the head, too; one that is the embedding becomes its own tensor");
  command
      .add_option("--skip", options.skip,
                  "Leave linears dense whose name holds this regex; repeatable")
      ->type_name("REGEX")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  take_number(command.add_option("--damp,--damp-percent", options.damping,
                                 "Damping, a part of the mean of H's diagonal"),
              0, 1)
      ->capture_default_str();
  take_one_of(
      command.add_option("--order", options.order, "Of the columns (default: the recipe's)"),
      {"act", "none"});
  take_one_of(command.add_option("--token-weights", options.token_weights,
                                 "Of calibration tokens in H (default: the recipe's)"),
              {"residual", "none"});
  take_one_of(command.add_option("--calib-inputs", options.calib_inputs,
                                 "Inputs in H: with what lies before them quantized, or as the "
                                 "original has them (default: the recipe's)"),
              {"quantized", "original"});
  take_one_of(command.add_option("--scale-search", options.scale_search,
                                 "How scales are found (default: the method's or recipe's)"),
              {"importance", "power", "minmax", "clip"});
}

void add_sequences_option(CLI::App& command, QuantizeOptions& options) {
  take_one_of(command.add_option("--sequences", options.sequences,
                                 "packed: windows of --seq-len; whole: a document each, uneven"),
              {"packed", "whole"})
      ->capture_default_str();
}

void add_memory_option(CLI::App& command, QuantizeOptions& options) {
  CLI::Option* option = command.add_option_function<std::string>(
      "--max-memory",
      [&options](const std::string& text) {
        const MemoryLimits limits = *parse_memory_limits(text);
        options.max_memory = limits.device;
        options.max_host_memory = limits.host;
      },
      "Stay below this where it computes, e.g. 1.5G; or device=8G,host=32G");
  with_check(option, "SIZE", [](std::string& text) {
    return parse_memory_limits(text)
               ? ""
               : refusal(text, "a size such as 1.5G, or device=8G,host=32G", "");
  });
}

void add_example(CLI::App& command, const std::string& text) { command.footer("Example: " + text); }

CLI::Option* take_number(CLI::Option* option, double least, double most) {
  return with_check(option, "X", [=](std::string& text) {
    const auto value = number(text);
    if (value && *value >= least && *value <= most) return std::string();
    const std::string close = value ? fmt::format("{}", *value < least ? least : most) : "";
    return refusal(text, fmt::format("a number from {} to {}", least, most), close);
  });
}

CLI::Option* take_whole_number(CLI::Option* option, int64_t least, int64_t most,
                               std::optional<int64_t> also) {
  return with_check(option, "N", [=](std::string& text) {
    const auto value = whole_number(text);
    if (value && ((*value >= least && *value <= most) || value == also)) return std::string();
    std::string expected = fmt::format("a whole number from {}", least);
    if (most != INT64_MAX) expected += fmt::format(" to {}", most);
    if (also) expected += fmt::format(", or {}", *also);
    std::string close;
    if (const auto real = number(text); real && std::abs(*real) < 1e15) {
      const auto rounded = static_cast<int64_t>(std::llround(*real));
      close = std::to_string(std::clamp(rounded, least, most));
    }
    return refusal(text, expected, close);
  });
}

CLI::Option* take_one_of(CLI::Option* option, const std::vector<std::string>& choices) {
  const std::string type = fmt::format("{}", fmt::join(choices, "|"));
  return with_check(option, type, [=](std::string& text) {
    if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::string();
    return refusal(text, either(choices),
                   choices.size() == 1 ? choices[0] : nearest(text, choices));
  });
}

CLI::Option* take_number_of(CLI::Option* option, const std::vector<double>& choices) {
  std::vector<std::string> names;
  for (const double choice : choices) names.push_back(fmt::format("{}", choice));
  const std::string type = fmt::format("{}", fmt::join(names, "|"));
  return with_check(option, type, [=](std::string& text) {
    const auto value = number(text);
    if (!value) return refusal(text, either(names), "");
    size_t close = 0;
    for (size_t i = 0; i < choices.size(); ++i) {
      if (choices[i] == *value) return std::string();
      if (std::abs(choices[i] - *value) < std::abs(choices[close] - *value)) close = i;
    }
    return refusal(text, either(names), names[close]);
  });
}

CLI::Option* take_truth(CLI::Option* option) {
  return with_check(option, "true|false", [](std::string& text) {
    for (const char* word : {"true", "false", "on", "off", "yes", "no", "1", "0"})
      if (text == word) return std::string();
    return refusal(text, "true or false", nearest(text, {"true", "false"}));
  });
}

}  // namespace halftone
