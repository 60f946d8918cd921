// Every family through a GGUF and back: weights, configuration, tokenizer; types and refusals.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/convert.h"
#include "apps/gguf_contents.h"
#include "apps/quantize.h"
#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

std::vector<float> values_of(const OpenedModel& model, const TensorKey& key) {
  const auto [rows, cols] = model.tensors->shape(key);
  HostAllocator host;
  const Tensor out(host, rows, cols, DType::f32);
  model.tensors->read(key, out);
  return {out.row<float>(0), out.row<float>(0) + rows * cols};
}

// The largest difference over all tensors, as a part of the largest value of each.
double largest_difference(const OpenedModel& a, const OpenedModel& b) {
  double most = 0;
  EXPECT_EQ(a.tensors->keys(), b.tensors->keys());
  for (const TensorKey& key : a.tensors->keys()) {
    const auto x = values_of(a, key), y = values_of(b, key);
    double size = 1e-9;
    for (const float value : x) size = std::max<double>(size, std::abs(value));
    for (size_t i = 0; i < x.size(); ++i)
      most = std::max(most, std::abs(static_cast<double>(x[i]) - y[i]) / size);
  }
  return most;
}

struct Family : public ::testing::TestWithParam<const char*> {
  TestModelFolder folder{GetParam(), true};

  std::string convert_to(const std::string& name, const ConvertOptions& how) {
    ConvertOptions options = how;
    options.output = folder.path(name);
    outcome = convert(folder.open(), options);
    return options.output;
  }
  ConvertOutcome outcome;
};

TEST_P(Family, ComesBackFromF32) {
  const std::string path = convert_to("f32", {.format = "gguf", .gguf = {.type = "F32"}});
  const OpenedModel original = folder.open(), again = open_model(path);
  EXPECT_TRUE(again.checkpoint->is_gguf());
  EXPECT_LT(largest_difference(original, again), 1e-6) << "1 added to a gain, and taken away";
  const ModelConfig &a = original.config(), &b = again.config();
  EXPECT_EQ(a.heads, b.heads);
  EXPECT_EQ(a.kv_heads, b.kv_heads);
  EXPECT_EQ(a.max_positions, b.max_positions);
  EXPECT_EQ(a.norm.epsilon, b.norm.epsilon);
  EXPECT_EQ(a.rope.theta, b.rope.theta);
  EXPECT_EQ(a.tied_embeddings, b.tied_embeddings);
  const RopeTable rope = rope_table(a.rope, a.head_dim),
                  rope_again = rope_table(b.rope, b.head_dim);
  for (size_t i = 0; i < rope.frequencies.size(); ++i)
    EXPECT_NEAR(rope.frequencies[i], rope_again.frequencies[i], 1e-5 * rope.frequencies[i]);
  const Tokenizer tokenizer = Tokenizer::load(original.checkpoint->metadata());
  const Tokenizer tokenizer_again = Tokenizer::load(again.checkpoint->metadata());
  EXPECT_EQ(tokenizer.encode("abc xyz", true), tokenizer_again.encode("abc xyz", true));
}

TEST_P(Family, IsRoundedToTheTypesAskedFor) {
  const std::string path =
      convert_to("q", {.format = "gguf", .gguf = {.type = "Q8_0", .embedding_type = "F16"}});
  EXPECT_GT(outcome.rounded, 0);
  const OpenedModel again = open_model(path);
  const double difference = largest_difference(folder.open(), again);
  EXPECT_GT(difference, 1e-5);
  EXPECT_LT(difference, 0.01);
  EXPECT_EQ(again.tensors->stored({.layer = 0, .role = Role::q}).encoding, "Q8_0");
  EXPECT_EQ(again.tensors->stored({.role = Role::embed}).encoding, "f16");
  EXPECT_EQ(again.quantization, "GGUF Q8_0");
}

// Codes of a GGUF go into another GGUF and into a format of groups as they are.
TEST_P(Family, KeepsCodesBetweenFormats) {
  const std::string q4 = convert_to("q4", {.format = "gguf", .gguf = {.type = "Q4_0"}});
  const OpenedModel first = open_model(q4);
  const ConvertOutcome gguf = convert(first, {.output = folder.path("again"), .format = "gguf"});
  EXPECT_EQ(gguf.requantized + gguf.rounded, 0);
  EXPECT_EQ(largest_difference(first, open_model(folder.path("again"))), 0);
}

// Written beside the layers, read back, and compared with what was solved.
TEST_P(Family, IsQuantized) {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const char* method : {"rtn", "awq+gptq"}) {
    QuantizeOptions options = folder.rounding(method, 128);
    options.method = method;
    options.format = "gguf";
    options.gguf.type = "Q8_0";
    quantize(*backend, folder.open(), options);
    const double difference = largest_difference(folder.open(), open_model(options.output));
    EXPECT_GT(difference, 1e-5) << method;
    if (std::string(method) == "rtn") {
      EXPECT_LT(difference, 0.01);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Family,
                         ::testing::Values("llama", "llama3", "mistral", "qwen2", "qwen3", "gemma3",
                                           "gemma3_text"),
                         [](const auto& test) { return std::string(test.param); });

// What it is called, and what mix it says it is.
TEST(ConvertGguf, AGgufKeepsWhatItSaysOfItself) {
  const TestModelFolder folder("llama");
  const std::string first = folder.path("first"), second = folder.path("second");
  convert(folder.open(), {.output = first, .format = "gguf", .gguf = {.type = "Q4_K_M"}});
  convert(open_model(first), {.output = second, .format = "gguf"});
  const auto keys_of = [](const std::string& path) {
    return open_model(path).checkpoint->gguf()->keys();
  };
  EXPECT_EQ(keys_of(first), keys_of(second));
  EXPECT_EQ(std::get<uint64_t>(keys_of(second).at("general.file_type")), 15u);
  EXPECT_EQ(std::get<std::string>(keys_of(second).at("general.name")), "model");
  EXPECT_TRUE(std::filesystem::exists(second + "/model-Q4_K_M.gguf"));
}

TEST(ConvertGguf, SaysWhichRowsDoNotFit) {
  const TestModelFolder folder;
  const ConvertOutcome outcome = convert(
      folder.open(), {.output = folder.path("k"), .format = "gguf", .gguf = {.type = "Q4_K_M"}});
  ASSERT_FALSE(outcome.notes.empty());
  EXPECT_THAT(outcome.notes[0], HasSubstr("blocks of 256, so"));
}

TEST(ConvertGguf, OptionsOfAGgufNeedOne) {
  const TestModelFolder folder;
  EXPECT_THROW(convert(folder.open(), {.output = folder.path("k"), .gguf = {.type = "Q4_0"}}),
               Error);
  EXPECT_THROW(convert(folder.open(),
                       {.output = folder.path("k"), .format = "gguf", .gguf = {.type = "Q3_K_M"}}),
               Error);
  EXPECT_FALSE(std::filesystem::exists(folder.path("k")));
}

TEST(ConvertGguf, ARefusalSaysWhatTheMatrixHasAndWhatTheTypeHolds) {
  const TestModelFolder folder;
  const std::string path = folder.path("q4");
  convert(folder.open(), {.output = path, .format = "gguf", .gguf = {.type = "Q4_0"}});
  try {
    convert(open_model(path),
            {.output = folder.path("q8"), .format = "gguf", .gguf = {.type = "Q8_0"}});
    ADD_FAILURE() << "converted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("it has 4 bits in groups of 32, where Q8_0 has 8 bits in groups of 32"));
  }
}

// Codes of 6 bits would be Q6_K, whose blocks of 256 do not divide the rows.
TEST(ConvertGguf, RowsThatATypeDoesNotFitAreRoundedToOneThatDoes) {
  const TestModelFolder folder;
  QuantizeOptions options = folder.rounding("mlx", 32);
  options.format = "mlx";
  options.bits = 6;
  options.skip = {"down_proj"};
  quantize(*make_backend("cpu", {.threads = 1}), folder.open(), options);
  const OpenedModel mlx = open_model(options.output);
  try {
    convert(mlx, {.output = folder.path("refused"), .format = "gguf"});
    ADD_FAILURE() << "converted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("6 bits in groups of 32, and rows of 32"));
    EXPECT_THAT(error.hint(), HasSubstr("--requantize"));
  }
  const std::string output = folder.path("out");
  convert(mlx, {.output = output, .format = "gguf", .requantize = true});
  EXPECT_EQ(open_model(output).tensors->stored({.layer = 0, .role = Role::q}).encoding, "Q8_0");
}

TEST(ConvertGguf, PartsStandForTheModel) {
  const TestModelFolder folder("qwen2", true);
  const std::string whole = folder.path("whole"), parts = folder.path("parts");
  convert(folder.open(), {.output = whole, .format = "gguf", .gguf = {.type = "Q8_0"}});
  const ConvertOutcome outcome = convert(
      folder.open(),
      {.output = parts, .format = "gguf", .gguf = {.type = "Q8_0"}, .max_shard_bytes = 8 << 10});
  for (const ReaderVerdict& reader : outcome.readers)
    EXPECT_EQ(reader.opens, reader.reader == "llama.cpp") << reader.reader;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(parts)) {
    EXPECT_EQ(entry.path().extension(), ".gguf") << "Ollama takes no parts";
    ++files;
  }
  EXPECT_GT(files, 2);
  const Checkpoint one = Checkpoint::open(whole), split = Checkpoint::open(parts);
  ASSERT_EQ(one.entries().size(), split.entries().size());
  EXPECT_EQ(split.name(), one.name());
  for (const ContainerEntry& entry : one.entries()) {
    const ContainerEntry* twin = split.find(entry.name);
    ASSERT_NE(twin, nullptr) << entry.name;
    EXPECT_TRUE(std::ranges::equal(entry.bytes, twin->bytes)) << entry.name;
  }
}

// A mix whose v has other bits than q and k, and types without a width of their own elsewhere.
TEST(ConvertGguf, RoundsAgainToGridsThatPartsShare) {
  const TestModelFolder folder("qwen2", true);
  const std::string mixed = folder.path("mixed");
  convert(folder.open(), {.output = mixed, .format = "gguf", .gguf = {.type = "Q4_K_M"}});
  const OpenedModel before = open_model(mixed);
  for (const std::string format : {"awq", "gptq_v2", "compressed-tensors", "mlx"}) {
    const std::string output = folder.path(format);
    const ConvertOptions options{.output = output, .format = format, .requantize = true};
    ASSERT_NO_THROW(convert(before, options)) << format;
    const OpenedModel after = open_model(output);
    int linears = 0;
    for (const TensorKey& key : after.tensors->keys()) {
      if (!is_linear(key.role) || key.part != Part::weight) continue;
      const auto [rows, cols] = after.tensors->shape(key);
      HostAllocator host;
      const Tensor a(host, rows, cols, DType::f32), b(host, rows, cols, DType::f32);
      before.tensors->read(key, 0, rows, a);
      after.tensors->read(key, 0, rows, b);
      double error = 0, energy = 0;
      for (int64_t i = 0; i < rows * cols; ++i) {
        const double weight = a.row<float>(0)[i], rest = weight - b.row<float>(0)[i];
        error += rest * rest;
        energy += weight * weight;
      }
      EXPECT_LT(error, .02 * energy) << format << " " << after.tensors->name(key);
      ++linears;
    }
    EXPECT_GT(linears, 0);
  }
}

TEST(Modelfile, NamesTheFileAndTheTemplate) {
  Metadata metadata;
  metadata.chat_template = "{{ '<|im_start|>' }}";
  const std::string text = ollama_modelfile(metadata, "a.gguf");
  EXPECT_THAT(text, HasSubstr("FROM ./a.gguf\n"));
  EXPECT_THAT(text, HasSubstr("<|im_start|>{{ .Role }}"));
  EXPECT_THAT(text, HasSubstr("PARAMETER stop \"<|im_end|>\""));
  EXPECT_THAT(text, testing::Not(HasSubstr("SYSTEM")));
  EXPECT_THAT(ollama_modelfile({}, "a.gguf"), testing::Not(HasSubstr("TEMPLATE")));
}

TEST(Modelfile, HasTheTemplatesDefaultSystemPrompt) {
  const auto with_default = [](const std::string& prompt) {
    Metadata metadata;
    metadata.chat_template = "{% if messages[0].role != 'system' %}<system>" + prompt +
                             "\n{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n"
                             "{% endfor %}";
    return ollama_modelfile(metadata, "a.gguf");
  };
  EXPECT_THAT(with_default("Be kind."), HasSubstr("\nSYSTEM \"\"\"Be kind.\"\"\"\n"));
  // What would end the text early and begin another instruction.
  EXPECT_THAT(with_default("\"\"\"\nADAPTER ./x"), testing::Not(HasSubstr("ADAPTER")));
  EXPECT_THAT(with_default("{{ nonsense("), testing::Not(HasSubstr("SYSTEM")));
}

}  // namespace
}  // namespace halftone
