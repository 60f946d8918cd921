// Numbers of ggml's types as GGUF files store them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halftone {

// "Q4_K" for 12, also for types that we do not read; empty for numbers that ggml does not have.
std::string_view ggml_type_name(uint32_t number);

std::optional<uint32_t> ggml_type_number(std::string_view name);

// "F32, F16, …": the types that we read, for errors.
std::string readable_ggml_types();

}  // namespace halftone
