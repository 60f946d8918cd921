#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/caught_error.h"
#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {
namespace fs = std::filesystem;

// Sets an environment variable until it is destroyed.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    if (old_)
      ::setenv(name_, old_->c_str(), 1);
    else
      ::unsetenv(name_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

template <class Value>
std::span<const std::byte> bytes_of(const std::vector<Value>& values) {
  return std::as_bytes(std::span(values));
}

// A directory with one tensor of each kind: w (2, 3) in the type given, n (3) f32, i (1, 2) i32.
void write_model(const std::string& directory, const std::string& type = "F32",
                 int64_t shard_bytes = 1 << 30) {
  fs::create_directories(directory);
  const std::vector<float> values = {1, -2, 0.5f, 3, 1.00390625f, 65504};
  std::vector<bf16> bf16s;
  std::vector<f16> f16s;
  std::vector<double> doubles(values.begin(), values.end());
  for (const float value : values) {
    bf16s.push_back(to_bf16(value));
    f16s.push_back(to_f16(value));
  }
  doubles[4] += 0x1p-40;  // beside a tie of bf16, nearer to the odd one; a float cannot tell
  const auto bytes = type == "F32"    ? bytes_of(values)
                     : type == "BF16" ? bytes_of(bf16s)
                     : type == "F16"  ? bytes_of(f16s)
                                      : bytes_of(doubles);
  const auto plan = [](const char* name, const std::string& dtype, std::vector<int64_t> shape,
                       size_t size) {
    TensorPlan tensor;
    tensor.name = name;
    tensor.type = dtype;
    tensor.shape = std::move(shape);
    tensor.bytes = static_cast<int64_t>(size);
    return tensor;
  };
  SafetensorsWriter writer(directory,
                           {plan("w", type, {2, 3}, bytes.size()), plan("n", "F32", {3}, 12),
                            plan("i", "I32", {1, 2}, 8)},
                           shard_bytes);
  writer.write("w", bytes);
  writer.write("n", bytes_of(std::vector<float>{7, 8, 9}));
  writer.write("i", bytes_of(std::vector<int32_t>{5, 6}));
  writer.finish();
  write_file_atomically(directory + "/config.json", R"({"model_type": "llama"})");
}

TEST(Checkpoint, WorkedExample) {
  const TemporaryDirectory place;
  const std::string directory = place.file("my-model");
  write_model(directory);
  const Checkpoint checkpoint = Checkpoint::open(directory + "/");
  EXPECT_EQ(checkpoint.name(), "my-model");
  EXPECT_FALSE(checkpoint.is_gguf());
  EXPECT_EQ(checkpoint.metadata().config["model_type"], "llama");
  ASSERT_EQ(checkpoint.entries().size(), 3u);
  EXPECT_EQ(checkpoint.entries()[0].name, "i");
  EXPECT_EQ(checkpoint.find("w")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(checkpoint.find("x"), nullptr);
  EXPECT_EQ(checkpoint.file_bytes(),
            static_cast<int64_t>(fs::file_size(directory + "/model.safetensors")));

  const auto weights = open_dense_weights(checkpoint);
  EXPECT_EQ(weights->find("n")->rank, 1);
  EXPECT_EQ(weights->find("n")->cols, 3);
  EXPECT_EQ(weights->find("w")->encoding, "f32");
  EXPECT_EQ(weights->find("i")->encoding, "i32");
  EXPECT_FALSE(weights->find("i")->quantized);
  HostAllocator host;
  Tensor out(host, 1, 3, DType::f32);
  weights->read("w", 1, 2, out);
  EXPECT_EQ(out.row<float>(0)[0], 3);
  const auto mapped = weights->mapped("i");
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(mapped->row<int32_t>(0)[1], 6);
  EXPECT_EQ(caught([&] { weights->read("i", 0, 1, out); }).exit(), Exit::bad_input);
  EXPECT_EQ(caught([&] { weights->read("none", 0, 1, out); }).exit(), Exit::bad_input);
}

TEST(Checkpoint, ReadsEveryFloatType) {
  const TemporaryDirectory place;
  HostAllocator host;
  Tensor f32(host, 2, 3, DType::f32), half(host, 2, 3, DType::bf16);
  for (const char* type : {"F32", "F16", "BF16", "F64"}) {
    write_model(place.file(type), type);
    const Checkpoint checkpoint = Checkpoint::open(place.file(type));
    const auto weights = open_dense_weights(checkpoint);
    weights->read("w", 0, 2, f32);
    weights->read("w", 0, 2, half);
    EXPECT_EQ(f32.row<float>(0)[1], -2) << type;
    const float last = f32.row<float>(1)[2];
    EXPECT_EQ(last, std::string(type) == "BF16" ? 65536 : 65504) << type;
    EXPECT_EQ(to_float(half.row<bf16>(0)[2]), 0.5f) << type;
    // 1 + 2^-8 is a tie, to even; 1 + 2^-8 + 2^-40 goes up, though not by way of f32.
    EXPECT_EQ(to_float(half.row<bf16>(1)[1]), std::string(type) == "F64" ? 1.0078125f : 1) << type;
  }
}

TEST(Checkpoint, ShardsAreOneModel) {
  const TemporaryDirectory place;
  ThreadPool threads(2);
  write_model(place.file("one"));
  write_model(place.file("many"), "F32", 1);
  const Checkpoint one = Checkpoint::open(place.file("one"));
  const Checkpoint many = Checkpoint::open(place.file("many"));
  EXPECT_EQ(many.entries().size(), 3u);
  EXPECT_NE(many.find("w")->file, many.find("n")->file);
  EXPECT_EQ(one.fingerprint(threads), many.fingerprint(threads));
  EXPECT_EQ(one.fingerprint(threads).size(), 64u);
}

TEST(Checkpoint, FingerprintSeesEveryPart) {
  const TemporaryDirectory place;
  ThreadPool threads(2);
  write_model(place.file("a"));
  write_model(place.file("b"), "F64");
  const std::string original = Checkpoint::open(place.file("a")).fingerprint(threads);
  EXPECT_NE(Checkpoint::open(place.file("b")).fingerprint(threads), original);
  std::string file = read_file(place.file("a/model.safetensors"));
  file.back() = static_cast<char>(file.back() ^ 1);
  write_file_atomically(place.file("a/model.safetensors"), file);
  const std::string flipped = Checkpoint::open(place.file("a")).fingerprint(threads);
  EXPECT_NE(flipped, original);
  write_file_atomically(place.file("a/config.json"), R"({"model_type": "qwen2"})");
  EXPECT_NE(Checkpoint::open(place.file("a")).fingerprint(threads), flipped);
}

TEST(Checkpoint, StampSeesWhatWasWrittenAgain) {
  const TemporaryDirectory place;
  write_model(place.file("a"));
  const std::string weights = place.file("a/model.safetensors");
  const std::string original = Checkpoint::open(place.file("a")).stamp();
  EXPECT_EQ(Checkpoint::open(place.file("a")).stamp(), original);
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(1));
  const std::string touched = Checkpoint::open(place.file("a")).stamp();
  EXPECT_NE(touched, original);
  write_file_atomically(place.file("a/config.json"), R"({"model_type": "qwen2"})");
  EXPECT_NE(Checkpoint::open(place.file("a")).stamp(), touched);
}

TEST(Checkpoint, ReadsWhatStandsBeside) {
  const TemporaryDirectory place;
  const std::string directory = place.file("m");
  write_model(directory);
  write_file_atomically(directory + "/tokenizer.json", "{}");
  write_file_atomically(directory + "/generation_config.json", R"({"eos_token_id": 2})");
  write_file_atomically(directory + "/tokenizer_config.json",
                        R"({"chat_template": [{"name": "tool", "template": "T"},
                                              {"name": "default", "template": "D"}]})");
  write_file_atomically(directory + "/README.md", "card");
  write_file_atomically(directory + "/LICENSE", "terms");
  const Checkpoint checkpoint = Checkpoint::open(directory);
  EXPECT_EQ(checkpoint.metadata().chat_template, "D");
  EXPECT_EQ(checkpoint.metadata().tokenizer.tokenizer_json, "{}");
  EXPECT_EQ(checkpoint.metadata().generation_config["eos_token_id"], 2);
  EXPECT_EQ(checkpoint.side_files(),
            (std::vector<std::string>{directory + "/LICENSE", directory + "/generation_config.json",
                                      directory + "/tokenizer.json",
                                      directory + "/tokenizer_config.json"}));
  write_file_atomically(directory + "/chat_template.jinja", "J");
  EXPECT_EQ(Checkpoint::open(directory).metadata().chat_template, "J");
}

TEST(Checkpoint, FindsNamesInTheCaches) {
  const TemporaryDirectory place;
  const Environment hub("HF_HUB_CACHE", place.file("hub"));
  const Environment home("HF_HOME", place.file("hf"));
  const Environment cache("XDG_CACHE_HOME", place.file("cache"));
  write_model(place.file("hub/models--org--name/snapshots/abc"));
  write_model(place.file("hub/models--org--name/snapshots/def"));
  fs::create_directories(place.file("hub/models--org--name/refs"));
  write_file_atomically(place.file("hub/models--org--name/refs/main"), "def\n");
  const Checkpoint named = Checkpoint::open("org/name");
  EXPECT_EQ(named.path(), place.file("hub/models--org--name/snapshots/def"));
  EXPECT_EQ(named.name(), "org/name");
  write_file_atomically(place.file("hub/models--org--name/refs/main"), "../../elsewhere");
  EXPECT_EQ(caught([] { Checkpoint::open("org/name"); }).exit(), Exit::usage);

  write_model(place.file("hf/hub/models--org--other/snapshots/abc"));
  EXPECT_EQ(Checkpoint::open("org/other").name(), "org/other") << "one snapshot, no refs";
  write_model(place.file("cache/halftone/models/ours"));
  EXPECT_EQ(Checkpoint::open("org/ours").path(), place.file("cache/halftone/models/ours"));

  write_file_atomically(place.file("cache/halftone/models/SmolLM-1M.Q4_1.gguf"), "GGUF");
  try {
    Checkpoint::open("org/smollm-1m");
    ADD_FAILURE() << "four bytes are no model";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input) << error.what();
    EXPECT_NE(std::string(error.what()).find("SmolLM-1M.Q4_1.gguf"), std::string::npos);
  }
  write_file_atomically(place.file("cache/halftone/models/SmolLM-1M.Q8_0.gguf"), "GGUF");
  EXPECT_EQ(caught([] { Checkpoint::open("smollm-1m"); }).exit(), Exit::usage) << "which of two?";

  EXPECT_NE(caught([] { Checkpoint::open("Other"); }).hint().find("Did you mean org/other?"),
            std::string::npos);
  for (const char* wrong : {"org/none", "none", "../hub", "a/b/c", "", "org/..", "/org"}) {
    const Error error = caught([&] { Checkpoint::open(wrong); });
    EXPECT_EQ(error.exit(), Exit::usage) << wrong;
    EXPECT_NE(error.hint().find(place.file("hub")), std::string::npos) << error.hint();
  }
}

}  // namespace
}  // namespace halftone
