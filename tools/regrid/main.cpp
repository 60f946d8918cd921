// halftone-regrid MODEL -o OUT: the command around regrid.h.
#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "apps/regrid.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Rescales a model's channels in pairs that cancel and writes it in bf16, so that a model "
      "which was 4-bit before can be quantized for measurements.");
  std::string model, output;
  halftone::RegridOptions options;
  app.add_option("MODEL", model, "Hugging Face directory or .gguf file")->required();
  app.add_option("-o,--output", output, "directory to write")->required();
  app.add_option("--seed", options.seed, "of the channels' factors")->capture_default_str();
  app.add_flag("--force", options.force, "replace an existing OUT");
  CLI11_PARSE(app, argc, argv);
  try {
    halftone::write_regridded(halftone::open_model(model), output, options);
  } catch (const halftone::Error& error) {
    fmt::print(stderr, "halftone-regrid: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "                 {}\n", error.hint());
    return static_cast<int>(error.exit());
  }
  fmt::print("{}: {} regridded with seed {}, bf16\n", output, model, options.seed);
  return 0;
}
