#include "format/bitstream.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace halftone {
namespace {

std::vector<int> bytes_of(const std::vector<std::byte>& packed) {
  std::vector<int> bytes;
  for (const std::byte byte : packed) bytes.push_back(std::to_integer<int>(byte));
  return bytes;
}

// Codes 1, 2, 3 of three bits: 011 010 001 from the low end, then zeros to the end of the word.
TEST(Bitstream, WorkedExampleThreeBits) {
  const std::vector<uint8_t> codes = {1, 2, 3, 4};
  std::vector<std::byte> packed(4, std::byte{0xff});
  pack_codes(codes.data(), 4, 3, packed.data());
  EXPECT_EQ(bytes_of(packed), (std::vector<int>{0b11'010'001, 0b1000, 0, 0}));
}

TEST(Bitstream, EveryWidthAndLengthComesBack) {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (int64_t count = 1; count < 70; ++count) {
      std::vector<uint8_t> codes(static_cast<size_t>(count)), back(codes.size());
      for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % (1u << bits));
      std::vector<std::byte> packed(static_cast<size_t>(packed_bytes(count, bits)));
      pack_codes(codes.data(), count, bits, packed.data());
      unpack_codes(packed.data(), count, bits, back.data());
      ASSERT_EQ(back, codes) << bits << ' ' << count;
      for (int64_t at = 0; at < count; ++at) {
        ASSERT_EQ(packed_code(packed.data(), at, bits), codes[static_cast<size_t>(at)]);
        // The definition, bit by bit.
        for (int bit = 0; bit < bits; ++bit) {
          const int64_t place = at * bits + bit;
          const int stored =
              std::to_integer<int>(packed[static_cast<size_t>(place / 8)]) >> place % 8 & 1;
          ASSERT_EQ(stored, codes[static_cast<size_t>(at)] >> bit & 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace halftone
