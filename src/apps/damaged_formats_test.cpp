// Quantized models of every format with random damage: they open and are read, or one line says
// what is wrong with them.
#include <gtest/gtest.h>

#include <filesystem>

#include "apps/convert.h"
#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hush.h"
#include "io/hostile_file.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

void read_everything(const std::string& path) {
  const OpenedModel model = open_model(path);
  HostAllocator host;
  for (const StoredTensor& stored : model.source->tensors()) {
    if (stored.quantized) model.source->quantized(stored.name);
    const Tensor row(host, 1, stored.cols, DType::f32);
    if (stored.rows > 0) model.source->read(stored.name, 0, 1, row);
  }
}

// Damages `file` of the model `rounds` times; returns how often it was refused.
int refusals(const std::string& model, const std::string& file, int rounds) {
  const std::string path = model + "/" + file, whole = read_file(path);
  const Hush hush;  // no warnings
  Rng rng(7);
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    write_bytes(path, damaged(whole, rng));
    try {
      read_everything(model);
    } catch (const Error& error) {
      ++refused;
      EXPECT_NE(error.exit(), Exit::bug) << file << ", round " << round << ": " << error.what();
      EXPECT_LT(std::string(error.what()).size(), 1000u) << error.what();
    }
  }
  write_bytes(path, whole);
  return refused;
}

class DamagedFormats : public testing::TestWithParam<std::string> {};

TEST_P(DamagedFormats, OpenOrAreRefused) {
  const TestModelFolder folder("qwen2", true);
  const std::string codes = folder.path("codes"), model = folder.path("out");
  convert(folder.open(), {.output = codes, .format = "gguf", .gguf = {.type = "Q4_0"}});
  if (GetParam() == "gguf")
    fs::rename(codes, model);
  else
    convert(open_model(codes), {.output = model, .format = GetParam()});
  ASSERT_NO_THROW(read_everything(model));
  constexpr int kRounds = 60;
  for (const auto& entry : fs::directory_iterator(model)) {
    const std::string file = entry.path().filename().string();
    const bool weights = file.ends_with(".safetensors") || file.ends_with(".gguf");
    if (weights || file.ends_with("config.json")) refusals(model, file, kRounds);
  }
  EXPECT_GT(refusals(model,
                     GetParam() == "gguf" ? fs::directory_iterator(model)->path().filename()
                                          : "config.json",
                     kRounds),
            0);
}

INSTANTIATE_TEST_SUITE_P(All, DamagedFormats,
                         testing::Values("gptq", "gptq_v2", "awq", "compressed-tensors", "mlx",
                                         "gguf"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace halftone
