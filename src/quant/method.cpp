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
    {"gptq", "each column's rounding error spread over the columns to come", true, nullptr,
     solve_gptq},
    {"awq", "channels scaled by their activations, then rounded to nearest", true,
     search_awq_scales, solve_rtn, true},
    {"awq+gptq", "awq's channel scales and ranges, then gptq", true, search_awq_scales, solve_gptq,
     true},
    {"rtn", "round to nearest: no calibration", false, nullptr, solve_rtn},
};

constexpr Recipe kRecipes[] = {
    {"fast", "scales by search, static groups, activation order", ScaleSearch::power,
     ColumnOrder::activation},
};

struct NamedOrder {
  std::string_view name;
  ColumnOrder value;
};
constexpr NamedOrder kOrders[] = {{"act", ColumnOrder::activation}, {"none", ColumnOrder::none}};

struct NamedSearch {
  std::string_view name;
  ScaleSearch value;
};
constexpr NamedSearch kSearches[] = {{"importance", ScaleSearch::importance},
                                     {"power", ScaleSearch::power},
                                     {"minmax", ScaleSearch::minmax}};

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

std::span<const Method> methods() { return kMethods; }
std::span<const Recipe> recipes() { return kRecipes; }

const Method& find_method(std::string_view name) { return find(kMethods, "--method", name); }
const Recipe& find_recipe(std::string_view name) { return find(kRecipes, "--recipe", name); }
ColumnOrder find_order(std::string_view name) { return find(kOrders, "--order", name).value; }
ScaleSearch find_scale_search(std::string_view name) {
  return find(kSearches, "--scale-search", name).value;
}

std::string_view search_name(const SolverOptions& options) {
  if (options.clip) return "clip";
  for (const NamedSearch& search : kSearches)
    if (search.value == options.fit.search) return search.name;
  assert(false);
  return {};
}

}  // namespace halftone
