// Weight files that are damaged, and weights that no network can compute with.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <sstream>

#include "bad_input.h"
#include "base/json.h"
#include "io/gguf_test_file.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadWeights : public BadInput {};

TEST_F(BadWeights, DamagedWeights) {
  const std::string good = read(model_ + "/model.safetensors");
  damage("model.safetensors", [](std::string& bytes) { bytes.clear(); });
  check(run({"inspect", model_}), 3, "model.safetensors");
  folder_.write("model/model.safetensors", good.substr(0, good.size() / 2));
  check(run({"inspect", model_}), 3, "model.safetensors");
  folder_.write("model/model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f" + good.substr(8));
  check(run({"inspect", model_}), 3, "header");
}

TEST_F(BadWeights, WhatIsNotFiniteInTheWeightsIsNamed) {
  const std::string good = read(weights());
  for (const char* name :
       {"model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"}) {
    set_tensor(weights(), name, std::numeric_limits<float>::quiet_NaN());
    check(run({"eval", model_, "--text", text_, "--seq-len", "64"}), 3, name);
    refuse(3, name, {"--force"});  // its journal may be there from the name before
    folder_.write("model/model.safetensors", good);
  }
}

// What was mended is quantized without a word of what went before.
TEST_F(BadWeights, NoJournalIsLeftWhereNoLayerWasFinished) {
  const std::string good = read(weights());
  for (const char* name : {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                           "model.layers.0.mlp.up_proj.weight"}) {
    set_tensor(weights(), name, std::numeric_limits<float>::quiet_NaN());
    refuse(3, name, {});
    EXPECT_FALSE(std::filesystem::exists(folder_.path("out.journal"))) << name;
    folder_.write("model/model.safetensors", good);
  }
}

TEST_F(BadWeights, TensorsThatDoNotBelongTogether) {
  const std::string good = read(weights());
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto broken = [&](const std::string& words, const std::function<void(Json&)>& edit) {
    edit_header(weights(), edit);
    const Outcome outcome = run({"inspect", model_});
    check(outcome, 3, words);
    EXPECT_THAT(outcome.err, HasSubstr(name));
    folder_.write("model/model.safetensors", good);
  };
  broken("missing", [&](Json& header) {  // its bytes belong to another name now
    header["model.layers.0.mlp.extra_proj.weight"] = header[name];
    header.erase(name);
  });
  broken("overlap", [&](Json& header) {
    header[name]["data_offsets"] = header["model.layers.0.mlp.gate_proj.weight"]["data_offsets"];
  });
  broken("shape [32, 48], expected [48, 32]", [&](Json& header) {
    header[name]["shape"] = {32, 48};
  });
  broken("bytes of data, expected", [&](Json& header) { header[name]["shape"] = {48, 31}; });
  broken("expected a floating-point type", [&](Json& header) { header[name]["dtype"] = "I16"; });
  broken("unknown dtype", [&](Json& header) { header[name]["dtype"] = "Q99"; });
  broken("data_offsets", [&](Json& header) {
    header[name]["data_offsets"] = {0, int64_t{1} << 50};
  });
}

TEST_F(BadWeights, TensorsThatNobodyClaimsOrThatComeTwice) {
  const std::string good = read(weights());
  edit_header(weights(), [](Json& header) {
    const size_t end = header["model.norm.weight"]["data_offsets"][1];
    header["model.layers.0.mlp.extra_proj.weight"] = {
        {"dtype", "BF16"}, {"shape", {1, 4}}, {"data_offsets", {end, end + 8}}};
  });
  folder_.write("model/model.safetensors", read(weights()) + std::string(8, '\0'));
  check(run({"inspect", model_}), 3,
        "model.layers.0.mlp.extra_proj.weight: not a tensor of a llama model");

  // The same name twice: no JSON library writes that.
  uint64_t size = 0;
  std::memcpy(&size, good.data(), sizeof size);
  const size_t end = good.size() - sizeof size - size;
  const std::string more =
      fmt::format(R"("model.norm.weight":{{"dtype":"BF16","shape":[32],"data_offsets":[{},{}]}},)",
                  end, end + 64);
  const uint64_t longer = size + more.size();
  const std::string length(reinterpret_cast<const char*>(&longer), sizeof longer);
  folder_.write("model/model.safetensors",
                length + "{" + more + good.substr(sizeof size + 1) + std::string(64, '\0'));
  check(run({"inspect", model_}), 3, "model.norm.weight: appears twice");
}

// A gain of 1e20 in one norm: its squares are beyond f32 in two Hessians, and the norms that follow
// make the rest finite again.
TEST_F(BadWeights, ActivationsThatOverflowAreNamedAndRoundedInstead) {
  std::filesystem::remove_all(model_);
  make_model(folder_, "gemma3_text");
  set_tensor(weights(), "model.layers.3.input_layernorm.weight", 1e20f);
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--calib", text_,
                            "--group-size", "16", "--samples", "4", "--seq-len", "64"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("model.layers.3.self_attn.q_proj: activations overflowed"));
  EXPECT_THAT(made.err, HasSubstr("rounded to nearest"));
  EXPECT_THAT(made.err, ::testing::Not(HasSubstr("model.layers.2.")));
  EXPECT_THAT(made.err, ::testing::Not(HasSubstr("model.layers.4.")));
  EXPECT_THAT(made.out, HasSubstr("overflowed"));
  std::istringstream log(read(folder_.path("out.log.jsonl")));
  int rounded = 0;
  for (std::string line; std::getline(log, line);) {
    const Json entry = Json::parse(line);
    const bool overflowed = entry.value("note", "").find("overflowed") != std::string::npos;
    rounded += overflowed;
    EXPECT_EQ(entry["relative_error"].is_null(), overflowed) << line;
    if (overflowed) {
      EXPECT_EQ(entry["layer"], 3) << line;
    }
  }
  EXPECT_GE(rounded, 3);
}

// Nothing can be made of a network whose own predictions are not finite; the journal is no loss
// then.
TEST_F(BadWeights, AModelThatOverflowsByItselfIsSaidToDoSo) {
  set_tensor(weights(), "model.layers.0.input_layernorm.weight", 3e38f);
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--calib", text_,
                            "--group-size", "16", "--samples", "4", "--seq-len", "64"});
  EXPECT_EQ(made.code, 3) << made.err;
  EXPECT_THAT(made.err, HasSubstr("halftone: the original model's predictions"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("out")));
  check(run({"eval", model_, "--text", text_, "--seq-len", "64"}), 3, "not finite");
}

TEST_F(BadWeights, TruncatedGguf) {
  const std::string whole = tiny_gguf("llama").bytes();
  folder_.write("cut.gguf", whole);
  ASSERT_EQ(run({"inspect", folder_.path("cut.gguf")}).code, 0);
  for (const size_t size :
       {size_t{0}, size_t{3}, size_t{11}, size_t{30}, whole.size() / 2, whole.size() - 40}) {
    const std::string path = folder_.write("cut.gguf", whole.substr(0, size));
    check(run({"inspect", path}), 3, "cut.gguf");
    check(run({"quantize", path, "-o", folder_.path("out"), "--calib", text_}), 3, "cut.gguf");
  }
  EXPECT_EQ(listing(folder_.path()), "cut.gguf model text.txt");
}

}  // namespace
}  // namespace halftone::test
