// PCRE2 behind a plain interface.
#include "base/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "base/printable.h"

namespace halftone {

struct NamePattern::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  pcre2_code* code;
};

NamePattern::NamePattern(std::string text, std::unique_ptr<Code> code)
    : text_(std::move(text)), code_(std::move(code)) {}
NamePattern::~NamePattern() = default;
NamePattern::NamePattern(NamePattern&&) noexcept = default;
NamePattern& NamePattern::operator=(NamePattern&&) noexcept = default;

std::optional<NamePattern> NamePattern::compile(std::string pattern, Place place,
                                                std::string& trouble) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | (place == Place::start ? uint32_t{PCRE2_ANCHORED} : 0);
  auto code =
      std::make_unique<Code>(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                           pattern.size(), options, &error, &offset, nullptr));
  if (code->code == nullptr) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(error, text, sizeof text);
    trouble = fmt::format("{} at position {}", reinterpret_cast<const char*>(text), offset);
    return std::nullopt;
  }
  return NamePattern(std::move(pattern), std::move(code));
}

bool NamePattern::matches(const std::string& name) const {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(),
                                0, 0, data, nullptr);
  pcre2_match_data_free(data);
  if (found < 0 && found != PCRE2_ERROR_NOMATCH)
    throw bad_input("regular expression '{}': gave up on {}", printable(text_), printable(name));
  return found >= 0;
}

}  // namespace halftone
