// What is said of a finished model.
#include "apps/quantize_report.h"

#include <gmock/gmock.h>

#include "apps/test_model_folder.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string text_of(int bits) {
  const TestModelFolder folder;
  QuantizeOptions options = folder.rounding("out", 32);
  options.format = "compressed-tensors";
  options.bits = bits;
  options.symmetric = false;
  options.skip = {"down_proj"};  // its 48 inputs are no whole groups
  const OpenedModel model = folder.open();
  return outcome_text(quantize(*make_backend("cpu", {.threads = 1}), model, options), options,
                      model);
}

TEST(QuantizeReport, WhereNoneOpensItOnlyTheRefusalsAreSaid) {
  EXPECT_THAT(text_of(4), HasSubstr("\nOpens in  vLLM"));
  const std::string text = text_of(3);
  EXPECT_THAT(text, HasSubstr("\nRefused   by vLLM"));
  EXPECT_THAT(text, Not(HasSubstr("Opens in")));
}

}  // namespace
}  // namespace halftone
