// A command of the program: flags → option structs, nothing else. One file a command.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/plan.h"
#include "backend/backend.h"

namespace halftone {

// What every command takes.
struct Globals {
  int verbosity = 1;    // -q: 0, -v: 2, -vv: 3
  std::string program;  // as it was called
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
std::unique_ptr<Command> make_doctor_command();
std::unique_ptr<Command> make_demo_command();
std::unique_ptr<Command> make_bench_command();
std::unique_ptr<Command> make_compare_command();

// Options that several commands have, under the same names.
struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;
};
void add_device_options(CLI::App& command, DeviceOptions& options);
// The backend that they ask for; when it is ours to choose, the choice and its reason are logged.
std::unique_ptr<Backend> open_device(const DeviceOptions& options);
// For what stands for one thing: giving it twice is a slip, not a change of mind.
CLI::Option* take_once(CLI::Option* option);
void add_model(CLI::App& command, std::string& model, const std::string& names = "MODEL");
void add_dtype(CLI::App& command, std::string& dtype);
void add_size_option(CLI::App& command, const std::string& name, int64_t& bytes,
                     const std::string& what);
// --gguf-type, --embedding-type, --head-type. Returns the first.
CLI::Option* add_gguf_options(CLI::App& command, GgufOptions& options);
void add_gguf_table_options(CLI::App& command, GgufOptions& options);  // the latter two
// An option of types of a GGUF: its description lists them, its check knows them. Returns it.
CLI::Option* take_gguf_mix(CLI::Option* option);
void add_memory_option(CLI::App& command, QuantizeOptions& options);  // --max-memory
// --method, --recipe, --bits, --group-size; the latter two not beside --gguf-type.
void add_method_options(CLI::App& command, QuantizeOptions& options, CLI::Option* gguf_type);
// --skip, --lm-head, --damp, --order, --token-weights, --calib-inputs,
// --scale-search.
void add_step_options(CLI::App& command, QuantizeOptions& options);
void add_format_option(CLI::App& command, QuantizeOptions& options);     // --format
void add_sequences_option(CLI::App& command, QuantizeOptions& options);  // --sequences
void add_example(CLI::App& command, const std::string& text);            // below --help

// Give an option the type that --help shows and a check that says what it got and what it expected,
// then, where there is one, the valid value nearest to it. They return the option.
CLI::Option* take_number(CLI::Option* option, double least, double most);
// `also`: one more value that has a meaning of its own, as −1.
CLI::Option* take_whole_number(CLI::Option* option, int64_t least, int64_t most = INT64_MAX,
                               std::optional<int64_t> also = std::nullopt);
CLI::Option* take_one_of(CLI::Option* option, const std::vector<std::string>& choices);
// Of a table's rows, for --help and for the nearest one.
template <class Row>
std::vector<std::string> names_of(std::span<const Row> table) {
  std::vector<std::string> names;
  for (const Row& row : table) names.emplace_back(row.name);
  return names;
}
CLI::Option* take_number_of(CLI::Option* option, const std::vector<double>& choices);
CLI::Option* take_truth(CLI::Option* option);  // true or false, and what stands for them

}  // namespace halftone
