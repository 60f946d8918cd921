// check_gptq [DEVICE] [--large]: solves random problems with src/quant and with the published
// algorithm in double precision, and prints how they compare: one line for each kind of input, over
// all bit widths, both grids, both orders and three group sizes. Exits with 1 when a row disagrees.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "quant/published_cases.h"

namespace {

using namespace halftone;
using check_gptq::Case;

// What came out of all cases of one kind.
struct Tally {
  int cases = 0;
  int64_t equal = 0, ties = 0, wrong = 0;
  double worst = 0;     // distance of a differing code from a half-way point, in steps
  double error = 0;     // |tr(Δ H Δᵀ) / published − 1|
  double reported = 0;  // |reported relative error / exact − 1|
  int fallbacks = 0;
};

void add(const check_gptq::Outcome& outcome, Tally& tally) {
  ++tally.cases;
  const double reported =
      std::abs(outcome.report.relative_error.value() / outcome.relative_error - 1);
  tally.reported = std::max(tally.reported, reported);
  if (outcome.report.note.find("fell back") != std::string::npos) {
    ++tally.fallbacks;
    return;
  }
  tally.equal += outcome.equal_rows;
  tally.ties += outcome.tie_rows;
  tally.wrong += outcome.wrong_rows;
  tally.worst = std::max(tally.worst, outcome.worst);
  tally.error =
      std::max(tally.error, std::abs(outcome.relative_error / outcome.published_error - 1));
}

Tally check(Backend& backend, std::string_view inputs, const Case& size, double damping) {
  Tally tally;
  Case c = size;
  c.inputs = inputs;
  c.damping = damping;
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false})
      for (const ColumnOrder order : {ColumnOrder::activation, ColumnOrder::none})
        for (const int64_t group : {size.cols / 9, size.cols / 3, int64_t{-1}}) {
          c.grid = {bits, group, symmetric, ScaleStore::f16};
          c.order = order;
          c.search = bits == 4 ? ScaleSearch::power : ScaleSearch::minmax;
          ++c.seed;
          add(run_case(backend, c), tally);
        }
  return tally;
}

int run(int argc, char** argv) {
  std::string device = "auto";
  Case size{.rows = 32, .cols = 288};
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--large") == 0)
      size = {.rows = 64, .cols = 576};
    else
      device = argv[i];
  }
  const std::unique_ptr<Backend> backend = make_backend(device, {});
  fmt::print("{}: {}; {} x {} weights; a code may differ within 1e-3 steps of a tie\n",
             backend->info().backend, backend->info().device, size.rows, size.cols);
  fmt::print("{:<16}{:>8}{:>7}{:>8}{:>6}{:>7}{:>10}{:>11}{:>11}{:>7}\n", "inputs", "damping",
             "cases", "equal", "ties", "wrong", "worst", "tr", "reported", "to rtn");
  int64_t wrong = 0;
  for (const double damping : {0.01, 1e-4})
    for (const std::string_view inputs : check_gptq::kInputKinds) {
      const Tally t = check(*backend, inputs, size, damping);
      fmt::print("{:<16}{:>8}{:>7}{:>8}{:>6}{:>7}{:>10.1e}{:>11.1e}{:>11.1e}{:>7}\n", inputs,
                 damping, t.cases, t.equal, t.ties, t.wrong, t.worst, t.error, t.reported,
                 t.fallbacks);
      wrong += t.wrong;
    }
  fmt::print("{}\n", wrong == 0 ? "every row agrees" : fmt::format("{} rows disagree", wrong));
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const halftone::Error& error) {
    fmt::print(stderr, "check_gptq: {}\n", error.what());
    return static_cast<int>(error.exit());
  }
}
