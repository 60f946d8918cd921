// The program: parse, run one command, turn its errors into a line and an exit code.
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mapped_ranges.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/suggest.h"
#include "cli/version.h"

namespace halftone {
namespace {

using MakeCommand = std::unique_ptr<Command> (*)();
constexpr MakeCommand kCommands[] = {
    make_quantize_command, make_eval_command,    make_generate_command,
    make_tokenize_command, make_inspect_command, make_doctor_command,
    make_convert_command,  make_compare_command, make_demo_command,
    make_bench_command};

struct Program {
  CLI::App app{"Turns a large language model into a 4-bit one, proves what it cost, and runs it.",
               "halftone"};
  Globals globals;
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> commands;
};

std::string version_and_device() {
  const DeviceChoice choice = choose_device("auto");
  return fmt::format("{}\nruns on {}: {}", version_text(), choice.device, choice.reason);
}

void set_up(Program& program) {
  CLI::App& app = program.app;
  app.formatter(make_help());  // subcommands that follow inherit it
  app.set_help_flag("-h,--help", "This text");
  app.set_version_flag("--version", version_and_device, "Version, commit, build options, GPU");
  app.set_config("--config", "",
                 "Read options from a file (TOML: a [command] section of names without --)")
      ->type_name("FILE.toml")
      ->check(CLI::Validator(
          [](std::string& path) {
            std::error_code unknown;
            return std::filesystem::is_regular_file(path, unknown)
                       ? std::string()
                       : fmt::format("got {}, expected a file that is there", path);
          },
          ""));
  app.add_flag_callback(
      "-q,--quiet", [&] { program.globals.verbosity = 0; }, "Warnings and errors alone");
  app.add_flag(
      "-v,--verbose", [&](int64_t times) { program.globals.verbosity += static_cast<int>(times); },
      "More detail; twice: everything");
  // The last of several wins, as scripts expect that add to a command line.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.require_subcommand(1);
  app.fallthrough();
  for (const MakeCommand make : kCommands) {
    std::unique_ptr<Command> command = make();
    CLI::App* added = command->add_to(app);
    added->fallthrough();
    added->configurable();
    program.commands.emplace_back(added, std::move(command));
  }
}

// "what: got, expected", then what to do, below it.
void print_error(const std::string& message, const std::string& hint) {
  fmt::print(stderr, "halftone: {}\n", message);
  if (!hint.empty()) fmt::print(stderr, "          {}\n", hint);
}

int run_command(Program& program) {
  set_up_log(program.globals.verbosity);
  watch_for_interrupt();
  watch_for_lost_files();
  const SignalStack signal_stack;
  for (const auto& [app, command] : program.commands)
    if (app->parsed()) return command->run(program.globals);
  throw internal_error("no command ran");
}

int guarded_run(Program& program) {
  try {
    return run_command(program);
  } catch (const Error& error) {
    const bool plain = error.exit() == Exit::interrupted && error.hint().empty();
    print_error(error.what(), plain ? "nothing is left behind: run it again." : error.hint());
    return static_cast<int>(error.exit());
  } catch (const std::system_error& error) {  // a file system's or a stream's own words
    const int number = error.code().value();
    const bool full = number == ENOSPC || number == EDQUOT || number == ENOMEM;
    print_error(error.what(), full ? "free some space, or write elsewhere." : "");
    return static_cast<int>(full ? Exit::resources : Exit::bad_input);
  } catch (const std::bad_alloc&) {
    print_error("out of memory", "try --max-memory, fewer --samples or a smaller --seq-len.");
    return static_cast<int>(Exit::resources);
  } catch (const std::exception& error) {
    print_error(fmt::format("internal error: {}", error.what()),
                "this is our bug: please report it with the command line.");
    return static_cast<int>(Exit::bug);
  }
}

int main_program(int argc, char** argv) {
  Program program;
  if (argc > 0) program.globals.program = argv[0];
  set_up(program);
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return program.app.exit(success);
  } catch (const CLI::ParseError& error) {
    const Complaint complaint = explain(program.app, error);
    print_error(complaint.message, complaint.hint);
    return static_cast<int>(Exit::usage);
  }
  const int code = guarded_run(program);
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && code == 0) {
    print_error("standard output cannot be written", "");
    return static_cast<int>(Exit::resources);
  }
  return code;
}

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) { return halftone::main_program(argc, argv); }
