#include "apps/compare_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "apps/calibration.h"
#include "base/sha256.h"
#include "base/shell_quote.h"
#include "format/gguf_types.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

// What tells a file from the others: its name, or where that is another's too, the path as given.
std::string label_of(const std::string& path, const std::vector<std::string>& all) {
  if (path.starts_with('{')) return path;  // rules, not a file of them
  const auto name = [](const std::string& file) { return fs::path(file).filename(); };
  const auto same = std::ranges::count(all, name(path), name);
  return same > 1 ? path : name(path).string();
}

// Steps that a method has no use for are no reason to refuse its cells.
void leave_out_what_is_not_looked_at(QuantizeOptions& options) {
  const Method& method = find_method(options.method);
  if (rounds_alone(method)) options.order.clear();
  if (find_format(options.format).ggml_types)  // whose groups are their own
    options.group_size = QuantizeOptions().group_size;
  if (method.needs_hessian) return;
  options.token_weights.clear();
  options.calib_inputs.clear();
  if (options.scale_search == "clip" || options.scale_search == "importance")
    options.scale_search.clear();
}

// What weights are rounded to.
struct Width {
  int bits = 0;
  int64_t group_size = 0;
  std::string gguf_type;  // decides both; empty: they do
};

std::vector<Width> widths_of(const CompareOptions& options) {
  std::vector<Width> widths;
  for (const std::string& type : options.gguf_types)
    widths.push_back({options.quantize.bits, options.quantize.group_size,
                      std::string(find_gguf_mix(type).name)});
  if (!widths.empty()) return widths;
  for (const int bits : options.bits)
    for (const int64_t group : options.group_sizes) widths.push_back({bits, group, ""});
  return widths;
}

// The row's width is what is made: a GGUF's types have bits and groups of their own. Rules of
// single modules, which the row names, leave it as it is.
void note_width(const Plan& plan, CompareRow& row) {
  const bool gguf = plan.mix != nullptr;
  const Grid grid = gguf ? plan.main_grid() : plan.solver.fit.grid;
  row.bits = grid.bits;
  row.group_size = grid.group_size;
  if (gguf) row.gguf_type = plan.mix->name;
}

// Round-to-nearest as everybody knows it: the range of each group, no search.
void choose_cell_steps(QuantizeOptions& options) {
  if (options.method == "rtn" && options.scale_search.empty()) options.scale_search = "minmax";
  choose_steps(options);
}

void note_steps(const QuantizeOptions& options, CompareRow& row) {
  row.scale_search = options.scale_search;
  row.order = options.order;
  row.token_weights = options.token_weights;
  row.calib_inputs = options.calib_inputs;
}

// A file's name, a path or rules as part of a directory's name.
std::string part_of_name(const std::string& label) {
  constexpr size_t kLongest = 48;
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '+' || static_cast<unsigned char>(c) >= 0x80;
  };
  std::string name;
  for (const char c : label)
    if (plain(c) || (!name.empty() && name.back() != '_')) name += plain(c) ? c : '_';
  while (name.ends_with('_')) name.pop_back();
  if (name == label && name.size() <= kLongest) return name;
  size_t end = std::min(name.size(), kLongest);
  while (end > 0 && end < name.size() && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80)
    --end;  // whole characters
  return name.substr(0, end) + "-" + sha256_of(label).substr(0, 8);
}

class CellPlanner {
 public:
  CellPlanner(Backend& backend, const OpenedModel& model, const CompareOptions& options)
      : backend_(backend), model_(model), options_(options) {}

  std::vector<CompareCell> plan(std::vector<std::string>& notes) {
    std::vector<std::string> rules = {""};
    rules.insert(rules.end(), options_.dynamic.begin(), options_.dynamic.end());
    for (const Width& width : widths_of(options_))
      for (const std::string& method : options_.methods)
        for (const std::string& dynamic : rules) add_texts(width, method, dynamic);
    const bool groups_alike = find_format(options_.quantize.format).ggml_types &&
                              options_.gguf_types.empty() && options_.group_sizes.size() > 1;
    if (same_ > 0)
      notes.push_back(
          fmt::format("{} of {} cells come to what others do, and are not made again{}", same_,
                      cells_.size() + same_,
                      groups_alike ? ": the types of a GGUF have groups of their own" : ""));
    return std::move(cells_);
  }

 private:
  // A cell for each text and number of samples, or where the method looks at none, one.
  void add_texts(const Width& width, const std::string& method, const std::string& dynamic) {
    const std::vector<std::string> one = {""};
    const std::vector<std::string>& texts =
        options_.calibration.empty() ? one : options_.calibration;
    CompareRow row{.method = method};
    if (!dynamic.empty()) row.dynamic = label_of(dynamic, options_.dynamic);
    if (!find_method(method).needs_hessian) return add(row, width, texts.front(), dynamic);
    for (const std::string& text : texts)
      for (const int64_t samples : options_.samples) {
        row.calibration = texts.size() > 1 ? label_of(text, texts) : "";
        row.samples = samples;
        add(row, width, text, dynamic);
      }
  }

  void add(CompareRow row, const Width& width, const std::string& calibration,
           const std::string& dynamic) {
    CompareCell cell;
    QuantizeOptions& options = cell.options = options_.quantize;
    options.method = row.method;
    options.bits = width.bits;
    options.group_size = width.group_size;
    options.gguf.type = width.gguf_type;
    if (!calibration.empty()) options.calibration = {calibration};
    if (row.samples > 0) options.samples = row.samples;
    if (!dynamic.empty()) options.dynamic.push_back(dynamic);
    leave_out_what_is_not_looked_at(options);
    QuantizeOptions usual = options;
    usual.order = usual.token_weights = usual.calib_inputs = usual.scale_search = "";
    choose_cell_steps(usual);
    choose_cell_steps(options);
    settle(options, backend_);
    cell.plan = make_plan(model_, options);
    if (std::ranges::any_of(cells_, [&](const CompareCell& other) { return same(cell, other); })) {
      ++same_;
      return;
    }
    note_width(cell.plan, row);
    note_steps(options, row);
    CompareRow plain;
    note_steps(usual, plain);
    cell.directory = directory_of(row, plain);
    cell.row = std::move(row);
    cells_.push_back(std::move(cell));
  }

  static bool same(const CompareCell& a, const CompareCell& b) {
    return a.options.calibration == b.options.calibration &&
           a.options.samples == b.options.samples && a.plan.text() == b.plan.text();
  }

  Backend& backend_;
  const OpenedModel& model_;
  const CompareOptions& options_;
  std::vector<CompareCell> cells_;
  size_t same_ = 0;
};

}  // namespace

std::vector<CompareCell> plan_cells(Backend& backend, const OpenedModel& model,
                                    const CompareOptions& options,
                                    std::vector<std::string>& notes) {
  return CellPlanner(backend, model, options).plan(notes);
}

std::string directory_of(const CompareRow& row, const CompareRow& usual) {
  std::string name = row.gguf_type.empty()
                         ? fmt::format("{}-{}bit-g{}", row.method, row.bits, row.group_size)
                         : fmt::format("{}-{}", row.method, row.gguf_type);
  if (row.samples > 0) name += fmt::format("-{}x", row.samples);
  const auto add_step = [&](const char* step, const std::string& taken, const std::string& other) {
    if (taken != other) name += fmt::format("-{}-{}", step, taken);
  };
  add_step("order", row.order, usual.order);
  add_step("tokens", row.token_weights, usual.token_weights);
  add_step("inputs", row.calib_inputs, usual.calib_inputs);
  add_step("search", row.scale_search, usual.scale_search);
  for (const std::string& label : {row.calibration, row.dynamic})
    if (!label.empty()) name += "-" + part_of_name(label);
  return name;
}

std::string settings_text(const QuantizeOptions& options) {
  const QuantizeOptions usual;
  std::vector<std::string> texts;
  if (options.format != usual.format) texts.push_back("--format " + options.format);
  const auto add = [&](const std::string& option, const std::string& value) {
    if (!value.empty()) texts.push_back(option + " " + shell_quoted(value));
  };
  add("--embedding-type", options.gguf.embedding_type);
  add("--head-type", options.gguf.head_type);
  if (!options.symmetric) texts.emplace_back("--asym");
  if (options.lm_head) texts.emplace_back("--lm-head");
  for (const std::string& pattern : options.skip) add("--skip", pattern);
  if (options.damping != usual.damping) texts.push_back(fmt::format("--damp {}", options.damping));
  add("--order", options.order);
  add("--token-weights", options.token_weights);
  add("--calib-inputs", options.calib_inputs);
  add("--scale-search", options.scale_search);
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace halftone
