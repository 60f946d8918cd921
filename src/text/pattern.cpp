// See pattern.h.
#include "text/pattern.h"

#include "base/error.h"
#include "text/unicode.h"

namespace halftone {

Pattern::Pattern(Options& options) {
  const Json* pattern = options.find("pattern");
  if (!pattern || !pattern->is_object() || pattern->size() != 1 || !pattern->begin()->is_string()) {
    throw bad_input("{}: pattern: expected {{\"String\": …}} or {{\"Regex\": …}}",
                    options.origin());
  }
  const std::string& kind = pattern->begin().key();
  if (kind == "String") {
    string_ = pattern->begin()->get<std::string>();
    // The library hands the empty string to its regex engine: it matches between all characters.
    if (string_.empty()) regex_.emplace("", options.origin());
  } else if (kind == "Regex") {
    regex_.emplace(pattern->begin()->get<std::string>(), options.origin());
  } else {
    throw bad_input("{}: pattern: option {} is not known", options.origin(), kind);
  }
}

std::optional<char32_t> Pattern::sign() const {
  if (regex_ || utf8_length(string_[0]) != string_.size()) return std::nullopt;
  size_t at = 0;
  const char32_t character = next_character(string_, at);
  const bool letter =
      (character >= U'a' && character <= U'z') || (character >= U'A' && character <= U'Z');
  if (letter || (character >= 0x80 && character != U'\u2581')) return std::nullopt;
  return character;
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::vector<Span> matches;
  Finder(*this).find_all(text, matches);
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (const Span& match : matches) {
    out.append(text.substr(done, match.begin - done)).append(content);
    done = match.end;
  }
  return out.append(text.substr(done));
}

Pattern::Finder::Finder(const Pattern& pattern) : pattern_(pattern) {
  if (pattern_.regex_) matcher_.emplace(*pattern_.regex_);
}

void Pattern::Finder::find_all(std::string_view text, std::vector<Span>& matches) const {
  matches.clear();
  if (text.empty()) return;
  if (matcher_) return matcher_->find_all(text, matches);
  const std::string& wanted = pattern_.string_;
  for (size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    matches.push_back({at, at + wanted.size()});
  }
}

}  // namespace halftone
