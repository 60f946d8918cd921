// Whether what is at -o may be replaced (quantize.h).
#include <filesystem>

#include "apps/quantize.h"
#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

bool holds_gguf(const std::string& directory) {
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == ".gguf") return true;
  return false;
}

}  // namespace

void check_output(const QuantizeOptions& options, const OpenedModel& model) {
  if (options.output.empty()) throw usage_error("no output").hint("pass -o OUT.");
  // What is there may be this very job's, when its journal is there too.
  if (options.resume && fs::exists(options.output + ".journal")) return;
  check_place(options.output, model, options.force);
}

void check_place(const std::string& output, const OpenedModel& model, bool force) {
  if (!fs::exists(output)) return;
  std::error_code none;
  if (fs::equivalent(output, model.checkpoint->path(), none))
    throw usage_error("-o {}: is the model itself", output).hint("pass another -o.");
  if (!force)
    throw usage_error("{} exists", output).hint("pass --force to replace it, or another -o.");
  check_replaceable(output);
  if (!fs::is_empty(output, none) && !fs::exists(output + "/config.json", none) &&
      !holds_gguf(output))
    throw usage_error("{}: holds no config.json and no .gguf, so it is no model: not replaced",
                      output)
        .hint("delete it yourself, or pass another -o.");
}

}  // namespace halftone
