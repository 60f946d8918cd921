// What is said of a finished model.
#include "apps/quantize_report.h"

#include <gmock/gmock.h>

#include "apps/test_model_folder.h"
#include "base/file.h"

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

TEST(QuantizeReport, NamesTheSettingsThatTheMethodHas) {
  const auto report_of = [](const std::string& method) {
    const TestModelFolder folder;
    QuantizeOptions options = folder.rounding("out", 16);
    options.method = method;
    const OpenedModel model = folder.open();
    const auto backend = make_backend("cpu", {.threads = 1});
    const std::string path = folder.path("report.html");
    write_quantize_report(*backend, model, quantize(*backend, model, options), options, path);
    return read_file(path);
  };
  const std::string gptq = report_of("gptq"), awq = report_of("awq"), rtn = report_of("rtn");
  for (const char* setting : {"act (static groups)", "<dt>damping"}) {
    EXPECT_THAT(gptq, HasSubstr(setting));
    EXPECT_THAT(awq, Not(HasSubstr(setting)));
    EXPECT_THAT(rtn, Not(HasSubstr(setting)));
  }
  EXPECT_THAT(awq, HasSubstr("<dt>token weights"));
  EXPECT_THAT(rtn, Not(HasSubstr("token weights")));
  EXPECT_THAT(awq, HasSubstr("<dt>calibration inputs"));
  EXPECT_THAT(rtn, Not(HasSubstr("calibration inputs")));
}

}  // namespace
}  // namespace halftone
