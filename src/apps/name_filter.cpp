// PCRE2 behind a plain interface.
#include "apps/name_filter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace halftone {

struct NameFilter::Rule {
  std::string pattern;
  pcre2_code* code = nullptr;
  mutable bool used = false;
  ~Rule() { pcre2_code_free(code); }
};

NameFilter::NameFilter(const std::vector<std::string>& patterns, std::string option)
    : option_(std::move(option)) {
  for (const std::string& pattern : patterns) {
    auto rule = std::make_unique<Rule>();
    rule->pattern = pattern;
    int error = 0;
    PCRE2_SIZE offset = 0;
    rule->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                               PCRE2_UTF, &error, &offset, nullptr);
    if (!rule->code) {
      PCRE2_UCHAR text[256];
      pcre2_get_error_message(error, text, sizeof text);
      throw usage_error("{} '{}': not a regular expression: {} at position {}", option_, pattern,
                        reinterpret_cast<const char*>(text), offset)
          .hint(
              "a pattern is searched for in names such as model.layers.0.mlp.down_proj; put \\ "
              "before . ( ) [ ] * + ? to mean the character itself.");
    }
    rules_.push_back(std::move(rule));
  }
}

NameFilter::~NameFilter() = default;

const std::string* NameFilter::match(const std::string& name) const {
  for (const auto& rule : rules_) {
    pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
    const int found = pcre2_match(rule->code, reinterpret_cast<PCRE2_SPTR>(name.data()),
                                  name.size(), 0, 0, data, nullptr);
    pcre2_match_data_free(data);
    if (found < 0) continue;
    rule->used = true;
    return &rule->pattern;
  }
  return nullptr;
}

void NameFilter::check_all_used() const {
  for (const auto& rule : rules_)
    if (!rule->used)
      throw usage_error("{} '{}' matches no linear of this model", option_, rule->pattern)
          .hint("halftone inspect MODEL lists the names.");
}

}  // namespace halftone
