// GGUF keys with their types and ranges checked; errors name the file and the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf.h"

namespace halftone {

class GgufKeys {
 public:
  // `file` outlives this.
  explicit GgufKeys(const GgufFile& file) : file_(file) {}

  // Absent keys give nothing; a value of another type or out of range throws Error(bad_input).
  // An array of equal numbers (one a layer) counts as that number.
  std::optional<int64_t> integer(std::string_view key, int64_t least, int64_t most) const;
  // f32 values come as the shortest decimal that is the same f32: 1e-06, not 9.999999974752427e-07.
  std::optional<double> number(std::string_view key, double least, double most) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;  // UTF-8
  // nullptr where absent.
  const std::vector<std::string>* texts(std::string_view key) const;  // UTF-8
  const std::vector<int64_t>* integers(std::string_view key) const;
  const std::vector<double>* numbers(std::string_view key) const;

  int64_t needed_integer(std::string_view key, int64_t least, int64_t most) const;
  double needed_number(std::string_view key, double least, double most) const;

  // For people: "qwen2", "1e-06", "[151936 strings]"; one line, long texts cut.
  std::vector<std::pair<std::string, std::string>> short_values() const;

 private:
  const GgufValue* find(std::string_view key) const;
  const GgufFile& file_;
};

}  // namespace halftone
