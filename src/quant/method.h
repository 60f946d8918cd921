// Methods and recipes as tables: a method is a transform of the dense weights, or none, and a
// solver; a recipe the steps around them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "base/profile.h"
#include "quant/device_matrix.h"
#include "quant/hessian.h"
#include "quant/transform.h"
#include "tensor/quantized.h"

namespace halftone {

enum class ColumnOrder : uint8_t { none, activation };  // --order none|act
// --token-weights none|residual: what a calibration token counts in the Hessian of a block's
// linears behind a norm of the residual stream: all alike, or as large as the residual
// (docs/methods.md §6).
enum class TokenWeights : uint8_t { none, residual };

// --calib-inputs quantized|original: the inputs that a linear's Hessian is made of, as the network
// that will run has them, whose linears before this one are quantized ("true sequential"), or as
// the original has them (docs/methods.md §6).
enum class CalibrationInputs : uint8_t { quantized, original };

// Everything that a solver needs to know beside the matrix.
class GroupMoments;
struct SolverOptions {
  GridFit fit;  // grid, scale search
  ColumnOrder order = ColumnOrder::activation;
  TokenWeights tokens = TokenWeights::none;
  CalibrationInputs inputs = CalibrationInputs::quantized;
  double damping = 0.01;  // of the mean of H's diagonal
  int64_t block = 128;    // columns between two trailing updates
  // Ranges shrunk by the error at the output instead of fit.search (quant/clip.h), where moments of
  // the input are given.
  bool clip = false;
  const GroupMoments* moments = nullptr;
  Profile* profile = nullptr;
};

// The state that linears with the same input share: the factor is computed once.
class Factor;

// What one matrix came to.
struct SolveReport {
  std::optional<double> relative_error;  // tr(Δ H Δᵀ) / tr(W H Wᵀ); none without a Hessian
  double energy = 0;                     // tr(W H Wᵀ), where relative_error is there
  double damping = 0;                    // used, as a fraction of the mean diagonal
  int dead_columns = 0;                  // inputs that calibration never moved
  std::string note;  // "factored in f64; damping raised to 0.04", "fell back to rtn: …"
};

struct SolveResult {
  DeviceMatrix matrix;
  SolveReport report;
};

// weight (out, in) f32 on the device; factor is null for methods that need no Hessian.
using Solver = SolveResult (*)(Backend&, ConstView weight, const Factor* factor,
                               const SolverOptions&);

struct Method {
  std::string_view name, summary;
  bool needs_hessian;
  Transform transform;  // of the whole model, before anything is rounded; null: none
  Solver solve;
  bool clip = false;           // instead of the recipe's scale search
  bool in_order = false;       // columns as the recipe orders them, with a damped Hessian
  bool weighs_tokens = false;  // as the recipe has it
};
// Each weight, rather than one column after another in some order.
bool rounds_alone(const Method& method);
std::span<const Method> methods();
const Method& find_method(std::string_view name);  // throws Error(usage), lists the known

// Steps around the solver; each can be switched on by itself.
struct Recipe {
  std::string_view name, summary;
  ScaleSearch search;
  ColumnOrder order;
  TokenWeights tokens;
  CalibrationInputs inputs;
};
std::span<const Recipe> recipes();
const Recipe& find_recipe(std::string_view name);

// The values of --order, --token-weights, --calib-inputs and --scale-search; throw Error(usage),
// list the known.
ColumnOrder find_order(std::string_view name);
TokenWeights find_token_weights(std::string_view name);
CalibrationInputs find_calibration_inputs(std::string_view name);
ScaleSearch find_scale_search(std::string_view name);
// Their names, or "clip", for people and fingerprints.
std::string_view search_name(const SolverOptions& options);
std::string_view name_of(ColumnOrder order);
std::string_view name_of(TokenWeights weights);
std::string_view name_of(CalibrationInputs inputs);
std::string_view name_of(ScaleSearch search);

}  // namespace halftone
