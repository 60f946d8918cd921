#include "io/ggml_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/sha256.h"
#include "io/gguf.h"

namespace halftone {
namespace {

std::vector<float> decode(std::string_view type, const std::vector<uint8_t>& bytes, size_t values) {
  std::vector<float> out(values);
  ggml_dequantize(type, std::as_bytes(std::span(bytes)), out);
  return out;
}

// d = 0.5 as fp16, then sixteen bytes whose low nibbles are 0 … 15 and whose high nibbles are 15 …
// 0.
TEST(GgmlBlocks, WorkedExampleQ4_0) {
  std::vector<uint8_t> block = {0x00, 0x38};
  for (int j = 0; j < 16; ++j) block.push_back(static_cast<uint8_t>(j | (15 - j) << 4));
  const std::vector<float> values = decode("Q4_0", block, 32);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(values[static_cast<size_t>(j)], 0.5f * static_cast<float>(j - 8));
    EXPECT_EQ(values[static_cast<size_t>(j) + 16], 0.5f * static_cast<float>(7 - j));
  }
}

// Four blocks of bytes from a small generator; scales made moderate. What llama.cpp's own gguf
// package (0.17) decodes them to: the hash of all values, the first and the last.
struct Golden {
  std::string_view type;
  std::vector<size_t> halves;  // where a block has its fp16 scales
  std::string_view sha256;
  float first, last;
};
const Golden kGolden[] = {
    {"Q4_0",
     {0},
     "e2c1e11676bc37d9d91facec3b0520e2fd19045363d2d024513e76e5e6a945f3",
     0x1.81ep-3f,
     -0x1.1c4p-3f},
    {"Q4_1",
     {0, 2},
     "0deaeba5fecc2349839a258ec58a71489577448455a365af774f2c9dbb58f19e",
     0x1.ce28p-2f,
     -0x1.136p-2f},
    {"Q5_0",
     {0},
     "879da6ce31971453732223a5e490d709f8fd29bd25657b8158931b75824d65de",
     0x1.c23p-1f,
     0x1.d6cp-3f},
    {"Q5_1",
     {0, 2},
     "e9259387d967783224dcda6b75fa85157ca6a0a15b7c9b79f6b46814d2f3539a",
     0x1.ce28p-2f,
     0x1.266p-4f},
    {"Q8_0",
     {0},
     "d11288255bf24f770317bf39c2b4d0bc32cc9d12072c7559a1386903df539116",
     -0x1.d649p+2f,
     -0x1.1fdbp+2f},
    {"Q4_K",
     {0, 2},
     "95f52331736f6d97ddb1cba423aec5db701a38bebd4bf5a2cbbd2da7e12e753d",
     0x1.b936p+3f,
     -0x1.315e4p+4f},
    {"Q5_K",
     {0, 2},
     "181bd0afd5a091c7bfc65fcf4d8784aa9e9fd67620d9804e9b2494b7f0754f80",
     0x1.afdd8p+5f,
     0x1.100e9p+7f},
    {"Q6_K",
     {208},
     "f6b4e72ba5d1bdb1797592a9169a44662471a311005c3dad3ba9459bc76f393e",
     -0x1.49bc2p+7f,
     0x1.a518p+1f},
    {"IQ4_NL",
     {0},
     "e2f4e469131da335f1dbf9205a2b7a498075a81856261baf2a96340b0964459d",
     0x1.317cp+1f,
     -0x1.86d8p+0f},
    {"IQ4_XS",
     {0},
     "d16528660bbedee4863c1bbc69a2fa4214e84c8ad744e038c85d79cf4b8cff3c",
     0x1.81ep+0f,
     0x1.05759p+7f},
};

TEST(GgmlBlocks, EqualLlamaCppsBitForBit) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.type);
    const auto block = ggml_block(golden.type);
    ASSERT_TRUE(block.has_value());
    constexpr size_t kBlocks = 4;
    const auto size = static_cast<size_t>(block->bytes);
    std::vector<uint8_t> bytes(kBlocks * size);
    uint32_t state = 12345;
    for (uint8_t& byte : bytes) {
      state = state * 1664525u + 1013904223u;
      byte = static_cast<uint8_t>(state >> 24);
    }
    for (size_t i = 0; i < kBlocks; ++i) {
      for (const size_t half : golden.halves) {
        uint8_t& high = bytes[i * size + half + 1];
        high = static_cast<uint8_t>((high & 0x87) | 0x28);
      }
    }
    const auto values = decode(golden.type, bytes, kBlocks * static_cast<size_t>(block->values));
    EXPECT_EQ(values.front(), golden.first);
    EXPECT_EQ(values.back(), golden.last);
    EXPECT_EQ(Sha256().add(std::as_bytes(std::span(values))).hex(), golden.sha256);
  }
}

TEST(GgmlBlocks, EveryHalfAndBfloatWidensExactly) {
  std::vector<uint8_t> bytes;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    bytes.push_back(static_cast<uint8_t>(bits));
    bytes.push_back(static_cast<uint8_t>(bits >> 8));
  }
  const auto halves = decode("F16", bytes, 65536), bfloats = decode("BF16", bytes, 65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float half = to_float(f16{static_cast<uint16_t>(bits)});
    const float bfloat = to_float(bf16{static_cast<uint16_t>(bits)});
    EXPECT_EQ(std::isnan(halves[bits]), std::isnan(half)) << bits;
    EXPECT_EQ(std::isnan(bfloats[bits]), std::isnan(bfloat)) << bits;
    if (!std::isnan(half)) {
      EXPECT_EQ(std::bit_cast<uint32_t>(halves[bits]), std::bit_cast<uint32_t>(half));
    }
    if (!std::isnan(bfloat)) {
      EXPECT_EQ(bfloats[bits], bfloat);
    }
  }
}

TEST(GgmlBlocks, TypesThatWeDoNotReadHaveNamesOnly) {
  EXPECT_EQ(ggml_type_name(22), "IQ2_S");
  EXPECT_FALSE(ggml_block("IQ2_S").has_value());
  EXPECT_EQ(ggml_type_name(99), "");
  EXPECT_FALSE(ggml_block("").has_value());
  EXPECT_EQ(readable_ggml_types().find("IQ2"), std::string::npos);
}

}  // namespace
}  // namespace halftone
