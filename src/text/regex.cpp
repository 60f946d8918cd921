// See regex.h.
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/unicode.h"

namespace halftone {
namespace {

constexpr uint32_t kMatchLimit = 10'000'000;  // steps of one match
constexpr uint32_t kHeapLimit = 1u << 18;     // kibibytes of one match without JIT
constexpr size_t kJitStackLeast = 64 << 10, kJitStackMost = 16 << 20;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& origin)
    : origin_(origin), expression_(pattern) {
  const std::string translated = translate_pattern(pattern, origin);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Oniguruma's ^ and $ always see lines.
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                        &offset, context);
  pcre2_compile_context_free(context);
  if (!code_) {
    throw bad_input("{}: pattern {}: {} (at {} of its PCRE2 form {})", origin, pattern,
                    pcre2_message(error), offset, translated);
  }
  // Where there is no JIT the interpreter gives the same matches.
  pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
}

Regex::~Regex() { pcre2_code_free(code_); }

Regex::Regex(Regex&& other) noexcept
    : origin_(std::move(other.origin_)),
      expression_(std::move(other.expression_)),
      code_(std::exchange(other.code_, nullptr)) {}

struct RegexMatcher::State {
  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

RegexMatcher::RegexMatcher(const Regex& regex) : regex_(regex), state_(std::make_unique<State>()) {
  state_->data = pcre2_match_data_create(1, nullptr);
  state_->context = pcre2_match_context_create(nullptr);
  state_->stack = pcre2_jit_stack_create(kJitStackLeast, kJitStackMost, nullptr);
  if (!state_->data || !state_->context) throw std::bad_alloc();
  pcre2_set_match_limit(state_->context, kMatchLimit);
  pcre2_set_heap_limit(state_->context, kHeapLimit);
  if (state_->stack) pcre2_jit_stack_assign(state_->context, nullptr, state_->stack);
}

RegexMatcher::~RegexMatcher() {
  pcre2_match_data_free(state_->data);
  pcre2_match_context_free(state_->context);
  pcre2_jit_stack_free(state_->stack);
}

void RegexMatcher::find_all(std::string_view text, std::vector<Span>& matches) const {
  matches.clear();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::optional<size_t> last_end;
  size_t start = 0;
  while (start <= text.size()) {
    int found = pcre2_match(regex_.code_, subject, text.size(), start, PCRE2_NO_UTF_CHECK,
                            state_->data, state_->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(regex_.code_, subject, text.size(), start,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, state_->data, state_->context);
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      throw bad_input("{}: its pattern does not cope with a text of {} bytes: {}", regex_.origin_,
                      text.size(), pcre2_message(found));
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(state_->data);
    const Span match{ends[0], ends[1]};
    if (match.begin == match.end && last_end == match.end) {
      start += start < text.size() ? utf8_length(text[start]) : 1;
      continue;
    }
    matches.push_back(match);
    last_end = start = match.end;
  }
}

}  // namespace halftone
