// The tables of methods and recipes, and finding a row by its name.
#include "quant/method.h"

#include <cassert>

#include "base/error.h"
#include "quant/awq.h"
#include "quant/gptq.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

constexpr Method kMethods[] = {
    {.name = "gptq",
     .summary = "each column's rounding error spread over the columns to come",
     .needs_hessian = true,
     .transform = nullptr,
     .solve = solve_gptq,
     .in_order = true,
     .weighs_tokens = true},
    {.name = "awq",
     .summary = "channels scaled by their activations, then rounded to nearest",
     .needs_hessian = true,
     .transform = search_awq_scales,
     .solve = solve_rtn,
     .clip = true},
    {.name = "awq+gptq",
     .summary = "awq's channel scales and ranges, then gptq",
     .needs_hessian = true,
     .transform = search_awq_scales,
     .solve = solve_gptq,
     .clip = true,
     .in_order = true,
     .weighs_tokens = true},
    {.name = "rtn",
     .summary = "round to nearest: no calibration",
     .needs_hessian = false,
     .transform = nullptr,
     .solve = solve_rtn},
};

constexpr Recipe kRecipes[] = {
    {"fast", "scales by search, static groups, activation order, tokens weighed by their residual",
     ScaleSearch::power, ColumnOrder::activation, TokenWeights::residual,
     CalibrationInputs::quantized},
};

// A value of an option, and what it is called there.
template <class Value>
struct Named {
  std::string_view name;
  Value value;
};
constexpr Named<ColumnOrder> kOrders[] = {{"act", ColumnOrder::activation},
                                          {"none", ColumnOrder::none}};
constexpr Named<TokenWeights> kTokenWeights[] = {{"residual", TokenWeights::residual},
                                                 {"none", TokenWeights::none}};
constexpr Named<CalibrationInputs> kInputs[] = {{"quantized", CalibrationInputs::quantized},
                                                {"original", CalibrationInputs::original}};
constexpr Named<ScaleSearch> kSearches[] = {{"importance", ScaleSearch::importance},
                                            {"power", ScaleSearch::power},
                                            {"minmax", ScaleSearch::minmax}};

template <class Value, size_t count>
std::string_view name_in(const Named<Value> (&table)[count], Value value) {
  for (const Named<Value>& row : table)
    if (row.value == value) return row.name;
  assert(false);
  return {};
}

// The row of a table by its name, or a usage error that lists the names.
template <class Row, size_t count>
const Row& find(const Row (&table)[count], std::string_view option, std::string_view name) {
  std::string known;
  for (const Row& row : table) {
    if (row.name == name) return row;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  throw usage_error("{} {}: not known", option, name).hint(fmt::format("known: {}.", known));
}

}  // namespace

bool rounds_alone(const Method& method) { return method.solve == solve_rtn; }
std::span<const Method> methods() { return kMethods; }
std::span<const Recipe> recipes() { return kRecipes; }

const Method& find_method(std::string_view name) { return find(kMethods, "--method", name); }
const Recipe& find_recipe(std::string_view name) { return find(kRecipes, "--recipe", name); }
ColumnOrder find_order(std::string_view name) { return find(kOrders, "--order", name).value; }
TokenWeights find_token_weights(std::string_view name) {
  return find(kTokenWeights, "--token-weights", name).value;
}
CalibrationInputs find_calibration_inputs(std::string_view name) {
  return find(kInputs, "--calib-inputs", name).value;
}
ScaleSearch find_scale_search(std::string_view name) {
  return find(kSearches, "--scale-search", name).value;
}

std::string_view search_name(const SolverOptions& options) {
  return options.clip ? "clip" : name_of(options.fit.search);
}
std::string_view name_of(ColumnOrder order) { return name_in(kOrders, order); }
std::string_view name_of(ScaleSearch search) { return name_in(kSearches, search); }
std::string_view name_of(TokenWeights weights) { return name_in(kTokenWeights, weights); }
std::string_view name_of(CalibrationInputs inputs) { return name_in(kInputs, inputs); }

}  // namespace halftone
