// Mixes as llama.cpp's quantizer makes them: what it prints for models of 30 and 32 layers.
#include "format/gguf_types.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

std::string_view type_of(std::string_view mix, Role role, int layer, int layers = 32,
                         bool tied = false) {
  return gguf_type(find_gguf_mix(mix), {role, layer, layers, tied});
}

TEST(GgufTypes, MediumMixesFavourSomeLayers) {
  for (const int layer : {0, 3, 6, 9, 28, 31}) {
    EXPECT_EQ(type_of("Q4_K_M", Role::down, layer), "Q6_K") << layer;
    EXPECT_EQ(type_of("q5_k_m", Role::v, layer), "Q6_K") << layer;
  }
  for (const int layer : {4, 5, 7, 26}) {
    EXPECT_EQ(type_of("Q4_K_M", Role::v, layer), "Q4_K") << layer;
    EXPECT_EQ(type_of("Q5_K_M", Role::down, layer), "Q5_K") << layer;
  }
  EXPECT_EQ(type_of("Q4_K_M", Role::gate, 0), "Q4_K");
}

TEST(GgufTypes, SmallMixesFavourTheFirstLayers) {
  EXPECT_EQ(type_of("Q4_K_S", Role::v, 3, 80), "Q5_K");
  EXPECT_EQ(type_of("Q4_K_S", Role::v, 4, 80), "Q4_K");
  EXPECT_EQ(type_of("Q4_K_S", Role::down, 9, 80), "Q5_K");
  EXPECT_EQ(type_of("Q4_K_S", Role::down, 10, 80), "Q4_K");
}

TEST(GgufTypes, ValuesThatManyHeadsShareHaveOneBitMore) {
  const GgufPlace place{Role::v, 11, 80, false, 8};
  EXPECT_EQ(gguf_type(find_gguf_mix("Q4_K_M"), place), "Q5_K");
  EXPECT_EQ(gguf_type(find_gguf_mix("Q4_K_S"), place), "Q5_K");
  EXPECT_EQ(gguf_type(find_gguf_mix("Q5_K_M"), place), "Q5_K");
  EXPECT_EQ(gguf_type(find_gguf_mix("Q4_K_S"), {Role::v, 11, 48, false, 8}), "Q4_K");
  EXPECT_EQ(gguf_type(find_gguf_mix("Q4_K_S"), {Role::k, 11, 80, false, 8}), "Q4_K");
}

TEST(GgufTypes, HeadsHaveSixBits) {
  EXPECT_EQ(type_of("Q4_0", Role::head, -1), "Q6_K");
  EXPECT_EQ(type_of("Q4_0", Role::embed, -1), "Q4_0");
  EXPECT_EQ(type_of("Q4_0", Role::embed, -1, 32, true), "Q6_K");
  EXPECT_EQ(type_of("Q8_0", Role::head, -1), "Q8_0");
  EXPECT_EQ(type_of("BF16", Role::head, -1), "BF16");
}

TEST(GgufTypes, RowsThatDoNotDivide) {
  EXPECT_EQ(gguf_type_for_row("Q4_K", 768), "Q4_K");
  EXPECT_EQ(gguf_type_for_row("Q4_K", 576), "Q5_0");
  EXPECT_EQ(gguf_type_for_row("Q5_K", 576), "Q5_1");
  EXPECT_EQ(gguf_type_for_row("Q6_K", 576), "Q8_0");
  EXPECT_EQ(gguf_type_for_row("IQ4_XS", 576), "IQ4_NL");
  EXPECT_EQ(gguf_type_for_row("IQ4_XS", 100), "F16");
  EXPECT_EQ(gguf_type_for_row("Q4_0", 100), "F16");
}

TEST(GgufTypes, UnknownNamesListTheKnown) {
  EXPECT_EQ(find_gguf_mix("Q4_K").name, "Q4_K_M");
  try {
    find_gguf_mix("Q3_K_M");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("IQ4_XS"), std::string::npos);
  }
  EXPECT_EQ(check_gguf_type("--head-type", "q8_0"), "Q8_0");
  EXPECT_EQ(check_gguf_type("--head-type", "Q4_K"), "Q4_K");
  EXPECT_THROW(check_gguf_type("--head-type", "Q4_K_M"), Error);
}

}  // namespace
}  // namespace halftone
