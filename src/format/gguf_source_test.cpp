#include "format/gguf_source.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "format/gguf_names.h"
#include "format/open_weights.h"
#include "io/gguf_test_file.h"
#include "tensor/allocator.h"

namespace halftone {
namespace {

struct Opened {
  explicit Opened(const std::string& bytes) {
    write_test_file(place.file("tiny.gguf"), bytes);
    checkpoint = std::make_unique<Checkpoint>(Checkpoint::open(place.file("tiny.gguf")));
    weights = open_weights(*checkpoint);
  }
  explicit Opened(const GgufTestFile& file) : Opened(file.bytes()) {}

  std::vector<float> read(const std::string& name) const {
    const StoredTensor* stored = weights.source->find(name);
    EXPECT_NE(stored, nullptr) << name;
    HostAllocator host;
    const Tensor out(host, stored->rows, stored->cols, DType::f32);
    weights.source->read(name, 0, stored->rows, out);
    return {out.row<float>(0), out.row<float>(0) + stored->rows * stored->cols};
  }

  TemporaryDirectory place;
  std::unique_ptr<Checkpoint> checkpoint;
  OpenedWeights weights;
};

TEST(GgufNames, WorkedExamples) {
  EXPECT_EQ(hugging_face_name(*find_gguf_family("qwen2"), "blk.12.attn_q.bias"),
            "model.layers.12.self_attn.q_proj.bias");
  EXPECT_EQ(hugging_face_name(*find_gguf_family("llama"), "blk.0.ffn_norm.weight"),
            "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(hugging_face_name(*find_gguf_family("gemma3"), "blk.0.ffn_norm.weight"),
            "model.layers.0.pre_feedforward_layernorm.weight");
  EXPECT_EQ(hugging_face_name(*find_gguf_family("llama"), "output.weight"), "lm_head.weight");
  for (const char* unknown :
       {"rope_freqs.weight", "blk.x.attn_q.weight", "blk..attn_q.weight", "blk.1", "weight",
        "blk.0.attn_q.scale", "blk.0.post_ffw_norm.weight"}) {
    EXPECT_FALSE(hugging_face_name(*find_gguf_family("llama"), unknown).has_value()) << unknown;
  }
}

// Heads of 16: the file's rows 0, 1, 2, 3 … are Hugging Face's 0, 8, 1, 9 …
TEST(GgufSource, LlamasRowsOfQAndKAreInHuggingFacesOrder) {
  GgufTestFile file = tiny_gguf("llama");
  file.tensor("blk.0.attn_q.bias", {32}, [] {
    std::vector<float> values;
    for (int i = 0; i < 32; ++i) values.push_back(static_cast<float>(i));
    return values;
  }());
  const Opened opened(file);
  const auto q = opened.read("model.layers.0.self_attn.q_proj.weight");
  const auto v = opened.read("model.layers.0.self_attn.v_proj.weight");
  const auto bias = opened.read("model.layers.0.self_attn.q_proj.bias");
  const size_t rows_in_file[] = {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 16, 18};
  for (size_t row = 0; row < std::size(rows_in_file); ++row) {
    EXPECT_EQ(q[row * 32], static_cast<float>(rows_in_file[row] * 32) / 1000) << row;
    EXPECT_EQ(bias[row], static_cast<float>(rows_in_file[row])) << row;
  }
  EXPECT_EQ(v[3 * 32], 0.096f);
  EXPECT_FALSE(opened.weights.source->mapped("model.layers.0.self_attn.k_proj.weight"));
}

TEST(GgufSource, OtherFamiliesKeepTheirRows) {
  const Opened opened(tiny_gguf("qwen2"));
  const auto q = opened.read("model.layers.0.self_attn.q_proj.weight");
  for (size_t i = 0; i < q.size(); ++i) EXPECT_EQ(q[i], static_cast<float>(i) / 1000);
  const auto mapped = opened.weights.source->mapped("model.layers.0.self_attn.q_proj.weight");
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(mapped->dtype, DType::f32);
  EXPECT_EQ(mapped->row<float>(1)[2], 0.034f);
  EXPECT_EQ(opened.weights.quantization, "");
  EXPECT_EQ(opened.weights.source->find("model.embed_tokens.weight")->rows, 4);
  EXPECT_EQ(opened.weights.source->find("model.norm.weight")->rank, 1);
}

TEST(GgufSource, GemmasNormsLoseTheOne) {
  const Opened opened(tiny_gguf("gemma3"));
  for (const char* name : {"model.norm.weight", "model.layers.0.input_layernorm.weight",
                           "model.layers.0.post_attention_layernorm.weight",
                           "model.layers.0.pre_feedforward_layernorm.weight"}) {
    const auto norm = opened.read(name);
    for (size_t i = 0; i < norm.size(); ++i) {
      EXPECT_EQ(norm[i], (1 + static_cast<float>(i) / 1000) - 1) << name;
    }
    EXPECT_FALSE(opened.weights.source->mapped(name).has_value());
  }
  EXPECT_EQ(opened.read("model.layers.0.self_attn.q_proj.weight")[33], 0.033f);
}

TEST(GgufSource, RangesAndBf16AreTheSameValues) {
  const Opened opened(tiny_gguf("llama"));
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const auto whole = opened.read(name);
  HostAllocator host;
  const Tensor rows(host, 3, 32, DType::bf16);
  opened.weights.source->read(name, 7, 10, rows);
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t col = 0; col < 32; ++col) {
      EXPECT_EQ(to_float(rows.row<bf16>(row)[col]),
                round_to_bf16(whole[static_cast<size_t>((row + 7) * 32 + col)]));
    }
  }
}

// Random blocks with moderate scales.
std::string random_blocks(size_t blocks, size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string data;
  for (size_t i = 0; i < blocks * size; ++i) data += static_cast<char>(random());
  for (size_t i = 0; i < blocks; ++i) {
    data[i * size + 1] = static_cast<char>((data[i * size + 1] & 0x80) | 0x28);
  }
  return data;
}

TEST(GgufSource, Q4_0AndQ8_0AreGridsThatCodesStandFor) {
  GgufTestFile file = tiny_gguf("llama");
  for (GgufTestFile::Tensor& tensor : file.tensors) {
    if (tensor.name == "blk.0.attn_q.weight") {  // interleaved as well
      tensor.type = 2;
      tensor.data = random_blocks(32, 18, 1);
    } else if (tensor.name == "blk.0.ffn_down.weight") {
      tensor.type = 8;
      tensor.data = random_blocks(64, 34, 2);
    }
  }
  const Opened opened(file);
  EXPECT_EQ(opened.weights.quantization, "GGUF Q8_0");  // most of the quantized bytes
  for (const auto& [name, bits] : {std::pair("model.layers.0.self_attn.q_proj.weight", 4),
                                   std::pair("model.layers.0.mlp.down_proj.weight", 8)}) {
    const auto matrix = opened.weights.source->quantized(name);
    ASSERT_TRUE(matrix.has_value()) << name;
    EXPECT_EQ(matrix->grid.bits, bits);
    EXPECT_EQ(matrix->grid.group_size, 32);
    EXPECT_TRUE(matrix->grid.symmetric);
    const auto values = opened.read(name);
    for (int64_t row = 0; row < matrix->rows; ++row) {
      for (int64_t col = 0; col < matrix->cols; ++col) {
        ASSERT_EQ(matrix->value(row, col), values[static_cast<size_t>(row * matrix->cols + col)]);
      }
    }
  }
  EXPECT_FALSE(opened.weights.source->quantized("model.layers.0.mlp.up_proj.weight").has_value());
}

TEST(GgufSource, UnknownTensorsKeepTheirNamesAndRopeDivisorsAreConfiguration) {
  GgufTestFile file = tiny_gguf("llama");
  file.tensor("blk.0.surprise.weight", {32}, std::vector<float>(32));
  file.tensor("rope_freqs.weight", {8}, std::vector<float>(8, 1));
  const Opened opened(file);
  EXPECT_NE(opened.weights.source->find("blk.0.surprise.weight"), nullptr);
  EXPECT_EQ(opened.weights.source->find("rope_freqs.weight"), nullptr);
}

TEST(GgufSource, FileTypeNamesTheQuantization) {
  GgufTestFile file = tiny_gguf("llama");
  file.u32("general.file_type", 15);
  EXPECT_EQ(Opened(file).weights.quantization, "");  // its matrices are f32 all the same
  file.tensors[3].type = 8;
  file.tensors[3].data = random_blocks(32, 34, 3);
  EXPECT_EQ(Opened(file).weights.quantization, "GGUF Q4_K_M");
}

TEST(GgufSource, RowsMayBeReadFromSeveralThreads) {
  const Opened opened(tiny_gguf("llama"));
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const auto whole = opened.read(name);
  std::vector<std::vector<float>> read(4);
  std::vector<std::thread> threads;
  for (std::vector<float>& values : read) threads.emplace_back([&] { values = opened.read(name); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& values : read) EXPECT_EQ(values, whole);
}

TEST(GgufSource, TensorsOfTheWrongKindAreRefused) {
  struct Case {
    const char* message;
    std::function<void(GgufTestFile&)> spoil;
  };
  const Case cases[] = {
      {"blk.0.attn_q.weight: 30 outputs, expected a multiple of twice 2 heads",
       [](auto& f) {
         f.tensors[3].dimensions = {32, 30};
       }},
      {"blk.0.attn_q.weight: 3 dimensions",
       [](auto& f) {
         f.tensors[3].dimensions = {32, 16, 2};
       }},
  };
  for (const Case& bad : cases) {
    GgufTestFile file = tiny_gguf("llama");
    bad.spoil(file);
    try {
      Opened opened(file);
      ADD_FAILURE() << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
    }
  }
  GgufTestFile gemma = tiny_gguf("gemma3");
  gemma.tensors[1].dimensions = {16, 2};
  EXPECT_THROW(Opened{gemma}, Error);
}

// What opens is read to the last value; what does not is an error.
TEST(GgufSource, MutationsNeverCrash) {
  std::mt19937 random(2);
  GgufTestFile file = tiny_gguf("llama");
  file.tensors[3].type = 2;
  file.tensors[3].data = random_blocks(32, 18, 1);
  const std::string whole = file.bytes();
  int opened = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    for (unsigned change = 0; change <= random() % 3; ++change) {
      bytes[random() % 1700] = static_cast<char>(random());
    }
    try {
      const Opened model(bytes);
      for (const StoredTensor& tensor : model.weights.source->tensors()) model.read(tensor.name);
      ++opened;
    } catch (const Error& error) {
      EXPECT_NE(error.exit(), Exit::bug);
    }
  }
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace halftone
