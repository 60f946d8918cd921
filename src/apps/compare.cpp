// Cells one after the other; what they share is done once: tokenized windows, the original's side
// of the measurement, and the pass through the original model in which a transform finds its
// factors. Other Hessians are not shared: a cell's are those of its own quantized layers.
#include "apps/compare.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "apps/calibration.h"
#include "apps/compare_cells.h"
#include "apps/quantize_output.h"
#include "base/clock.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hush.h"
#include "base/log.h"
#include "base/memory_usage.h"
#include "base/progress.h"
#include "base/shell_quote.h"
#include "base/temporary_directory.h"
#include "io/journal.h"
#include "text/chat_record.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

// "made with damp = 0.05, not damp = 0.01": the first settings that are not the other's.
std::string difference_of(const std::string& made, const std::string& wanted) {
  const auto lines_of = [](const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  };
  const auto first_missing = [](const auto& from, const auto& in) -> std::string {
    for (const std::string& line : from)
      if (std::ranges::find(in, line) == in.end()) return line;
    return "";
  };
  const auto there = lines_of(made), here = lines_of(wanted);
  const std::string one = first_missing(there, here), other = first_missing(here, there);
  if (one.empty()) return fmt::format("made without {}", other);
  return fmt::format("made with {}", one) + (other.empty() ? "" : ", not " + other);
}

// What transforms find is kept in `path` until all cells are made. Of another model, program or
// device it is begun anew.
Journal open_scales(const std::string& path, const Journal::Fingerprint& fingerprint) {
  {
    Journal there = Journal::open(path, true);
    if (there.fresh() || there.fingerprint() == fingerprint) {
      there.identify(fingerprint);
      return there;
    }
  }
  Journal::discard(path);
  return Journal::open(path, fingerprint, false);
}

void check_directory(const std::string& directory) {
  if (fs::exists(directory) && !fs::is_directory(directory))
    throw usage_error("-o {}: is a file", directory)
        .hint("pass a directory: each cell's model goes to one of its own in it.");
}

void make_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw bad_input("-o {}: cannot be made: {}", directory, error.message());
}

class Comparer {
 public:
  Comparer(Backend& backend, const OpenedModel& model, const CompareOptions& options)
      : backend_(backend),
        model_(model),
        options_(options),
        tokenizer_(Tokenizer::load(model.checkpoint->metadata())) {}

  Comparison run();

 private:
  const Calibration& calibration_of(const CompareCell& cell);
  void place_cells(const std::string& parent);
  void run_cells(const std::string& parent);
  void run_cell(CompareCell& cell, SharedBase& base);
  bool same_settings(const CompareCell& cell) const;
  bool changed_since(const CompareCell& cell) const;
  bool to_be_made(const CompareCell& cell) const {
    return !same_settings(cell) || changed_since(cell);
  }
  Journal::Fingerprint fingerprint_of_scales() const;
  SharedWork shared_by(const CompareCell& cell);
  void check_place_of(const CompareCell& cell) const;
  void quantize_cell(CompareCell& cell);
  std::string progress_line(const CompareCell& cell) const;
  [[noreturn]] void give_up(const Error& error, const std::string& parent) const;

  Backend& backend_;
  const OpenedModel& model_;
  const CompareOptions& options_;
  const Tokenizer tokenizer_;
  std::vector<CompareCell> cells_;
  std::map<std::string, Calibration> calibrations_;  // by file and number of samples
  std::optional<Journal> scales_;                    // where a cell's method has a transform
  Comparison result_;
};

// The same windows for all cells of a text and a number: read and tokenized once.
const Calibration& Comparer::calibration_of(const CompareCell& cell) {
  std::string key = std::to_string(cell.row.samples);
  for (const std::string& path : cell.options.calibration) key += "\n" + path;
  const auto found = calibrations_.find(key);
  if (found != calibrations_.end()) return found->second;
  return calibrations_
      .emplace(key, read_calibration(tokenizer_, cell.plan, cell.options,
                                     ChatReader(model_.checkpoint->metadata())))
      .first->second;
}

std::string Comparer::progress_line(const CompareCell& cell) const {
  const auto number = &cell - cells_.data() + 1;
  std::string text = fmt::format("Cell {}/{}  {}, {}", number, cells_.size(), cell.row.method,
                                 cell.plan.grid_text());
  if (cell.row.samples > 0) text += ", " + count_text(cell.row.samples, "sample");
  for (const std::string& file : {cell.row.calibration, cell.row.dynamic})
    if (!file.empty()) text += ", " + file;
  return text;
}

void Comparer::run_cell(CompareCell& cell, SharedBase& base) {
  spdlog::info("{}", progress_line(cell));
  const bool made = same_settings(cell);
  if (!made || changed_since(cell)) {
    cell.options.force = made;
    quantize_cell(cell);
  }
  {
    const OpenedModel quantized = open_model(cell.options.output);
    EvaluateOptions evaluation = options_.evaluate;
    evaluation.shared_base = &base;
    cell.row.evaluation = evaluate(backend_, quantized, &model_, options_.text, evaluation);
  }
  for (const std::string& note : cell.row.evaluation.notes)
    if (std::find(result_.notes.begin(), result_.notes.end(), note) == result_.notes.end())
      result_.notes.push_back(note);
  if (result_.rows.empty()) result_.base = base_of(cell.row.evaluation);
  if (options_.directory.empty()) {
    fs::remove_all(cell.options.output);
    fs::remove(cell.options.output + ".log.jsonl");
  }
  result_.rows.push_back(std::move(cell.row));
}

// An earlier comparison that kept its models may have been interrupted, or had fewer cells.
bool Comparer::same_settings(const CompareCell& cell) const {
  const std::string made = cell.options.output + "/quantize.toml";
  return fs::exists(made) && read_file(made) == reproduction_config(cell.options, model_);
}

// Texts and weights, after the model was made: something else comes out of them. Rules are among
// the settings.
bool Comparer::changed_since(const CompareCell& cell) const {
  std::set<std::string> sources(cell.options.calibration.begin(), cell.options.calibration.end());
  for (const ContainerEntry& entry : model_.checkpoint->entries()) sources.insert(entry.file);
  const auto time = fs::last_write_time(cell.options.output + "/quantize.toml");
  return std::ranges::any_of(sources, [&](const std::string& path) {
    return fs::exists(path) && fs::last_write_time(path) > time;
  });
}

// Only what has these settings is gone on with, or replaced; said before hours of other cells.
void Comparer::check_place_of(const CompareCell& cell) const {
  const std::string& place = cell.options.output;
  if (!fs::exists(place) || fs::exists(place + ".journal") || same_settings(cell)) return;
  const std::string made = place + "/quantize.toml";
  const std::string what =
      fs::exists(made) ? difference_of(read_file(made), reproduction_config(cell.options, model_))
                       : "it holds no quantize.toml";
  throw usage_error("{} exists, and is not this comparison's: {}", place, what)
      .hint(fmt::format("remove it (rm -r {}), or pass another -o.", shell_quoted(place)));
}

void Comparer::quantize_cell(CompareCell& cell) {
  cell.options.resume = fs::exists(cell.options.output + ".journal");
  const QuantizeOutcome outcome = [&] {
    const Hush hush;  // what it would say, the table says
    return quantize(backend_, model_, cell.options, shared_by(cell));
  }();
  cell.row.seconds = outcome.seconds;
  cell.row.peak_memory_bytes = outcome.peak_memory_bytes;
  if (cell.row.samples > 0) cell.row.samples = outcome.samples;
}

Journal::Fingerprint Comparer::fingerprint_of_scales() const {
  const QuantizeOptions& options = options_.quantize;
  return {{"model", model_.checkpoint->stamp()},
          {"seq-len", std::to_string(options.seq_len)},
          {"sequences", options.sequences},
          {"backend", backend_.info().backend + " " + backend_.info().instructions},
          {"compute type", std::string(name_of(compute_dtype(options.dtype, backend_)))},
          {"program", options.program_version}};
}

// The first cell of a text to search for its scales does so for all that come after it.
SharedWork Comparer::shared_by(const CompareCell& cell) {
  SharedWork shared{.calibration = &calibration_of(cell)};
  if (cell.plan.method->transform == nullptr) return shared;
  shared.scales = &*scales_;
  for (const CompareCell* later = &cell + 1; later != cells_.data() + cells_.size(); ++later)
    if (later->plan.method->transform != nullptr && &calibration_of(*later) == shared.calibration &&
        to_be_made(*later))
      shared.later.push_back(&later->plan);
  return shared;
}

void Comparer::place_cells(const std::string& parent) {
  for (CompareCell& cell : cells_) {
    cell.options.output = parent + "/" + cell.directory;
    check_place_of(cell);
  }
}

// Throws `error`, which is being handled; of a lack that can be mended it says what is left to go
// on from.
void Comparer::give_up(const Error& error, const std::string& parent) const {
  const bool stopped = error.exit() == Exit::interrupted, kept = !options_.directory.empty();
  if (!stopped && error.exit() != Exit::resources) throw;
  const std::string cell = fmt::format("cell {} of {}", result_.rows.size() + 1, cells_.size());
  std::string hint = stopped ? "" : error.hint();
  if (hint.ends_with('.')) hint.back() = ';';
  if (!hint.empty()) hint += ' ';
  hint += kept ? fmt::format("the same command goes on from what is in {}.", parent)
               : "nothing is left behind; with -o DIR the same command would go on from it.";
  throw Error(error.exit(),
              stopped ? "stopped in " + cell : fmt::format("{} (in {})", error.what(), cell))
      .hint(hint);
}

void Comparer::run_cells(const std::string& parent) {
  const std::string scales = parent + "/channel-scales.journal";
  if (std::ranges::any_of(
          cells_, [](const CompareCell& cell) { return cell.plan.method->transform != nullptr; }))
    scales_.emplace(open_scales(scales, fingerprint_of_scales()));
  try {
    SharedBase base(backend_, model_, options_.evaluate, parent);
    for (CompareCell& cell : cells_) run_cell(cell, base);
  } catch (const Error& error) {
    if (scales_ && scales_->fresh()) scales_->remove();
    give_up(error, parent);
  }
  scales_.reset();
  Journal::discard(scales);
}

Comparison Comparer::run() {
  check_directory(options_.directory);
  cells_ = plan_cells(backend_, model_, options_, result_.notes);
  check_text(model_, options_.text, options_.evaluate);
  for (const CompareCell& cell : cells_)
    calibration_of(cell);  // too short a text is said before hours
  std::optional<TemporaryDirectory> temporary;
  std::string parent = options_.directory;
  if (parent.empty()) {
    check_creatable((fs::current_path() / ".halftone-compare").string());
    temporary.emplace(fs::current_path(), ".halftone-compare-");
    parent = temporary->path();
  } else {
    make_directory(parent);
  }
  place_cells(parent);
  if (const std::string settings = settings_text(options_.quantize); !settings.empty())
    result_.notes.push_back("all cells: " + settings);
  run_cells(parent);
  return std::move(result_);
}

}  // namespace

Comparison compare(Backend& backend, const OpenedModel& model, const CompareOptions& options) {
  return Comparer(backend, model, options).run();
}

}  // namespace halftone
