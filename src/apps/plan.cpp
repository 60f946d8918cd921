// Flags and a model become one row a linear, before anything runs.
#include "apps/plan.h"

#include <algorithm>
#include <cassert>
#include <climits>

#include "apps/dynamic_rules.h"
#include "apps/name_filter.h"
#include "base/error.h"
#include "base/progress.h"
#include "format/dense_tensors.h"
#include "format/ggml_grids.h"
#include "format/grid_limits.h"
#include "quant/grid.h"

namespace halftone {
namespace {

constexpr int64_t kSafetensorsHeader = 4096;  // a rough allowance a shard

SolverOptions solver_options(QuantizeOptions options, const Method& method, const Grid& grid) {
  choose_steps(options);
  SolverOptions solver;
  solver.fit.grid = grid;
  solver.clip = options.scale_search == "clip";
  solver.fit.search =
      solver.clip ? find_recipe(options.recipe).search : find_scale_search(options.scale_search);
  const bool of_inputs = solver.clip || solver.fit.search == ScaleSearch::importance;
  if (of_inputs && !method.needs_hessian)
    throw usage_error("--scale-search {}: --method {} looks at no text", options.scale_search,
                      method.name)
        .hint("it needs the inputs' second moments: use --method awq or gptq.");
  if (!options.order.empty()) solver.order = find_order(options.order);
  if (!options.token_weights.empty()) solver.tokens = find_token_weights(options.token_weights);
  if (solver.tokens != TokenWeights::none && !method.needs_hessian)
    throw usage_error("--token-weights {}: --method {} looks at no text", options.token_weights,
                      method.name)
        .hint("they weigh the tokens of the calibration text: use --method gptq or awq+gptq.");
  if (!options.calib_inputs.empty()) {
    if (!method.needs_hessian)
      throw usage_error("--calib-inputs {}: --method {} looks at no text", options.calib_inputs,
                        method.name)
          .hint("they are of the calibration text: use --method gptq, awq or awq+gptq.");
    solver.inputs = find_calibration_inputs(options.calib_inputs);
  }
  solver.damping = options.damping;
  return solver;
}

// The head last.
std::vector<TensorKey> linears_in_order(const ModelTensors& tensors, bool head) {
  std::vector<TensorKey> keys;
  for (const TensorKey& key : tensors.keys())
    if ((is_linear(key.role) || (head && key.role == Role::head)) && key.part == Part::weight)
      keys.push_back(key);
  const auto place = [](const TensorKey& key) {
    return std::tuple(key.layer < 0 ? INT_MAX : key.layer, stage_of(key.role), key.expert,
                      key.role);
  };
  std::stable_sort(keys.begin(), keys.end(),
                   [&](const TensorKey& a, const TensorKey& b) { return place(a) < place(b); });
  return keys;
}

// A table of a GGUF, in its own type.
void add_table([[maybe_unused]] const OpenedModel& model, const PlannedModule& table,
               std::vector<TensorKey>& counted, Plan& plan) {
  const TensorKey key{.role = table.role};
  if (table.skipped && !table.dense) return;
  counted.push_back(key);
  plan.output_bytes +=
      table.skipped
          ? table.rows * table.cols * static_cast<int64_t>(size_of(*table.dense))
          : plan.format->packed_plan(table.name, table.grid, table.rows, table.cols).front().bytes;
  assert(model.tensors->has(key));
}

// A vector of a GGUF is f32, whatever it was.
int64_t tensor_output_bytes(const OpenedModel& model, const TensorKey& key, const Plan& plan) {
  const StoredTensor& stored = model.tensors->stored(key);
  const bool vector = plan.mix != nullptr && stored.rank == 1;
  return vector ? stored.cols * static_cast<int64_t>(sizeof(float))
                : dense_output_bytes(model, key);
}

void add_sizes(const OpenedModel& model, int64_t max_file_bytes, Plan& plan) {
  double bits = 0, weights = 0;
  int64_t parameters = 0;
  std::vector<TensorKey> quantized;
  for (const PlanRow& row : plan.rows) {
    const double count = static_cast<double>(row.rows * row.cols);
    const bool dense = plan.dense || row.method.empty();
    if (is_linear(row.key.role)) {
      weights += count;
      bits += dense ? 8.0 * static_cast<double>(dense_output_bytes(model, row.key))
                    : count * row.grid.bits_per_weight(row.cols);
    }
    if (dense) continue;
    quantized.push_back(row.key);
    for (const TensorPlan& packed :
         plan.format->packed_plan(row.module, row.grid, row.rows, row.cols))
      plan.output_bytes += packed.bytes;
  }
  for (const PlannedModule& table : plan.tables) add_table(model, table, quantized, plan);
  std::sort(quantized.begin(), quantized.end());
  for (const TensorKey& key : model.tensors->keys()) {
    const auto [rows, cols] = model.tensors->shape(key);
    const bool packed = std::binary_search(quantized.begin(), quantized.end(), key);
    // A head that was tied has weights of its own only when it gets codes of its own.
    if (key.role != Role::head || !model.own_head || packed) parameters += rows * cols;
    if (!packed) plan.output_bytes += tensor_output_bytes(model, key, plan);
  }
  if (weights > 0) plan.bits_per_weight_linears = bits / weights;
  plan.bits_per_weight_file =
      8.0 * static_cast<double>(plan.output_bytes) / static_cast<double>(parameters);
  plan.in_parts = max_file_bytes > 0 && plan.output_bytes > max_file_bytes;
  plan.output_bytes += kSafetensorsHeader;
}

// The type of the model's own weights, as a type of scales.
ScaleStore stored_type(const OpenedModel& model) {
  const auto& keys = model.tensors->keys();
  const auto linear = std::find_if(keys.begin(), keys.end(),
                                   [](const TensorKey& key) { return is_linear(key.role); });
  const std::string type =
      linear == keys.end() ? std::string() : model.tensors->stored(*linear).encoding;
  return type == "f32" ? ScaleStore::f32 : type == "f16" ? ScaleStore::f16 : ScaleStore::bf16;
}

}  // namespace

int64_t dense_output_bytes(const OpenedModel& model, const TensorKey& key) {
  const StoredTensor& stored = model.tensors->stored(key);
  if (!model.checkpoint->is_gguf()) return stored.bytes;
  return stored.rows * stored.cols *
         static_cast<int64_t>(size_of(dense_type(*model.checkpoint, *model.source, stored)));
}

namespace {

// What a row of the plan becomes in a GGUF whose user has not ruled on it.
void choose_gguf_type(GgufPlan& types, PlanRow& row) {
  const auto choice = types.choose(row.key, row.cols);
  if (choice->grid)
    row.grid = *choice->grid;
  else if (row.key.role == Role::head)
    throw usage_error("--lm-head: the head's type is a dense one")
        .hint("pass a quantized --head-type (Q8_0, Q6_K …), or leave --lm-head out.");
  else
    row.skip_reason = fmt::format("no quantized type has blocks that divide {} inputs", row.cols);
}

// The mix that was named, or the one that is the grid asked for.
const GgufMix& mix_asked_for(const QuantizeOptions& options, const Grid& grid) {
  const GgufMix& mix =
      find_gguf_mix(options.gguf.type.empty() ? *ggml_type_of(grid) : options.gguf.type);
  if (is_dense_ggml(mix.type))
    throw usage_error("--gguf-type {}: is not quantized", mix.name)
        .hint("halftone convert MODEL -o OUT --format gguf writes it.");
  return mix;
}

// Ranges are clipped on grids of plain levels; ggml's other types are fitted by importance then.
void check_search(const Plan& plan, const QuantizeOptions& options) {
  const std::string& search = options.scale_search;
  if (!plan.format->ggml_types || !plan.method->needs_hessian) return;
  if (search != "clip") return;
  if (std::none_of(plan.rows.begin(), plan.rows.end(), [](const PlanRow& row) {
        return !row.method.empty() && has_plain_levels(row.grid);
      }))
    throw usage_error(
        "--scale-search {}: none of the types of this GGUF has ranges that it could clip", search)
        .hint(
            "leave it out: their scales are found by what errors in each column cost "
            "(importance).");
}

// What could be planned, but would come to nothing.
void check_sense(const Plan& plan, const QuantizeOptions& options) {
  if (options.lm_head && options.scales_only)
    throw usage_error("--lm-head: --scales-only quantizes nothing").hint("leave one of them out.");
  if (options.scales_only && plan.solver.tokens != TokenWeights::none)
    throw usage_error("--token-weights {}: the search for scales counts all tokens alike",
                      options.token_weights)
        .hint("--scales-only stops behind that search: leave one of them out.");
  if (options.scales_only && !options.calib_inputs.empty())
    throw usage_error("--calib-inputs {}: scales are searched for with the original's inputs",
                      options.calib_inputs)
        .hint("--scales-only stops behind that search: leave one of them out.");
  for (const PlanRow& row : plan.rows)
    if (row.key.role == Role::head && row.method.empty())
      throw usage_error("--lm-head: {} is left dense by {}", row.module, row.skip_reason)
          .hint("leave one of them out.");
  if (std::all_of(plan.rows.begin(), plan.rows.end(),
                  [](const PlanRow& row) { return row.method.empty(); }))
    throw usage_error("nothing is left to quantize: all {} linears are skipped", plan.rows.size())
        .hint("narrow --skip or the \"-:\" rules of --dynamic.");
  if (!options.order.empty() && rounds_alone(*plan.method))
    throw usage_error("--order {}: {} rounds each weight by itself, in no order", options.order,
                      plan.method->name)
        .hint("leave it out, or use --method gptq.");
  check_search(plan, options);
}

// What the rules, the mix or the options make of a row; some types of a GGUF leave it dense.
void choose_grid(const Format& format, const DynamicRules::Choice& choice, GgufPlan* types,
                 PlanRow& row) {
  try {
    if (types && !choice.ruled)
      choose_gguf_type(*types, row);
    else
      row.grid = format.grid(choice.grid);
    if (row.skip_reason.empty()) check_grid(row.grid, row.rows, row.cols, row.module);
  } catch (const Error& error) {
    if (!choice.ruled) throw;
    throw usage_error("--dynamic: {}: {}", row.module, error.what()).hint(error.hint());
  }
}

}  // namespace

Plan make_plan(const OpenedModel& model, const QuantizeOptions& options) {
  // A GGUF of rounded weights may be all that a user has; codes of our own kind never are.
  if (model.quantized() && !model.checkpoint->is_gguf())
    throw bad_input("{}: already quantized ({})", model.name(), model.quantization)
        .hint("quantize the model that it was made from.");
  Plan plan;
  plan.method = &find_method(options.method);
  plan.format = &find_format(options.format);
  plan.dense = options.scales_only;
  if (plan.dense && plan.method->transform == nullptr)
    throw usage_error("--scales-only: --method {} scales nothing", plan.method->name)
        .hint("use --method awq.");
  const Grid wanted = {.bits = options.bits,
                       .group_size = options.group_size,
                       .symmetric = options.symmetric,
                       .scales = stored_type(model)};
  plan.solver = solver_options(options, *plan.method, plan.format->grid(wanted));
  check_gguf_options(plan.format, options.gguf);
  std::optional<GgufPlan> types;
  if (plan.format->ggml_types) {
    plan.mix = &mix_asked_for(options, plan.solver.fit.grid);
    types.emplace(model, options.gguf, plan.mix);
  }
  NameFilter skip(options.skip, "--skip");
  DynamicRules dynamic(options.dynamic);
  for (const TensorKey& key : linears_in_order(*model.tensors, options.lm_head)) {
    PlanRow row{.key = key, .module = module_name(model.tensors->name(key))};
    std::tie(row.rows, row.cols) = model.tensors->shape(key);
    const DynamicRules::Choice choice = dynamic.choose(row.module, wanted);
    if (const std::string* pattern = skip.match(row.module)) {
      row.skip_reason = "--skip " + *pattern;
    } else if (!choice.skip.empty()) {
      row.skip_reason = "--dynamic " + choice.skip;
    } else {
      choose_grid(*plan.format, choice, types ? &*types : nullptr, row);
    }
    if (row.skip_reason.empty()) row.method = plan.method->name;
    plan.rows.push_back(std::move(row));
  }
  skip.check_all_used();
  dynamic.check_all_used();
  check_sense(plan, options);
  if (types) {
    plan.tables = plan_gguf_tables(model, *types, options.lm_head);
    plan.notes = types->notes();
  }
  if (plan.dense) {  // safetensors, whatever it is scaled for
    plan.tables.clear();
    plan.mix = nullptr;
  }
  plan.format->check(plan.modules());
  add_sizes(model, options.max_shard_bytes, plan);
  return plan;
}

void choose_steps(QuantizeOptions& options) {
  const Recipe& recipe = find_recipe(options.recipe);
  const Method& method = find_method(options.method);
  const bool of_ggml = method.needs_hessian && find_format(options.format).ggml_types;
  if (options.scale_search.empty())
    options.scale_search = of_ggml       ? name_of(ScaleSearch::importance)
                           : method.clip ? "clip"
                                         : name_of(recipe.search);
  if (!method.needs_hessian) return;
  if (options.order.empty() && !rounds_alone(method)) options.order = name_of(recipe.order);
  const bool weighs = method.weighs_tokens && !options.scales_only;
  if (options.token_weights.empty())
    options.token_weights = name_of(weighs ? recipe.tokens : TokenWeights::none);
  if (options.calib_inputs.empty() && !options.scales_only)
    options.calib_inputs = name_of(recipe.inputs);
}

std::string head_text(const OpenedModel& model, const Plan& plan) {
  for (const PlanRow& row : plan.rows) {
    if (row.key.role != Role::head || row.method.empty()) continue;
    int64_t bytes = 0;
    for (const TensorPlan& packed :
         plan.format->packed_plan(row.module, row.grid, row.rows, row.cols))
      bytes += packed.bytes;
    const std::string grid =
        plan.mix != nullptr ? std::string(*ggml_type_of(row.grid)) : halftone::grid_text(row.grid);
    const int64_t dense = model.own_head ? 0 : model.tensors->stored(row.key).bytes;
    return fmt::format("{}: {} ({:.3f} bits a weight), {}; {}", row.module, grid,
                       row.grid.bits_per_weight(row.cols), human_bytes(bytes),
                       model.own_head ? "it was the embedding, which stays: that much more in the "
                                        "file, and less to read for each token"
                                      : "dense it has " + human_bytes(dense));
  }
  return "";
}

std::vector<std::string> warnings_of(const OpenedModel& model, const Plan& plan,
                                     const QuantizeOptions& options) {
  std::vector<std::string> warnings = plan.notes;
  if (model.quantized())
    warnings.push_back(fmt::format(
        "{} holds weights that are rounded already ({}): better start from the original",
        model.name(), model.quantization));
  if (const int64_t positions = model.config().max_positions;
      positions > 0 && options.seq_len > positions)
    warnings.push_back(fmt::format("--seq-len {}: {} was made for {} positions",
                                   human_count(options.seq_len), model.name(),
                                   human_count(positions)));
  if (plan.dense && plan.format->name != QuantizeOptions().format)
    warnings.push_back(fmt::format(
        "--scales-only writes safetensors: --format {} only says what its scales are searched for; "
        "`halftone convert OUT -o ... --format {}` comes after it",
        plan.format->name, plan.format->name));
  if (const int64_t now = model.checkpoint->file_bytes(); !plan.dense && plan.output_bytes >= now)
    warnings.push_back(fmt::format("the output, {}, is no smaller than the model, {}",
                                   human_bytes(plan.output_bytes), human_bytes(now)));
  return warnings;
}

std::vector<PlannedModule> Plan::modules() const {
  std::vector<PlannedModule> modules;
  for (const PlanRow& row : rows)
    modules.push_back({.name = row.module,
                       .role = row.key.role,
                       .rows = row.rows,
                       .cols = row.cols,
                       .grid = row.grid,
                       .skipped = row.method.empty()});
  return modules;
}

bool Plan::weighs_tokens(Stage stage) const {
  return solver.tokens == TokenWeights::residual &&
         (stage == Stage::attn_in || stage == Stage::mlp_in);
}

std::vector<ReaderVerdict> Plan::readers() const {
  return dense ? std::vector<ReaderVerdict>() : format->readers(modules(), in_parts);
}

QuantizationSummary Plan::summary() const {
  std::vector<PlannedModule> all = modules();
  all.insert(all.end(), tables.begin(), tables.end());
  return {.modules = std::move(all),
          .damping = rounds_alone(*method) ? std::nullopt : std::optional(solver.damping),
          .act_order = solver.order == ColumnOrder::activation,
          .sequential = solver.inputs == CalibrationInputs::quantized,
          .method = std::string(method->name)};
}

std::string Plan::grid_text() const {
  if (mix != nullptr) return std::string(mix->name);
  const Grid main = main_grid();
  const auto others = std::count_if(rows.begin(), rows.end(), [&](const PlanRow& row) {
    return !row.method.empty() && row.grid != main;
  });
  return halftone::grid_text(main) + (others > 0 ? fmt::format(" ({} differ)", others) : "");
}

std::vector<const PlanRow*> rows_of(const Plan& plan, const StageId& id) {
  std::vector<const PlanRow*> rows;
  for (const PlanRow& row : plan.rows)
    if (row.key.layer == id.layer && stage_of(row.key.role) == id.stage && !row.method.empty())
      rows.push_back(&row);
  return rows;
}

}  // namespace halftone
