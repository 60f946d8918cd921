#include "io/gguf.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "io/gguf_parser.h"
#include "io/gguf_test_file.h"

namespace halftone {
namespace {

GgufPart parse(const std::string& bytes) {
  return parse_gguf(std::as_bytes(std::span(bytes)), "model.gguf");
}

// One key, one tensor, byte by byte.
TEST(Gguf, WorkedExample) {
  std::string file(
      "GGUF\3\0\0\0"                      // magic, version
      "\1\0\0\0\0\0\0\0"                  // tensors
      "\1\0\0\0\0\0\0\0"                  // keys
      "\1\0\0\0\0\0\0\0k"                 // "k"
      "\4\0\0\0\7\0\0\0"                  // u32 7
      "\1\0\0\0\0\0\0\0w"                 // "w"
      "\2\0\0\0"                          // two dimensions
      "\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"  // 2 inputs, 1 output
      "\1\0\0\0\0\0\0\0\0\0\0\0",         // F16, offset 0
      24 + 17 + 9 + 4 + 16 + 12);
  file.resize((file.size() + 31) / 32 * 32, '\0');
  file += std::string("\0\x3c\0\xc0", 4);  // 1, −2
  const GgufPart part = parse(file);
  ASSERT_EQ(part.keys.size(), 1u);
  EXPECT_EQ(std::get<uint64_t>(part.keys.at("k")), 7u);
  ASSERT_EQ(part.entries.size(), 1u);
  EXPECT_EQ(part.entries[0].name, "w");
  EXPECT_EQ(part.entries[0].type, "F16");
  EXPECT_EQ(part.entries[0].shape, (std::vector<int64_t>{1, 2}));
  std::vector<float> values(2);
  ggml_dequantize("F16", part.entries[0].bytes, values);
  EXPECT_EQ(values, (std::vector<float>{1, -2}));
}

TEST(Gguf, EveryValueType) {
  GgufTestFile file;
  file.key("u8", GgufBytes().number<uint32_t>(0).number<uint8_t>(255));
  file.key("i8", GgufBytes().number<uint32_t>(1).number<int8_t>(-1));
  file.key("u16", GgufBytes().number<uint32_t>(2).number<uint16_t>(65535));
  file.key("i16", GgufBytes().number<uint32_t>(3).number<int16_t>(-2));
  file.key("i32", GgufBytes().number<uint32_t>(5).number<int32_t>(-3));
  file.f32("f32", 0.5f);
  file.key("bool", GgufBytes().number<uint32_t>(7).number<uint8_t>(1));
  file.text("text", "täxt");
  file.key("u64", GgufBytes().number<uint32_t>(10).number<uint64_t>(UINT64_MAX));
  file.key("i64", GgufBytes().number<uint32_t>(11).number<int64_t>(INT64_MIN));
  file.key("f64", GgufBytes().number<uint32_t>(12).number<double>(1e300));
  file.numbers<int16_t>("i16s", 3, {-1, 2});
  file.numbers<uint8_t>("bools", 7, {1, 0});
  file.numbers<float>("f32s", 6, {0.5f, -1});
  file.texts("texts", {"", "x"});
  const auto keys = parse(file.bytes()).keys;
  EXPECT_EQ(std::get<uint64_t>(keys.at("u8")), 255u);
  EXPECT_EQ(std::get<int64_t>(keys.at("i8")), -1);
  EXPECT_EQ(std::get<uint64_t>(keys.at("u16")), 65535u);
  EXPECT_EQ(std::get<int64_t>(keys.at("i16")), -2);
  EXPECT_EQ(std::get<int64_t>(keys.at("i32")), -3);
  EXPECT_EQ(std::get<double>(keys.at("f32")), 0.5);
  EXPECT_EQ(std::get<bool>(keys.at("bool")), true);
  EXPECT_EQ(std::get<std::string>(keys.at("text")), "täxt");
  EXPECT_EQ(std::get<uint64_t>(keys.at("u64")), UINT64_MAX);
  EXPECT_EQ(std::get<int64_t>(keys.at("i64")), INT64_MIN);
  EXPECT_EQ(std::get<double>(keys.at("f64")), 1e300);
  EXPECT_EQ(std::get<std::vector<int64_t>>(keys.at("i16s")), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(std::get<std::vector<int64_t>>(keys.at("bools")), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(std::get<std::vector<double>>(keys.at("f32s")), (std::vector<double>{0.5, -1}));
  EXPECT_EQ(std::get<std::vector<std::string>>(keys.at("texts")),
            (std::vector<std::string>{"", "x"}));
}

TEST(Gguf, AlignmentIsTheFilesOwn) {
  GgufTestFile file = tiny_gguf("llama");
  file.u32("general.alignment", 64);
  file.alignment = 64;
  const auto entries = parse(file.bytes()).entries;
  ASSERT_EQ(entries.size(), file.tensors.size());
  EXPECT_EQ(entries[0].bytes.size(), 4u * 32 * 4);
  EXPECT_EQ(entries[1].bytes.data() - entries[0].bytes.data(), 512);
}

struct Hostile {
  const char* what;
  std::function<void(GgufTestFile&)> spoil;
  const char* message;  // is in the error
};

GgufBytes array_of(uint32_t type, uint64_t count) {
  return GgufBytes().number<uint32_t>(9).number(type).number(count);
}

const Hostile kHostile[] = {
    {"magic", [](auto& f) { f.magic = "GGML"; }, "not a GGUF file"},
    {"version 1", [](auto& f) { f.version = 1; }, "version 1, expected 2 or 3"},
    {"version 4", [](auto& f) { f.version = 4; }, "version 4, expected 2 or 3"},
    {"big-endian", [](auto& f) { f.version = 0x03000000; }, "big-endian"},
    {"negative key count", [](auto& f) { f.key_count = -1; }, "-1 keys"},
    {"key count", [](auto& f) { f.key_count = INT64_MAX; }, "9223372036854775807 keys"},
    {"negative tensor count", [](auto& f) { f.tensor_count = -5; }, "-5 tensors"},
    {"tensor count", [](auto& f) { f.tensor_count = int64_t{1} << 60; }, "tensors cannot stand"},
    {"key without name", [](auto& f) { f.u32("", 1); }, "a key's name is empty"},
    {"key twice", [](auto& f) { f.u32("x", 1).u32("x", 2); }, "key x appears twice"},
    {"key with a line break", [](auto& f) { f.u32("a\nb", 1); }, "byte 0x0a"},
    {"key's length", [](auto& f) { f.keys.push_back(GgufBytes().number(UINT64_MAX).str()); },
     "string of 18446744073709551615 bytes"},
    {"value's type", [](auto& f) { f.key("x", GgufBytes().number<uint32_t>(13)); },
     "x: value of type 13"},
    {"boolean", [](auto& f) { f.key("x", GgufBytes().number<uint32_t>(7).number<uint8_t>(2)); },
     "x: boolean 2"},
    {"string's length",
     [](auto& f) { f.key("x", GgufBytes().number<uint32_t>(8).number(uint64_t{1} << 29)); },
     "truncated: x"},
    {"array's length", [](auto& f) { f.key("x", array_of(4, uint64_t{1} << 62)); },
     "array of 4611686018427387904 elements"},
    {"array's strings", [](auto& f) { f.key("x", array_of(8, 1u << 20)); }, "elements, but only"},
    {"array of arrays", [](auto& f) { f.key("x", array_of(9, 1)); }, "array of arrays"},
    {"array's type", [](auto& f) { f.key("x", array_of(77, 1)); }, "array of type 77"},
    {"alignment 3", [](auto& f) { f.u32("general.alignment", 3); }, "power of two"},
    {"alignment 0", [](auto& f) { f.u32("general.alignment", 0); }, "power of two"},
    {"alignment's type", [](auto& f) { f.text("general.alignment", "32"); }, "power of two"},
    {"tensor without name", [](auto& f) { f.tensors[0].name = ""; }, "tensor's name is empty"},
    {"tensor's name", [](auto& f) { f.tensors[0].name = std::string(64, 'x'); },
     "string of 64 bytes, expected at most 63"},
    {"no dimensions", [](auto& f) { f.tensors[0].dimensions = {}; }, "0 dimensions"},
    {"five dimensions",
     [](auto& f) {
       f.tensors[0].dimensions = {1, 1, 1, 1, 1};
     },
     "5 dimensions"},
    {"dimension 0",
     [](auto& f) {
       f.tensors[0].dimensions = {32, 0};
     },
     "dimension 1 is 0"},
    {"negative dimension",
     [](auto& f) {
       f.tensors[0].dimensions = {-32, -4};
     },
     "dimension 0 is -32"},
    {"elements overflow",
     [](auto& f) {
       f.tensors[0].dimensions = {int64_t{1} << 32, int64_t{1} << 32};
     },
     "more elements"},
    {"bytes overflow", [](auto& f) { f.tensors[0].dimensions = {int64_t{1} << 62}; },
     "more bytes|run past"},
    {"part of a block",
     [](auto& f) {
       f.tensors[0].type = 12;
       f.tensors[0].dimensions = {32, 4};
     },
     "rows of 32 values, expected a multiple of Q4_K's 256"},
    {"type that nobody has", [](auto& f) { f.tensors[0].type = 99; }, "type 99, expected one of"},
    {"type that we do not read", [](auto& f) { f.tensors[0].type = 22; },
     "type IQ2_S, expected one of F32"},
    {"crooked offset", [](auto& f) { f.tensors[1].offset = 33; }, "multiple of the alignment 32"},
    {"offset past the end", [](auto& f) { f.tensors[1].offset = 1 << 20; }, "run past the file's"},
    {"offset overflow", [](auto& f) { f.tensors[1].offset = UINT64_MAX - 31; },
     "run past the file's"},
    {"overlap", [](auto& f) { f.tensors[1].offset = 0; }, "overlaps"},
    {"tensor twice", [](auto& f) { f.tensors[1].name = f.tensors[0].name; }, "appears twice"},
    {"no architecture", [](auto& f) { f.keys.erase(f.keys.begin()); },
     "general.architecture is missing"},
};

// The message of the Error(bad_input) that opening `bytes` ends in; empty when it opens.
std::string refusal(const TemporaryDirectory& place, const std::string& bytes) {
  write_test_file(place.file("model.gguf"), bytes);
  try {
    gguf_metadata(GgufFile(place.file("model.gguf")));
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

TEST(Gguf, HostileFilesAreRefusedByName) {
  const TemporaryDirectory place;
  EXPECT_EQ(refusal(place, tiny_gguf("llama").bytes()), "");
  for (const Hostile& hostile : kHostile) {
    SCOPED_TRACE(hostile.what);
    GgufTestFile file = tiny_gguf("llama");
    hostile.spoil(file);
    const std::string message = refusal(place, file.bytes());
    const std::string wanted = hostile.message;
    const size_t bar = wanted.find('|');
    const bool found =
        message.find(wanted.substr(0, bar)) != std::string::npos ||
        (bar != std::string::npos && message.find(wanted.substr(bar + 1)) != std::string::npos);
    EXPECT_TRUE(found) << message;
    EXPECT_NE(message.find("model.gguf"), std::string::npos) << message;
  }
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string whole = tiny_gguf("llama").bytes();
  for (size_t size = 0; size < whole.size(); size += size < 2000 ? 1 : 97) {
    EXPECT_THROW(parse(whole.substr(0, size)), Error) << size;
  }
  const TemporaryDirectory place;
  EXPECT_NE(refusal(place, ""), "");
  EXPECT_NE(refusal(place, whole.substr(0, 100)), "");
}

// Bytes changed, cut out and doubled.
std::string mutate(std::string bytes, size_t interesting, std::mt19937& random) {
  for (unsigned change = 0; change <= random() % 4; ++change) {
    const size_t at = random() % interesting;
    switch (random() % 5) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        break;
      case 2:
        bytes[at] = static_cast<char>(random() % 2 ? 0xff : 0);
        break;
      case 3:
        bytes.erase(at, random() % 16);
        break;
      default:
        bytes.insert(at, bytes.substr(random() % interesting, random() % 16));
    }
  }
  return bytes;
}

// An error or a model, never a crash. The file's first part, keys and infos, is what is worth
// spoiling.
TEST(Gguf, MutationsNeverCrash) {
  const TemporaryDirectory place;
  std::mt19937 random(1);
  const std::string models[] = {tiny_gguf("llama").bytes(), tiny_gguf("gemma3").bytes()};
  int opened = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string& model = models[round % 2];
    const std::string bytes = mutate(model, round % 3 ? 1500 : model.size() / 2, random);
    if (round % 40 == 0) {
      opened += refusal(place, bytes).empty();
      continue;
    }
    try {
      parse(bytes);
      ++opened;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, 20000);
}

// Three files: keys in the first, tensors spread over them.
class SplitModel : public testing::Test {
 protected:
  SplitModel() {
    const GgufTestFile whole = tiny_gguf("llama");
    for (uint16_t part = 0; part < 3; ++part) {
      GgufTestFile file;
      if (part == 0) file.keys = whole.keys;
      file.key("split.no", GgufBytes().number<uint32_t>(2).number<uint16_t>(part));
      file.key("split.count", GgufBytes().number<uint32_t>(2).number<uint16_t>(3));
      file.key("split.tensors.count", GgufBytes().number<uint32_t>(5).number<int32_t>(11));
      for (size_t i = 0; i < whole.tensors.size(); ++i) {
        if (i % 3 == part) file.tensors.push_back(whole.tensors[i]);
      }
      parts_.push_back(std::move(file));
      write(part);
    }
  }
  std::string path(size_t part) const {
    return place_.file("m-0000" + std::to_string(part + 1) + "-of-00003.gguf");
  }
  void write(size_t part) const { write_test_file(path(part), parts_[part].bytes()); }
  std::string refused(size_t part) const {
    try {
      GgufFile file(path(part));
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      return error.what();
    }
    return "";
  }

  TemporaryDirectory place_;
  std::vector<GgufTestFile> parts_;
};

TEST_F(SplitModel, IsReadWholeFromAnyPart) {
  for (size_t part = 0; part < 3; ++part) {
    const GgufFile file(path(part));
    EXPECT_EQ(file.architecture(), "llama");
    EXPECT_EQ(file.entries().size(), 11u);
    ASSERT_NE(file.find("token_embd.weight"), nullptr);
    EXPECT_EQ(file.find("nothing"), nullptr);
  }
}

TEST_F(SplitModel, MissingPartsAreNamed) {
  std::filesystem::remove(path(1));
  EXPECT_NE(refused(0).find("m-00002-of-00003.gguf"), std::string::npos) << refused(0);
}

TEST_F(SplitModel, PartsThatDoNotBelongTogetherAreRefused) {
  std::swap(parts_[1], parts_[2]);
  write(1);
  EXPECT_NE(refused(0).find("part 3 of 3, expected part 2 of 3"), std::string::npos) << refused(0);
}

TEST_F(SplitModel, TensorsMustBeAllThere) {
  parts_[2].tensors.pop_back();
  write(2);
  EXPECT_NE(refused(0).find("hold 10 tensors, expected 11"), std::string::npos) << refused(0);
}

TEST_F(SplitModel, NamesOfPartsTellTheirPlace) {
  write_test_file(place_.file("renamed.gguf"), parts_[0].bytes());
  try {
    GgufFile file(place_.file("renamed.gguf"));
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("part 1 of 3"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("does not end in -00001-of-00003.gguf"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace halftone
