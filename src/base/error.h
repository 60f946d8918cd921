// The one exception that ends a command, and the exit code that it ends with.
//
//   throw bad_input("{}: shape [{}, {}], expected [{}, {}] (hidden_size)", name, r, c, h, h)
//       .hint("config.json and the weights do not belong together.");
//
// A message says what, name, got, expected; the hint, on a second line, what to do. `assert` is for
// our own bugs; `std::optional` and `bool` are for outcomes that a caller expects.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace halftone {

// Exit codes of the program (docs/quickstart.md lists them for users).
enum class Exit : int {
  done = 0,
  usage = 2,         // the command line
  bad_input = 3,     // a file or a text
  resources = 4,     // memory or disk
  bug = 5,           // ours
  gate = 6,          // a limit that the user set was not met
  interrupted = 130  // by a signal; finished work is kept
};

class Error : public std::runtime_error {
 public:
  Error(Exit exit, const std::string& message) : std::runtime_error(message), exit_(exit) {}

  Exit exit() const { return exit_; }
  const std::string& hint() const { return hint_; }

  // Adds the line that says what to do.
  Error hint(std::string text) && {
    hint_ = std::move(text);
    return std::move(*this);
  }

 private:
  Exit exit_;
  std::string hint_;
};

template <class... Args>
Error usage_error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(Exit::usage, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Error bad_input(fmt::format_string<Args...> format, Args&&... args) {
  return Error(Exit::bad_input, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Error out_of_resources(fmt::format_string<Args...> format, Args&&... args) {
  return Error(Exit::resources, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Error internal_error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(Exit::bug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace halftone
