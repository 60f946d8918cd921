// Options that several commands have.
#include <fmt/core.h>

#include <cstdlib>

#include "base/progress.h"
#include "cli/command.h"

namespace halftone {

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command
      .add_option("--device", options.device, "auto or cpu (ref: slow, the oracle of our tests)")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "0: all that this process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

CLI::Validator number_between(double least, double most) {
  const auto check = [=](std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end != text.c_str() && *end == 0 && value >= least && value <= most) return std::string();
    return fmt::format("got {}, expected a number from {} to {}", text, least, most);
  };
  return CLI::Validator(check, "NUMBER");
}

CLI::Validator whole_number(int64_t least) {
  const auto check = [=](std::string& text) {
    constexpr size_t kMostDigits = 18;  // fits 64 bits whatever they are
    const bool digits = !text.empty() && text.size() <= kMostDigits &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    if (digits && std::stoll(text) >= least) return std::string();
    return fmt::format("got {}, expected a whole number from {}", text, least);
  };
  return CLI::Validator(check, "N");
}

void add_size_option(CLI::App& command, const std::string& name, int64_t& bytes,
                     const std::string& what) {
  command
      .add_option_function<std::string>(
          name, [&bytes](const std::string& text) { bytes = *parse_bytes(text); }, what)
      ->check(CLI::Validator(
          [](std::string& text) {
            return parse_bytes(text)
                       ? std::string()
                       : fmt::format("got {}, expected a size such as 1.5G or 800M", text);
          },
          "SIZE"));
}

void add_example(CLI::App& command, const std::string& text) { command.footer("Example: " + text); }

}  // namespace halftone
