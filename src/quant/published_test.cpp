// solve_gptq against the published algorithm in double precision: every bit width, both grids, both
// orders, group sizes down to one a row, and Hessians that are hard to factor, on every backend.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "backend/backend_fixture.h"
#include "quant/published_cases.h"

namespace halftone {
namespace {

using check_gptq::Case;

class PublishedGptq : public BackendFixture {
 protected:
  SolveReport expect_agreement(const Case& c) {
    SCOPED_TRACE(fmt::format("{}, {} bits, {}, groups of {}, {}, damping {}", c.inputs, c.grid.bits,
                             c.grid.symmetric ? "symmetric" : "asymmetric", c.grid.group_size,
                             c.order == ColumnOrder::none ? "no order" : "activation order",
                             c.damping));
    const check_gptq::Outcome outcome = check_gptq::run_case(*backend_, c);
    EXPECT_EQ(outcome.wrong_rows, 0) << "worst " << outcome.worst;
    EXPECT_NEAR(outcome.relative_error / outcome.published_error, 1, 1e-5);
    EXPECT_NEAR(outcome.report.relative_error.value() / outcome.relative_error, 1, 1e-4);
    EXPECT_EQ(outcome.report.note.find("fell back"), std::string::npos) << outcome.report.note;
    tie_rows_ += outcome.tie_rows;
    rows_ += c.rows;
    return outcome.report;
  }

  int64_t tie_rows_ = 0, rows_ = 0;
};

TEST_P(PublishedGptq, EveryGridAndOrder) {
  uint64_t seed = 0;
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false})
      for (const ColumnOrder order : {ColumnOrder::activation, ColumnOrder::none})
        for (const int64_t group : {32, -1})
          for (const std::string_view inputs : check_gptq::kInputKinds)
            expect_agreement({.inputs = inputs,
                              .grid = {bits, group, symmetric, ScaleStore::f16},
                              .search = ScaleSearch::minmax,
                              .order = order,
                              .seed = ++seed});
  EXPECT_LE(tie_rows_, rows_ / 100);
}

TEST_P(PublishedGptq, SearchedScales) {
  for (const std::string_view inputs : check_gptq::kInputKinds)
    expect_agreement({.inputs = inputs, .grid = {4, 80, true, ScaleStore::f16}, .seed = 77});
}

// Damping so small that f32 could not factor exactly enough.
TEST_P(PublishedGptq, TinyDamping) {
  for (const std::string_view inputs : {"condition 1e12", "few tokens", "duplicated"}) {
    const SolveReport report = expect_agreement({.inputs = inputs,
                                                 .grid = {4, 32, true, ScaleStore::f16},
                                                 .search = ScaleSearch::minmax,
                                                 .damping = 1e-5,
                                                 .seed = 5});
    EXPECT_EQ(report.note, "") << inputs;
    EXPECT_EQ(report.damping, 1e-5);
  }
}

// Several blocks of 128 columns, the last one narrow; the factor in f64, and in f32 as large ones.
TEST_P(PublishedGptq, SeveralBlocks) {
  for (const int64_t exact_inputs : {Factor::kExactInputs, int64_t{0}})
    expect_agreement({.inputs = "condition 1e8",
                      .grid = {4, 129, true, ScaleStore::f16},
                      .search = ScaleSearch::minmax,
                      .rows = 5,
                      .cols = 387,
                      .exact_inputs = exact_inputs});
}

INSTANTIATE_TEST_SUITE_P(Backends, PublishedGptq, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone
