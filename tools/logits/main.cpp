// halftone-logits MODEL --ids FILE -o OUT: the logits of one sequence, for comparing with other
// programs (tools/compare_logits.py).
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <sstream>

#include "apps/open_model.h"
#include "base/error.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "model/forward.h"

namespace halftone {
namespace {

std::vector<int32_t> read_ids(const std::string& path) {
  std::istringstream text(read_file(path));
  std::vector<int32_t> ids;
  for (int32_t id; text >> id;) ids.push_back(id);
  if (ids.empty() || !text.eof())
    throw bad_input("{}: expected token ids, separated by white space", path);
  return ids;
}

void write_logits(const Tensor& logits, const std::string& directory) {
  std::filesystem::create_directories(directory);
  SafetensorsWriter writer(directory,
                           {{"logits", "F32", {logits.rows(), logits.cols()}, logits.bytes()}});
  writer.write("logits", {logits.row<std::byte>(0), static_cast<size_t>(logits.bytes())});
  writer.finish();
}

struct Options {
  std::string model, ids, output, device = "auto", dtype = "f32";
};

void run(const Options& options) {
  const auto backend = make_backend(options.device, {});
  const OpenedModel model = open_model(options.model);
  const DType compute = compute_dtype(options.dtype, *backend);
  const auto provider = make_provider(*backend, *model.tensors, {.compute = compute});
  Forward forward(*backend, *model.tensors, *provider, compute);
  const std::vector<int32_t> ids = read_ids(options.ids);
  const Batch batch = make_batch(ids, static_cast<int64_t>(ids.size()));
  const Tensor residual = forward.run(batch);
  const Tensor device = backend->allocate(batch.tokens(), model.config().vocab, DType::f32);
  forward.logits(batch, residual, device);
  HostAllocator host;
  const Tensor logits(host, device.rows(), device.cols(), DType::f32);
  backend->download(device, logits);
  write_logits(logits, options.output);
}

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) {
  CLI::App app("Writes the logits of one sequence of token ids as OUT/model.safetensors.");
  halftone::Options options;
  app.add_option("MODEL", options.model, "Hugging Face directory or .gguf file")->required();
  app.add_option("--ids", options.ids, "file of token ids, separated by white space")->required();
  app.add_option("-o,--output", options.output, "directory to write")->required();
  app.add_option("--device", options.device)->capture_default_str();
  app.add_option("--dtype", options.dtype, "auto, f32 or bf16")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    halftone::run(options);
  } catch (const halftone::Error& error) {
    fmt::print(stderr, "halftone-logits: {}\n", error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
