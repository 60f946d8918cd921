// A plan of a tiny model, row by row and byte by byte.
#include "apps/plan.h"

#include <gmock/gmock.h>

#include "apps/test_model_folder.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

// Two layers, 32 wide, 48 in the MLP, vocabulary of 128, bf16, head of its own.
class PlanTest : public ::testing::Test {
 protected:
  QuantizeOptions options() const { return {.output = folder_.path("out"), .group_size = 16}; }
  std::string refused(const QuantizeOptions& given, Exit exit = Exit::usage) const {
    try {
      make_plan(model_, given);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), exit);
      return std::string(error.what()) + " " + error.hint();
    }
    ADD_FAILURE() << "planned";
    return "";
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
};

TEST_F(PlanTest, RowsStandInTheOrderOfQuantizing) {
  const Plan plan = make_plan(model_, options());
  std::vector<std::string> modules;
  for (const PlanRow& row : plan.rows) {
    modules.push_back(row.module);
    EXPECT_EQ(row.method, "gptq");
    EXPECT_EQ(row.skip_reason, "");
    EXPECT_EQ(row.grid,
              (Grid{.bits = 4, .group_size = 16, .symmetric = true, .scales = ScaleStore::f16}));
    const bool down = row.module.ends_with("down_proj"),
               wide = row.module.ends_with("gate_proj") || row.module.ends_with("up_proj");
    EXPECT_EQ(row.rows, wide ? 48 : 32) << row.module;
    EXPECT_EQ(row.cols, down ? 48 : 32) << row.module;
  }
  std::vector<std::string> expected;
  for (const char* layer : {"model.layers.0.", "model.layers.1."})
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                             "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
      expected.push_back(std::string(layer) + name);
  EXPECT_EQ(modules, expected);
}

TEST_F(PlanTest, SkippedRowsStayAndSayWhy) {
  QuantizeOptions given = options();
  given.skip = {"layers\\.1\\.mlp", "[qkv]_proj$"};
  const Plan plan = make_plan(model_, given);
  ASSERT_EQ(plan.rows.size(), 14u);
  for (const PlanRow& row : plan.rows) {
    const bool second_mlp = row.module.find("layers.1.mlp") != std::string::npos;
    const bool inputs = stage_of(row.key.role) == Stage::attn_in;
    EXPECT_EQ(row.method, second_mlp || inputs ? "" : "gptq") << row.module;
    EXPECT_EQ(row.skip_reason, second_mlp ? "--skip layers\\.1\\.mlp"
                               : inputs   ? "--skip [qkv]_proj$"
                                          : "")
        << row.module;
  }
  EXPECT_NE(plan.text(), make_plan(model_, options()).text());
}

TEST_F(PlanTest, RulesGiveModulesGridsOfTheirOwn) {
  QuantizeOptions given = options();
  given.dynamic = {R"({"-:.*layers\\.1\\.mlp": {}, "+:.*o_proj": {"bits": 8, "group_size": 32}})"};
  const Plan plan = make_plan(model_, given);
  for (const PlanRow& row : plan.rows) {
    const bool dense = row.module.find("layers.1.mlp") != std::string::npos;
    EXPECT_EQ(row.method, dense ? "" : "gptq") << row.module;
    EXPECT_EQ(row.skip_reason.empty(), !dense);
    EXPECT_EQ(row.grid.bits, row.module.ends_with("o_proj") ? 8 : 4) << row.module;
  }
  EXPECT_EQ(plan.main_grid().bits, 4);
  EXPECT_EQ(plan.grid_text(), "4 bits, groups of 16, symmetric (2 differ)");
  const Json rules = plan.format->configuration(plan.summary())["dynamic"];
  EXPECT_TRUE(rules.contains("-:.*model\\.layers\\.1\\.mlp\\.gate_up_proj$")) << rules;
  EXPECT_EQ(rules["+:.*model\\.layers\\.0\\.self_attn\\.o_proj$"]["bits"], 8) << rules;
}

TEST_F(PlanTest, DampingIsSaidOfWhatSolvesColumnsInOrder) {
  for (const Method& method : methods()) {
    QuantizeOptions given = options();
    given.method = method.name;
    given.damping = 0.05;
    const std::optional<double> said = make_plan(model_, given).summary().damping;
    EXPECT_EQ(said, method.in_order ? std::optional(0.05) : std::nullopt) << method.name;
  }
}

TEST_F(PlanTest, FormatsRefuseBeforeAnythingRuns) {
  const auto refusal = [&](const char* format, auto change) {
    QuantizeOptions given = options();
    given.format = format;
    given.group_size = 16;
    change(given);
    try {
      make_plan(model_, given);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::usage);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal("awq", [](auto&) {}), "");
  EXPECT_EQ(refusal("awq", [](auto& o) { o.bits = 3; }),
            "--bits 3: expected 4 (what --format awq holds)");
  EXPECT_EQ(refusal("mlx", [](auto&) {}),
            "--group-size 16: expected 32, 64 or 128 (what --format mlx holds)");
  EXPECT_NE(refusal("awq", [](auto& o) { o.dynamic = {R"({".*down_proj": {"group_size": 48}})"}; })
                .find("--format awq has one grid for all"),
            std::string::npos);
  EXPECT_NE(refusal("gptq", [](auto& o) { o.dynamic = {R"({".*down_proj": {"sym": false}})"}; })
                .find("stores zeros in one way"),
            std::string::npos);
}

// vLLM makes one linear of q, k and v.
TEST_F(PlanTest, PartsOfAFusedLinearAreSkippedTogether) {
  QuantizeOptions given = options();
  given.skip = {"layers\\.1\\.self_attn\\.k_proj"};
  try {
    make_plan(model_, given);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("layers.1.self_attn.k_proj stays dense"),
              std::string::npos)
        << error.what();
    EXPECT_NE(error.hint().find("{q,k,v}_proj"), std::string::npos) << error.hint();
  }
}

TEST_F(PlanTest, SizesAreThoseOfTheFiles) {
  const Plan plan = make_plan(model_, options());
  const int64_t weights = 2 * (4 * 32 * 32 + 3 * 32 * 48);
  // Codes, fp16 scales, packed zeros, and four bytes a column for g_idx.
  const int64_t columns = 2 * (6 * 32 + 48);
  const int64_t packed = weights / 2 + weights / 16 * 2 + weights / 16 / 2 + columns * 4;
  const int64_t dense = 2 * (2 * 128 * 32 + 5 * 32);  // embedding, head, five norms
  EXPECT_EQ(plan.output_bytes, packed + dense + 4096);
  EXPECT_DOUBLE_EQ(plan.bits_per_weight_linears, 4 + 16.0 / 16);
  const double parameters = static_cast<double>(weights + 2 * 128 * 32 + 5 * 32);
  EXPECT_DOUBLE_EQ(plan.bits_per_weight_file,
                   8.0 * static_cast<double>(packed + dense) / parameters);

  QuantizeOptions given = options();
  given.skip = {"down_proj"};
  const Plan fewer = make_plan(model_, given);
  const double share = 2 * 32.0 * 48 / static_cast<double>(weights);
  EXPECT_DOUBLE_EQ(fewer.bits_per_weight_linears, 16 * share + 5 * (1 - share));
  EXPECT_GT(fewer.output_bytes, plan.output_bytes);
}

TEST_F(PlanTest, OthersNamesForTheStepsWinOverTheRecipe) {
  const Plan recipe = make_plan(model_, options());
  EXPECT_EQ(recipe.solver.order, ColumnOrder::activation);
  EXPECT_EQ(recipe.solver.fit.search, ScaleSearch::power);
  EXPECT_EQ(recipe.solver.tokens, TokenWeights::residual);
  EXPECT_EQ(recipe.solver.inputs, CalibrationInputs::quantized);
  QuantizeOptions given = options();
  given.order = "none";
  given.calib_inputs = "original";
  given.token_weights = "none";
  given.scale_search = "minmax";
  given.damping = 0.1;
  const Plan plan = make_plan(model_, given);
  EXPECT_EQ(plan.solver.order, ColumnOrder::none);
  EXPECT_EQ(plan.solver.fit.search, ScaleSearch::minmax);
  EXPECT_EQ(plan.solver.tokens, TokenWeights::none);
  EXPECT_EQ(plan.solver.inputs, CalibrationInputs::original);
  EXPECT_EQ(plan.solver.damping, 0.1);
}

// A GGUF's types have searches of their own; what nobody chose is what happens.
TEST_F(PlanTest, TheStepsOfAGgufAreThoseThatHappen) {
  for (const char* method : {"gptq", "awq", "awq+gptq", "rtn"}) {
    QuantizeOptions given = options();
    given.format = "gguf";
    given.gguf.type = "Q4_1";
    given.group_size = 32;
    given.skip = {"down_proj"};  // of 48 inputs
    given.method = method;
    choose_steps(given);
    const bool rtn = given.method == "rtn";
    EXPECT_EQ(given.scale_search, rtn ? "power" : "importance") << method;
    const Plan plan = make_plan(model_, given);  // what is recorded can be asked for
    EXPECT_EQ(search_name(plan.solver), given.scale_search) << method;
    for (const char* search : {"minmax", "power"}) {
      given.scale_search = search;
      EXPECT_NO_THROW(make_plan(model_, given)) << method;
    }
    if (rtn) continue;
    given.scale_search = "clip";  // no matrix has ranges
    EXPECT_THAT(refused(given), HasSubstr("--scale-search clip")) << method;
  }
}

TEST_F(PlanTest, WhatRoundsByItselfHasNoOrder) {
  for (const char* method : {"rtn", "awq"}) {
    QuantizeOptions given = options();
    given.method = method;
    choose_steps(given);
    EXPECT_EQ(given.order, "") << method;
    EXPECT_NO_THROW(make_plan(model_, given));
    given.order = "act";
    EXPECT_THAT(refused(given), HasSubstr("in no order")) << method;
  }
  QuantizeOptions given = options();
  given.method = "awq+gptq";
  choose_steps(given);
  EXPECT_EQ(given.order, "act");
}

// What looks at no text knows of no importance.
TEST_F(PlanTest, RoundingLooksAtNoText) {
  QuantizeOptions given = options();
  given.method = "rtn";
  EXPECT_EQ(make_plan(model_, given).solver.fit.search, ScaleSearch::power);
  for (const char* search : {"importance", "clip"}) {
    given.scale_search = search;
    EXPECT_THROW(make_plan(model_, given), Error);
  }
  given.scale_search.clear();
  given.calib_inputs = "original";
  EXPECT_THROW(make_plan(model_, given), Error);
  given.calib_inputs.clear();
  given.token_weights = "residual";
  EXPECT_THROW(make_plan(model_, given), Error);
  given.method = "awq";  // where nobody asks, all count alike
  EXPECT_EQ(make_plan(model_, given).solver.tokens, TokenWeights::residual);
  given.token_weights.clear();
  EXPECT_EQ(make_plan(model_, given).solver.tokens, TokenWeights::none);
  given.method = "awq+gptq";
  EXPECT_EQ(make_plan(model_, given).solver.tokens, TokenWeights::residual);
  given.scales_only = true;  // stops behind awq's search
  EXPECT_EQ(make_plan(model_, given).solver.tokens, TokenWeights::none);
  given.token_weights = "residual";
  EXPECT_THROW(make_plan(model_, given), Error);
  given.token_weights.clear();
  given.calib_inputs = "quantized";
  EXPECT_THROW(make_plan(model_, given), Error);
}

// What quantize.toml repeats: another version may choose otherwise.
TEST_F(PlanTest, StepsThatNobodyChoseAreNamed) {
  QuantizeOptions given;
  choose_steps(given);
  EXPECT_EQ(
      given.order + " " + given.token_weights + " " + given.calib_inputs + " " + given.scale_search,
      "act residual quantized power");
  QuantizeOptions rounding;
  rounding.method = "rtn";
  choose_steps(rounding);
  EXPECT_EQ(rounding.order + rounding.token_weights + rounding.calib_inputs + rounding.scale_search,
            "power");
  QuantizeOptions scaling;
  scaling.method = "awq";
  scaling.order = "none";
  choose_steps(scaling);
  EXPECT_EQ(scaling.order + " " + scaling.token_weights + " " + scaling.scale_search,
            "none none clip");
}

// The journal's fingerprint is made of it: whatever changes a code changes the text.
TEST_F(PlanTest, TheTextTellsPlansApart) {
  std::vector<std::string> texts = {make_plan(model_, options()).text()};
  const auto changed = [&](auto change) {
    QuantizeOptions given = options();
    change(given);
    texts.push_back(make_plan(model_, given).text());
  };
  changed([](QuantizeOptions& o) { o.bits = 8; });
  changed([](QuantizeOptions& o) { o.group_size = -1; });
  changed([](QuantizeOptions& o) { o.symmetric = false; });
  changed([](QuantizeOptions& o) { o.method = "rtn"; });
  changed([](QuantizeOptions& o) { o.damping = 0.02; });
  changed([](QuantizeOptions& o) { o.order = "none"; });
  changed([](QuantizeOptions& o) { o.token_weights = "none"; });
  changed([](QuantizeOptions& o) { o.calib_inputs = "original"; });
  changed([](QuantizeOptions& o) { o.scale_search = "minmax"; });
  changed([](QuantizeOptions& o) { o.skip = {"o_proj"}; });
  EXPECT_EQ(make_plan(model_, options()).text(), texts[0]);
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(std::unique(texts.begin(), texts.end()), texts.end());
}

TEST_F(PlanTest, WhatCannotBeIsRefused) {
  QuantizeOptions given = options();
  given.group_size = 24;
  EXPECT_THAT(refused(given), HasSubstr("model.layers.0.self_attn.q_proj"));
  given = options();
  given.skip = {"nothing_like_this"};
  EXPECT_THAT(refused(given), HasSubstr("matches no linear"));
  given = options();
  given.method = "magic";
  EXPECT_THAT(refused(given), HasSubstr("gptq"));
}

// A group that does not divide a module is no matter when that module stays dense.
TEST_F(PlanTest, SkippedRowsNeedNoGrid) {
  QuantizeOptions given = options();
  given.group_size = 32;  // divides 32, not 48
  EXPECT_THAT(refused(given), HasSubstr("down_proj"));
  given.skip = {"down_proj"};
  EXPECT_NO_THROW(make_plan(model_, given));
}

}  // namespace
}  // namespace halftone
