// The tables: every name is found, others are refused with the list of those that are known.
#include "quant/method.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

template <class Find>
std::string refusal(Find find) {
  try {
    find();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    return error.what() + std::string("; ") + error.hint();
  }
  return "";
}

TEST(MethodTable, FindsEveryRow) {
  for (const Method& method : methods()) EXPECT_EQ(find_method(method.name).name, method.name);
  for (const Recipe& recipe : recipes()) EXPECT_EQ(find_recipe(recipe.name).name, recipe.name);
  EXPECT_TRUE(find_method("gptq").needs_hessian);
  EXPECT_FALSE(find_method("rtn").needs_hessian);
  EXPECT_TRUE(find_method("awq+gptq").clip);  // docs/methods.md §8: what it gains
  EXPECT_FALSE(find_method("gptq").clip);
  EXPECT_EQ(find_recipe("fast").search, ScaleSearch::power);
  EXPECT_EQ(find_recipe("fast").order, ColumnOrder::activation);
  EXPECT_EQ(find_recipe("fast").tokens, TokenWeights::residual);
  EXPECT_TRUE(find_method("gptq").weighs_tokens);
  EXPECT_FALSE(find_method("awq").weighs_tokens);  // docs/methods.md §6: it gains nothing
  EXPECT_EQ(find_order("none"), ColumnOrder::none);
  EXPECT_EQ(find_token_weights("none"), TokenWeights::none);
  EXPECT_EQ(name_of(TokenWeights::residual), "residual");
  EXPECT_EQ(find_recipe("fast").inputs, CalibrationInputs::quantized);
  EXPECT_EQ(find_calibration_inputs("original"), CalibrationInputs::original);
  EXPECT_EQ(name_of(CalibrationInputs::quantized), "quantized");
  EXPECT_EQ(name_of(ColumnOrder::activation), "act");
  EXPECT_EQ(find_scale_search("minmax"), ScaleSearch::minmax);
}

TEST(MethodTable, ListsTheKnown) {
  EXPECT_EQ(refusal([] { find_method("gtpq"); }),
            "--method gtpq: not known; known: gptq, awq, awq+gptq, rtn.");
  EXPECT_EQ(refusal([] { find_recipe(""); }), "--recipe : not known; known: fast.");
  EXPECT_EQ(refusal([] { find_order("desc"); }), "--order desc: not known; known: act, none.");
  EXPECT_EQ(refusal([] { find_token_weights("grad"); }),
            "--token-weights grad: not known; known: residual, none.");
  EXPECT_EQ(refusal([] { find_calibration_inputs("dense"); }),
            "--calib-inputs dense: not known; known: quantized, original.");
  EXPECT_EQ(refusal([] { find_scale_search("mse"); }),
            "--scale-search mse: not known; known: importance, power, minmax.");
}

}  // namespace
}  // namespace halftone
