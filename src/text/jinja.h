// Templates in the part of Jinja 2 that models' chat templates use, rendered as Transformers'
// apply_chat_template has Jinja render them (trim_blocks, lstrip_blocks, its own tojson, break and
// continue, {% generation %}). What is not supported is an error that names template, line and
// construct. A hostile template meets limits: memory, output, steps, depth.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace halftone::jinja {

struct Statement;

class Template {
 public:
  // `name` is what errors begin with. Throws Error(bad_input) for what is not understood.
  Template(std::string name, std::string_view source);
  ~Template();
  Template(const Template&);
  Template(Template&&) noexcept;
  Template& operator=(const Template&);
  Template& operator=(Template&&) noexcept;

  // `variables`: an object whose keys are the template's globals; `now`: what strftime_now tells.
  // Throws Error(bad_input), also where the template calls raise_exception, with its message.
  std::string render(const Json& variables, const std::tm& now) const;

 private:
  std::string name_;
  std::vector<Statement> statements_;
};

}  // namespace halftone::jinja
