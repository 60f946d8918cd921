#include "format/gguf_types.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "io/gguf.h"

namespace halftone {
namespace {

constexpr std::array kMixes = {
    GgufMix{"F32", "F32", 0},
    GgufMix{"F16", "F16", 1},
    GgufMix{"BF16", "BF16", 32},
    GgufMix{"Q8_0", "Q8_0", 7},
    GgufMix{"Q6_K", "Q6_K", 18},
    GgufMix{"Q5_K_M", "Q5_K", 17, MixKind::medium, "Q6_K"},
    GgufMix{"Q5_K_S", "Q5_K", 16},
    GgufMix{"Q5_0", "Q5_0", 8},
    GgufMix{"Q5_1", "Q5_1", 9},
    GgufMix{"Q4_K_M", "Q4_K", 15, MixKind::medium, "Q6_K"},
    GgufMix{"Q4_K_S", "Q4_K", 14, MixKind::small, "Q5_K"},
    GgufMix{"IQ4_NL", "IQ4_NL", 25},
    GgufMix{"IQ4_XS", "IQ4_XS", 30},
    GgufMix{"Q4_0", "Q4_0", 2},
    GgufMix{"Q4_1", "Q4_1", 3},
};

std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

bool more_bits(const GgufMix& mix, const GgufPlace& place) {
  const int i = place.layer, eighth = place.layers / 8;
  if (mix.kind == MixKind::small) return i < (place.role == Role::v ? 4 : eighth);
  return i < eighth || i >= 7 * place.layers / 8 || (i - eighth) % 3 == 2;
}

}  // namespace

std::span<const GgufMix> gguf_mixes() { return kMixes; }

const GgufMix& find_gguf_mix(std::string_view name) {
  std::string wanted = upper_case(name), known;
  if (wanted == "Q4_K" || wanted == "Q5_K") wanted += "_M";
  for (const GgufMix& mix : kMixes) {
    if (mix.name == wanted) return mix;
    known += (known.empty() ? "" : ", ") + std::string(mix.name);
  }
  throw usage_error("--gguf-type {}: expected one of {}", name, known);
}

std::string_view check_gguf_type(std::string_view option, std::string_view name) {
  const std::string wanted = upper_case(name);
  std::string known;
  for (const GgufMix& mix : kMixes) {
    if (mix.type == wanted) return mix.type;
    if (known.find(mix.type) == std::string::npos)
      known += (known.empty() ? "" : ", ") + std::string(mix.type);
  }
  throw usage_error("{} {}: expected one of {}", option, name, known);
}

std::string_view gguf_type(const GgufMix& mix, const GgufPlace& place) {
  const bool head = place.role == Role::head || (place.role == Role::embed && place.tied);
  if (head && !is_dense_ggml(mix.type) && mix.type != "Q8_0") return "Q6_K";
  const bool favoured = place.role == Role::v || place.role == Role::down;
  if (favoured && mix.kind != MixKind::pure && more_bits(mix, place)) return mix.more;
  // Of models like Llama-70B: eight heads share these weights, which are few.
  const bool shared = place.layers == 80 && place.heads_per_key > 1;
  if (place.role == Role::v && shared && mix.type == "Q4_K") return "Q5_K";
  return mix.type;
}

std::string_view gguf_type_for_row(std::string_view type, int64_t cols) {
  if (cols % ggml_block(type)->values == 0) return type;
  const std::string_view instead = type == "Q4_K"     ? "Q5_0"
                                   : type == "Q5_K"   ? "Q5_1"
                                   : type == "Q6_K"   ? "Q8_0"
                                   : type == "IQ4_XS" ? "IQ4_NL"
                                                      : "F16";
  return instead == "F16" || cols % ggml_block(instead)->values == 0 ? instead : "F16";
}

bool is_dense_ggml(std::string_view type) {
  return type == "F32" || type == "F16" || type == "BF16";
}

}  // namespace halftone
