#include "io/safetensors_types.h"

#include <utility>

#include "base/checked.h"
#include "io/safetensors.h"

namespace halftone {
namespace {

constexpr std::pair<std::string_view, uint64_t> kBits[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64}};

constexpr std::pair<std::string_view, DType> kComputed[] = {
    {"F32", DType::f32}, {"F16", DType::f16},     {"BF16", DType::bf16}, {"F64", DType::f64},
    {"I64", DType::i64}, {"I32", DType::i32},     {"I16", DType::i16},   {"I8", DType::i8},
    {"U8", DType::u8},   {"BOOL", DType::boolean}};

}  // namespace

std::optional<uint64_t> safetensors_bits(std::string_view type) {
  for (const auto& [name, bits] : kBits)
    if (name == type) return bits;
  return std::nullopt;
}

std::optional<uint64_t> safetensors_bytes(uint64_t bits, const std::vector<int64_t>& shape) {
  std::optional<uint64_t> total = bits;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    total = checked_multiply(*total, static_cast<uint64_t>(size));
    if (!total) return std::nullopt;
  }
  if (*total % 8 != 0) return std::nullopt;
  return *total / 8;
}

std::string_view safetensors_name(DType dtype) {
  for (const auto& [name, known] : kComputed)
    if (known == dtype) return name;
  return "";
}

std::optional<DType> dtype_of_safetensors(std::string_view type) {
  for (const auto& [name, dtype] : kComputed)
    if (name == type) return dtype;
  return std::nullopt;
}

}  // namespace halftone
