// See gguf_pre_tokenizer.h.
#include "text/gguf_pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>

#include "base/error.h"

namespace halftone {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class Steps { gpt2, digits_gpt2, one_pattern, four_patterns };

struct Row {
  std::string_view name;
  Steps steps;
  std::string_view pattern;
  bool nfc, ignore_merges, add_bos;
};

constexpr auto kRows = std::to_array<Row>({
    {"default", Steps::four_patterns, {}, false, false, false},
    {"gpt-2", Steps::gpt2, {}, false, false, false},
    {"phi-2", Steps::gpt2, {}, false, false, false},
    {"mpt", Steps::gpt2, {}, false, false, false},
    {"olmo", Steps::gpt2, {}, false, false, false},
    {"smollm", Steps::digits_gpt2, {}, false, false, false},
    {"starcoder", Steps::digits_gpt2, {}, false, false, false},
    {"refact", Steps::digits_gpt2, {}, false, false, false},
    {"codeshell", Steps::digits_gpt2, {}, false, false, false},
    {"qwen2", Steps::one_pattern, kQwen2, true, false, false},
    {"deepseek-r1-qwen", Steps::one_pattern, kQwen2, true, false, false},
    {"megrez", Steps::one_pattern, kQwen2, true, false, false},
    {"qwen35", Steps::one_pattern, kQwen35, true, false, false},
    {"llama3", Steps::one_pattern, kLlama3, false, true, true},
    {"llama-v3", Steps::one_pattern, kLlama3, false, true, true},
    {"llama-bpe", Steps::one_pattern, kLlama3, false, true, true},
    {"falcon3", Steps::one_pattern, kLlama3, false, true, true},
    {"dbrx", Steps::one_pattern, kLlama3, false, false, false},
    {"smaug-bpe", Steps::one_pattern, kLlama3, false, false, false},
    {"tekken", Steps::one_pattern, kTekken, false, true, true},
    {"gpt-4o", Steps::one_pattern, kGpt4o, false, false, false},
});

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", std::string(pattern)}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json sequence(std::initializer_list<Json> steps) {
  Json list = Json::array();
  for (const Json& step : steps) list.push_back(step);
  return {{"type", "Sequence"}, {"pretokenizers", std::move(list)}};
}

Json steps_of(const Row& row) {
  switch (row.steps) {
    case Steps::gpt2:
      return byte_level(true);
    case Steps::digits_gpt2:
      return sequence({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)});
    case Steps::one_pattern:
      return sequence({split(row.pattern), byte_level(false)});
    case Steps::four_patterns:
      break;
  }
  return sequence({split(R"([\p{P}\$\+<=>\^~\|]+)"), split(kGpt2), split(R"(\p{N}+)"),
                   split("[0-9][0-9][0-9]"), byte_level(false)});
}

// The steps of a pre-tokenizer in one spelling: what splits, and how; a flat list without the
// options that change no piece.
void flatten(const Json& json, std::vector<std::string>& steps) {
  if (!json.is_object()) return;
  const std::string type = json.value("type", "");
  if (type == "Sequence" && json.contains("pretokenizers")) {
    for (const Json& part : json.at("pretokenizers")) flatten(part, steps);
  } else if (type == "ByteLevel") {
    const bool splits = json.value("use_regex", true);
    steps.push_back(splits ? "split " + std::string(kGpt2) : "");
    if (json.value("add_prefix_space", true)) steps.push_back("prefix");
  } else if (type == "Split" && json.contains("pattern")) {
    const Json& pattern = json.at("pattern");
    const bool isolated = json.value("behavior", "") == "Isolated" && !json.value("invert", false);
    const bool removed = json.value("behavior", "") == "Removed" && json.value("invert", false);
    const std::string regex = pattern.is_object() ? pattern.value("Regex", "") : "";
    steps.push_back(isolated || removed ? "split " + regex : json.dump());
  } else if (type == "Digits" && json.value("individual_digits", false)) {
    steps.push_back("digits");
  } else {
    steps.push_back(json.dump());
  }
}

std::vector<std::string> flat_steps(const Json& json) {
  std::vector<std::string> steps;
  flatten(json, steps);
  std::erase(steps, "");
  return steps;
}

// Names that others share a row's steps with come after the one that is best known.
constexpr std::string_view kPreferred[] = {"gpt-2", "smollm", "qwen2", "llama-bpe"};

}  // namespace

std::string gguf_pre_tokenizer_name(const GgufPreTokenizer& wanted, const std::string& origin) {
  const std::vector<std::string> steps = flat_steps(wanted.pre_tokenizer);
  std::string found;
  for (const Row& row : kRows) {
    if (row.ignore_merges != wanted.ignore_merges || flat_steps(steps_of(row)) != steps) continue;
    const bool preferred =
        std::find(std::begin(kPreferred), std::end(kPreferred), row.name) != std::end(kPreferred);
    if (found.empty() || preferred) found = row.name;
  }
  if (found.empty())
    throw bad_input("{}: its pre-tokenizer is none that llama.cpp has a name for", origin)
        .hint("a GGUF names the pre-tokenizer, and llama.cpp holds what the name stands for.");
  return found;
}

GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& origin) {
  const auto row =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& each) { return each.name == name; });
  if (row == kRows.end()) {
    std::string known;
    for (const Row& each : kRows) known.append(known.empty() ? "" : ", ").append(each.name);
    throw bad_input("{}: tokenizer.ggml.pre: got \"{}\", known are {}", origin, name, known)
        .hint("The model's own tokenizer.json works: use the Hugging Face directory.");
  }
  GgufPreTokenizer result;
  if (row->nfc) result.normalizer = {{"type", "NFC"}};
  result.pre_tokenizer = steps_of(*row);
  result.ignore_merges = row->ignore_merges;
  result.add_bos = row->add_bos;
  return result;
}

}  // namespace halftone
