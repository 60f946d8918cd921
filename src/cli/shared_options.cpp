// Options that several commands have.
#include "cli/command.h"

namespace halftone {

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command.add_option("--device", options.device, "auto or cpu (ref: slow, the oracle of our tests)")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "0: all that this process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

void add_example(CLI::App& command, const std::string& text) {
  command.footer("Example: " + text);
}

}  // namespace halftone
