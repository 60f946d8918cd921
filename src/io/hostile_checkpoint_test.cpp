// Model directories that lie: index, shards, configuration and what stands beside them.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "io/checkpoint.h"
#include "io/hostile_file.h"

namespace halftone {
namespace {
namespace fs = std::filesystem;

// A file with tensors of one byte each.
std::string shard_of(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i)
    header += fmt::format("{}\"{}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{},{}]}}",
                          i ? "," : "", names[i], i, i + 1);
  return with_length(header + "}") + std::string(names.size(), 'x');
}

using Files = std::map<std::string, std::string>;

const Files kGood = {
    {"config.json", R"({"model_type": "llama"})"},
    {"model.safetensors.index.json",
     R"({"metadata": {"total_size": 3}, "weight_map":
        {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}})"},
    {"one.safetensors", shard_of({"a", "b"})},
    {"two.safetensors", shard_of({"c"})},
};

// A fresh directory with those files, some replaced; an empty text stands for a file left out.
std::string write_model(const TemporaryDirectory& place, const Files& changes) {
  const std::string directory = place.file("model");
  fs::remove_all(directory);
  fs::create_directory(directory);
  Files files = kGood;
  for (const auto& [name, text] : changes) files[name] = text;
  for (const auto& [name, text] : files)
    if (!text.empty()) write_bytes(directory + "/" + name, text);
  return directory;
}

std::string index_of(const std::string& map) { return "{\"weight_map\": " + map + "}"; }

struct Lie {
  const char* what;
  Files changes;
  const char* file;
  const char* expected;
};

const std::vector<Lie>& lies() {
  static constexpr const char* kIndex = "model.safetensors.index.json";
  static const std::vector<Lie> all = {
      {"no config", {{"config.json", ""}}, "model", "holds no config.json"},
      {"config of a list", {{"config.json", "[1]"}}, "config.json", "expected an object"},
      {"config cut", {{"config.json", "{\"model_type\": \"lla"}}, "config.json", "line 1"},
      {"config with a key twice",
       {{"config.json", R"({"a": 1, "a": 2})"}},
       "config.json",
       "\"a\" appears twice"},
      {"config nested",
       {{"config.json", std::string(100000, '[')}},
       "config.json",
       "nested deeper"},
      {"config binary",
       {{"config.json", std::string("\x7f"
                                    "ELF\0\1",
                                    6)}},
       "config.json",
       "line 1"},
      {"generation config cut",
       {{"generation_config.json", "{"}},
       "generation_config.json",
       "line 1"},
      {"tokenizer config a list",
       {{"tokenizer_config.json", "[]"}},
       "tokenizer_config.json",
       "expected an object"},
      {"template a number",
       {{"tokenizer_config.json", R"({"chat_template": 3})"}},
       "tokenizer_config.json",
       "chat_template: expected a string"},
      {"templates without a name",
       {{"tokenizer_config.json", R"({"chat_template": [{}]})"}},
       "tokenizer_config.json",
       "name: missing"},
      {"index cut", {{kIndex, "{\"weight_map\": {"}}, kIndex, "line 1"},
      {"index without a map", {{kIndex, "{}"}}, kIndex, "weight_map: missing"},
      {"index map a list", {{kIndex, index_of("[]")}}, kIndex, "expected an object"},
      {"index map empty", {{kIndex, index_of("{}")}}, kIndex, "is empty"},
      {"index of numbers", {{kIndex, index_of(R"({"a": 1})")}}, kIndex, "a: expected the name"},
      {"index leads out",
       {{kIndex, index_of(R"({"a": "../one.safetensors"})")}},
       kIndex,
       "a: expected the name"},
      {"index names a pickle",
       {{kIndex, index_of(R"({"a": "a.bin"})")}},
       kIndex,
       "a: expected the name"},
      {"tensor listed twice",
       {{kIndex, index_of(R"({"a": "one.safetensors", "a": "two.safetensors"})")}},
       kIndex,
       "\"a\" appears twice"},
      {"missing shard", {{"two.safetensors", ""}}, "two.safetensors", "missing"},
      {"truncated shard",
       {{"two.safetensors", shard_of({"c"}).substr(0, 20)}},
       "two.safetensors",
       "truncated"},
      {"tensor not in its shard",
       {{"two.safetensors", shard_of({"d"})}},
       "two.safetensors",
       "d: model.safetensors.index.json does not list it"},
      {"tensor missing",
       {{"one.safetensors", shard_of({"a"})}},
       "one.safetensors",
       "holds no b, though model.safetensors.index.json says so"},
      {"tensor in both",
       {{"two.safetensors", shard_of({"b", "c"})}},
       "two.safetensors",
       "b: is in one.safetensors as well"},
      {"tensor in the other",
       {{kIndex, index_of(R"({"a": "one.safetensors", "b": "two.safetensors",
                              "c": "two.safetensors"})")}},
       "one.safetensors",
       "b: model.safetensors.index.json says it is in two.safetensors"},
      {"several files, no index", {{kIndex, ""}}, "model", "holds 2 .safetensors files"},
      {"no weights",
       {{kIndex, ""}, {"one.safetensors", ""}, {"two.safetensors", ""}},
       "model",
       "holds no .safetensors file"},
      {"pickled weights",
       {{kIndex, ""}, {"one.safetensors", ""}, {"two.safetensors", ""}, {"pytorch_model.bin", "x"}},
       "model",
       "holds pickled PyTorch weights"},
      {"the one file is broken", {{"model.safetensors", "x"}}, "model.safetensors", "too short"},
  };
  return all;
}

TEST(HostileCheckpoint, EveryLieIsNamed) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  EXPECT_EQ(Checkpoint::open(write_model(place, {})).entries().size(), 3u) << "the honest one";
  for (const Lie& lie : lies()) {
    SCOPED_TRACE(lie.what);
    const std::string directory = write_model(place, lie.changes);
    expect_refused([&] { Checkpoint::open(directory); }, lie.file, lie.expected);
  }
}

TEST(HostileCheckpoint, EmptyFilesAreNamed) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  for (const auto& [name, text] : kGood) {
    SCOPED_TRACE(name);
    const std::string directory = write_model(place, {});
    write_bytes(directory + "/" + name, "");
    expect_refused([&] { Checkpoint::open(directory); }, name, "is empty");
  }
}

TEST(HostileCheckpoint, FloatsThatWeDoNotComputeWithAreNamed) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string directory = write_model(
      place,
      {{"model.safetensors",
        with_length(R"({"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})") + "x"}});
  const Checkpoint checkpoint = Checkpoint::open(directory);
  expect_refused([&] { open_dense_weights(checkpoint); }, "model.safetensors",
                 "w: type F8_E4M3, expected F32, F16, BF16 or F64");
}

TEST(HostileCheckpoint, RandomDamageOpensOrIsRefused) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string directory =
      write_model(place, {{"tokenizer_config.json", R"({"chat_template": "{{ x }}"})"},
                          {"generation_config.json", R"({"eos_token_id": [1, 2]})"}});
  Rng rng(42);
  ThreadPool threads(2);
  for (const char* name : {"config.json", "model.safetensors.index.json", "one.safetensors",
                           "tokenizer_config.json", "generation_config.json"}) {
    const std::string path = directory + "/" + name, good = read_file(path);
    int refused = 0;
    for (int i = 0; i < 1000; ++i) {
      write_bytes(path, damaged(good, rng));
      try {
        const Checkpoint checkpoint = Checkpoint::open(directory);
        EXPECT_EQ(checkpoint.fingerprint(threads).size(), 64u);
      } catch (const Error& error) {
        ASSERT_EQ(error.exit(), Exit::bad_input) << error.what();
        ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, 100) << name;
    write_bytes(path, good);
  }
}

}  // namespace
}  // namespace halftone
