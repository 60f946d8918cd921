// One linear of a stage, from its file to its codes. Rows are independent of each other, so that a
// matrix as tall as a head is loaded and solved panel after panel.
#pragma once

#include <functional>
#include <map>
#include <span>

#include "apps/plan.h"
#include "quant/clip.h"
#include "quant/factor.h"
#include "quant/method.h"

namespace halftone {

// What a search of clipped ranges looks at, by the groups' width.
using StageMoments = std::map<int64_t, GroupMoments>;
// Of these linears' input, while its Hessian is there.
StageMoments moments_of(Backend& backend, const Hessian& hessian,
                        std::span<const PlanRow* const> rows);

struct LinearSolver {
  Backend& backend;
  const SolverOptions& options;
  // The weight's rows from `row_begin` on, to the device in f32.
  std::function<void(const TensorKey&, int64_t row_begin, View rows)> load;
  Profile* profile = nullptr;

  // Throws Error(bad_input) for weights that are not finite.
  SolveResult solve(const PlanRow& row, const Factor* factor, const StageMoments& moments) const;

  // Rows that are loaded and solved at a time: all but of a head.
  static int64_t panel_rows(const Backend& backend, const TensorKey& key, int64_t rows,
                            int64_t cols);

 private:
  SolveResult solve_rows(const PlanRow& row, const SolverOptions& how, const Factor* factor,
                         int64_t begin, int64_t end) const;
};

}  // namespace halftone
