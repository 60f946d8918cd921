// The table of families and that of GGUF's fit each other.
#include "io/gguf_family.h"

#include <gtest/gtest.h>

#include "format/gguf_names.h"
#include "model/arch_table.h"

namespace halftone {
namespace {

TEST(GgufFamily, EveryArchitectureIsSomeFamilys) {
  for (const GgufFamily& family : gguf_families()) {
    const ArchSpec* arch = find_architecture(family.model_type);
    ASSERT_NE(arch, nullptr) << family.model_type;
    EXPECT_EQ(arch->gguf, family.architecture);
  }
}

// Names there and back; what is said of norms is said once by each table.
TEST(GgufFamily, EveryFamilysTensorsAreFoundUnderItsOwnNames) {
  for (const ArchSpec& arch : architectures()) {
    if (arch.gguf.empty()) continue;
    const GgufFamily* family = find_gguf_family(arch.gguf);
    ASSERT_NE(family, nullptr) << arch.model_type << " is " << arch.gguf;
    EXPECT_EQ(family->gain_offset, arch.gain_offset) << arch.model_type;
    for (const TensorRule& rule : arch.tensors) {
      const TensorKey key{.layer = is_per_layer(rule.role) ? 3 : -1, .role = rule.role};
      EXPECT_EQ(hugging_face_name(*family, gguf_name(key)), tensor_name(arch, key))
          << arch.model_type << ": " << gguf_name(key);
    }
  }
}

TEST(GgufFamily, OthersAreNot) { EXPECT_EQ(find_gguf_family("mamba"), nullptr); }

}  // namespace
}  // namespace halftone
