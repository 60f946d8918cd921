// What the writer writes, our parser reads; what was not planned is refused.
#include "io/gguf_writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "io/gguf.h"

namespace halftone {
namespace {

std::vector<std::byte> bytes_filled(size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

TEST(GgufWriter, WorkedExample) {
  const TemporaryDirectory place;
  const std::string path = place.file("a.gguf");
  const GgufFields keys = {{"general.architecture", std::string("llama")},
                           {"llama.block_count", uint32_t{2}},
                           {"x.float", 0.5f},
                           {"x.flag", true},
                           {"x.integers", std::vector<int32_t>{3, -1}},
                           {"x.floats", std::vector<float>{1, -2.5f}},
                           {"x.texts", std::vector<std::string>{"a", ""}}};
  GgufWriter writer(path, keys,
                    {{"token_embd.weight", "Q8_0", {3, 32}}, {"output_norm.weight", "F32", {5}}});
  writer.write("output_norm.weight", 0, bytes_filled(20, 1));
  writer.write("token_embd.weight", 34, bytes_filled(68, 2));
  writer.write("token_embd.weight", 0, bytes_filled(34, 3));
  const int64_t size = writer.finish();

  const GgufFile file(path);
  EXPECT_EQ(file.file_bytes(), size);
  EXPECT_EQ(file.architecture(), "llama");
  EXPECT_EQ(std::get<uint64_t>(file.keys().at("llama.block_count")), 2u);
  EXPECT_EQ(std::get<double>(file.keys().at("x.float")), 0.5);
  EXPECT_EQ(std::get<bool>(file.keys().at("x.flag")), true);
  EXPECT_EQ(std::get<std::vector<int64_t>>(file.keys().at("x.integers")),
            (std::vector<int64_t>{3, -1}));
  EXPECT_EQ(std::get<std::vector<double>>(file.keys().at("x.floats")),
            (std::vector<double>{1, -2.5}));
  EXPECT_EQ(std::get<std::vector<std::string>>(file.keys().at("x.texts")),
            (std::vector<std::string>{"a", ""}));
  const ContainerEntry* table = file.find("token_embd.weight");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->type, "Q8_0");
  EXPECT_EQ(table->shape, (std::vector<int64_t>{3, 32}));
  EXPECT_EQ(table->bytes[33], std::byte{3});
  EXPECT_EQ(table->bytes[34], std::byte{2});
  EXPECT_EQ(file.find("output_norm.weight")->bytes.size(), 20u);
}

// Three tensors, of which two fit in a part; the model's keys are in the first part alone.
TEST(GgufWriter, PartsAreReadAsOneModel) {
  const TemporaryDirectory place;
  const GgufFields keys = {{"general.architecture", std::string("llama")},
                           {"llama.block_count", uint32_t{2}}};
  GgufWriter writer(place.file("a.gguf"), keys,
                    {{"c", "F32", {8}}, {"b", "F32", {2, 8}}, {"a", "F32", {2, 8}}}, 100);
  EXPECT_EQ(writer.parts(), 2u);
  writer.write("a", 0, bytes_filled(64, 1));
  writer.write("b", 0, bytes_filled(64, 2));
  writer.write("c", 0, bytes_filled(32, 3));
  const int64_t size = writer.finish();

  for (const char* name : {"a-00001-of-00002.gguf", "a-00002-of-00002.gguf"}) {
    const GgufFile file(place.file(name));
    EXPECT_EQ(file.file_bytes(), size);
    EXPECT_EQ(file.architecture(), "llama");
    ASSERT_EQ(file.entries().size(), 3u);
    for (size_t i = 0; i < 3; ++i)
      EXPECT_EQ(file.entries()[i].bytes[7], static_cast<std::byte>(i + 1));
    EXPECT_EQ(gguf_first_part(place.file(name)), place.file("a-00001-of-00002.gguf"));
  }
  EXPECT_EQ(gguf_first_part("a-1-of-00002.gguf"), "a-1-of-00002.gguf");
  EXPECT_EQ(gguf_first_part("a.gguf"), "a.gguf");
  EXPECT_EQ(gguf_whole_path("b/a-00002-of-00003.gguf"), "b/a.gguf");
  EXPECT_EQ(gguf_whole_path("-00002-of-00003.gguf"), "-00002-of-00003.gguf");
}

TEST(GgufWriter, RefusesWhatWasNotPlanned) {
  const TemporaryDirectory place;
  const GgufFields keys = {{"general.architecture", std::string("llama")}};
  GgufWriter writer(place.file("a.gguf"), keys, {{"a", "F32", {2, 2}}});
  EXPECT_THROW(writer.write("b", 0, bytes_filled(4, 0)), Error);
  EXPECT_THROW(writer.write("a", 8, bytes_filled(9, 0)), Error);
  EXPECT_THROW(writer.write("a", -1, bytes_filled(1, 0)), Error);
  writer.write("a", 0, bytes_filled(8, 0));
  EXPECT_THROW(writer.finish(), Error) << "half of it is missing";
  EXPECT_THROW(GgufWriter(place.file("b.gguf"), keys, {{"a", "F32", {1}}, {"a", "F32", {1}}}),
               Error);
}

}  // namespace
}  // namespace halftone
