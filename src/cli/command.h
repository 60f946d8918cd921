// A command of the program: flags → option structs, nothing else. One file a command.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

namespace halftone {

// What every command takes.
struct Globals {
  int verbosity = 1;  // -q: 0, -v: 2, -vv: 3
  bool quiet() const { return verbosity == 0; }
};

class Command {
 public:
  virtual ~Command() = default;
  // Adds the subcommand with its options.
  virtual CLI::App* add_to(CLI::App& program) = 0;
  // Throws Error. Returns the exit code of a run that did what it was asked (0, or 6 for a gate).
  virtual int run(const Globals& globals) = 0;
};

std::unique_ptr<Command> make_quantize_command();
std::unique_ptr<Command> make_eval_command();
std::unique_ptr<Command> make_generate_command();
std::unique_ptr<Command> make_tokenize_command();
std::unique_ptr<Command> make_inspect_command();
std::unique_ptr<Command> make_convert_command();
std::unique_ptr<Command> make_demo_command();

// Options that several commands have, under the same names.
struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;
};
void add_device_options(CLI::App& command, DeviceOptions& options);
// Checks that say what they want; std::nan and the like pass none of them.
CLI::Validator number_between(double least, double most);
CLI::Validator whole_number(int64_t least);
void add_size_option(CLI::App& command, const std::string& name, int64_t& bytes,
                     const std::string& what);
void add_example(CLI::App& command, const std::string& text);  // below --help

}  // namespace halftone
