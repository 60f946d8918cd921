// See jinja.h.
#include "text/jinja.h"

#include "base/error.h"
#include "text/jinja_evaluator.h"
#include "text/jinja_parser.h"
#include "text/unicode.h"

namespace halftone::jinja {

Template::Template(std::string name, std::string_view source) : name_(std::move(name)) {
  constexpr size_t kMostBytes = size_t{4} << 20;
  if (source.size() > kMostBytes)
    throw bad_input("{}: {} bytes, at most {} are read", name_, source.size(), kMostBytes);
  if (const auto at = find_invalid_utf8(source))
    throw bad_input("{}: not UTF-8 (offset {})", name_, *at);
  try {
    statements_ = parse_template(source);
  } catch (const SyntaxFault& fault) {
    throw bad_input("{}: line {}: {}", name_, fault.line, fault.message);
  }
}
Template::~Template() = default;
Template::Template(const Template&) = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(const Template&) = default;
Template& Template::operator=(Template&&) noexcept = default;

std::string Template::render(const Json& variables, const std::tm& now) const {
  Heap heap;
  Evaluator evaluator(heap, now);
  try {
    return evaluator.run(statements_, variables);
  } catch (const Fault& fault) {
    throw bad_input("{}: line {}: {}", name_, evaluator.line(), fault.message);
  } catch (const Refusal& refusal) {
    throw bad_input("{}: line {}: refuses: {}", name_, evaluator.line(), refusal.message);
  }
}

}  // namespace halftone::jinja
