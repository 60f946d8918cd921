#include "apps/model_hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "apps/test_model_folder.h"
#include "backend/backend.h"
#include "base/error.h"
#include "base/file.h"
#include "base/half.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

// Sets value `at` of a bf16 tensor.
void put(const TestModelFolder& folder, const std::string& name, int64_t at, float value) {
  const OpenedModel model = folder.open();
  const ContainerEntry* entry = model.checkpoint->find(name);
  ASSERT_NE(entry, nullptr) << name;
  ASSERT_EQ(entry->type, "BF16");
  std::string bytes = read_file(entry->file);
  const std::string stored(reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size());
  const size_t begin = bytes.find(stored) + static_cast<size_t>(at) * 2;
  const bf16 half = to_bf16(value);
  std::memcpy(bytes.data() + begin, &half, sizeof half);
  folder.write("model/model.safetensors", bytes);
}

// What is said of the model; empty: nothing.
std::string refusal(const TestModelFolder& folder) {
  const auto backend = make_backend("cpu", {.threads = 2});
  try {
    const OpenedModel model = folder.open();
    const ModelHash hash(model, *backend, true, nullptr);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
  return "";
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(ModelHash, IsTheCheckpoints) {
  const TestModelFolder folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  const OpenedModel model = folder.open();
  const ModelHash hash(model, *backend, true, nullptr);
  EXPECT_EQ(hash.value(), model.checkpoint->fingerprint(backend->host_threads()));
}

TEST(ModelHash, NamesTheFirstTensorWithAValueThatIsNoNumber) {
  const TestModelFolder folder;
  EXPECT_EQ(refusal(folder), "");
  put(folder, "model.layers.1.mlp.down_proj.weight", 3, std::numeric_limits<float>::infinity());
  EXPECT_THAT(refusal(folder),
              HasSubstr("layers.1.mlp.down_proj.weight: an infinity at row 0, column 3"));
  put(folder, "model.layers.0.input_layernorm.weight", 1, kNaN);
  EXPECT_THAT(refusal(folder),
              HasSubstr("layers.0.input_layernorm.weight: NaN at row 0, column 1"));
}

// Elsewhere a row may be of a reserved id, which no text has.
TEST(ModelHash, AnEmbeddingIsLookedAtWhereItIsTheHead) {
  const TestModelFolder tied("qwen2"), untied("llama");
  for (const TestModelFolder* folder : {&tied, &untied})
    put(*folder, "model.embed_tokens.weight", 0, kNaN);
  EXPECT_THAT(refusal(tied), HasSubstr("embed_tokens.weight: NaN at row 0, column 0"));
  EXPECT_EQ(refusal(untied), "");
}

}  // namespace
}  // namespace halftone
