// A regular expression over names (PCRE2, UTF-8), from a command line or from a file of others.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace halftone {

class NamePattern {
 public:
  enum class Place : uint8_t { anywhere, start };  // where in the name a match may begin

  // Nothing, and why in `trouble` ("missing ) at position 3"), when it does not compile.
  static std::optional<NamePattern> compile(std::string pattern, Place place, std::string& trouble);

  ~NamePattern();
  NamePattern(NamePattern&&) noexcept;
  NamePattern& operator=(NamePattern&&) noexcept;

  const std::string& text() const { return text_; }
  // Throws Error(bad_input) when the expression takes too long (nested repetitions).
  bool matches(const std::string& name) const;

 private:
  struct Code;
  NamePattern(std::string text, std::unique_ptr<Code> code);
  std::string text_;
  std::unique_ptr<Code> code_;
};

}  // namespace halftone
