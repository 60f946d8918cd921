// Stage by stage: files, what they say of their quantization, configuration against tensors, the
// label of GPTQ's zeros, values, tokenizer; then the runtimes.
#include "apps/doctor_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>

#include "apps/doctor_files.h"
#include "apps/doctor_foreign.h"
#include "apps/doctor_values.h"
#include "apps/open_model.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/shell_quote.h"
#include "format/gptq_label.h"
#include "format/open_weights.h"
#include "format/stated_quantization.h"
#include "model/arch_table.h"
#include "model/weights.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

class Examination {
 public:
  Examination(const std::string& model, const DoctorOptions& options)
      : model_(model), options_(options) {}

  ModelDiagnosis run() {
    if (attempt("files", [&] { open_files(); })) {
      bool opened = attempt("quantization", [&] { open_quantization(); });
      if (opened && weights_.source) {
        opened = attempt("configuration", [&] { check_configuration(); });
        attempt("zero points", [&] { weigh_label(); });
        attempt("zero points", [&] { check_symmetry(); });
        check_order();
        attempt("values", [&] { check_values(); });
      }
      attempt("tokenizer", [&] { check_tokenizer(); });
      attempt("chat template", [&] { ChatTemplate::load(checkpoint_->metadata()); });
      if (opened) diagnosis_.runtimes = runtime_table(facts_);
    }
    return std::move(diagnosis_);
  }

 private:
  // Turns what a stage throws into a finding; false when it threw.
  template <class Stage>
  bool attempt(const char* subject, Stage&& stage) {
    try {
      stage();
      return true;
    } catch (const Error& error) {
      if (error.exit() != Exit::bad_input) throw;
      add(Health::broken, subject, error.what(), error.hint());
      return false;
    }
  }
  void add(Health health, const char* subject, std::string text, std::string hint = "") {
    diagnosis_.findings.push_back({health, subject, std::move(text), std::move(hint)});
  }

  void open_files();
  void open_quantization();
  void check_agreement();
  void check_configuration();
  void weigh_label();
  void report_label(const LabelEvidence& evidence, const std::string& origin);
  void check_symmetry();
  void check_order();
  void check_values();
  void check_tokenizer();
  std::string stop_tokens_text() const;

  std::string model_;
  DoctorOptions options_;
  ModelDiagnosis diagnosis_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::optional<StatedQuantization> stated_;
  OpenedWeights weights_;
  int64_t vocabulary_ = 0;  // 0: not known
  CheckpointFacts facts_;
};

void Examination::open_files() {
  diagnosis_.name = model_;
  checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(model_));
  diagnosis_.name = checkpoint_->name();
  diagnosis_.path = checkpoint_->path();
  std::set<std::string> files;
  for (const ContainerEntry& entry : checkpoint_->entries()) files.insert(entry.file);
  add(Health::good, "files",
      fmt::format("{}, {}: headers, bounds and all {} tensors in place",
                  count_text(static_cast<int64_t>(files.size()), "file"),
                  human_bytes(checkpoint_->file_bytes()),
                  human_count(static_cast<int64_t>(checkpoint_->entries().size()))));
  if (const auto strays = stray_weight_files(*checkpoint_); !strays.empty())
    add(Health::note, "files", fmt::format("also here, and not read: {}", fmt::join(strays, ", ")),
        "a loader that takes every weight file of a directory mixes them.");
}

void Examination::open_quantization() {
  if (!checkpoint_->is_gguf()) stated_ = find_stated_quantization(*checkpoint_);
  facts_.format = checkpoint_->is_gguf() ? "gguf" : stated_ ? stated_->method : "safetensors";
  if (stated_) {
    if (const auto foreign = foreign_quantization(*stated_)) {
      facts_.format = foreign->format;
      add(Health::note, "quantization",
          fmt::format("{}, made by {}: not read or written here; only files and tokenizer were "
                      "looked at",
                      foreign->text, foreign->writers));
      return;
    }
  }
  weights_ = open_weights(*checkpoint_);
  add(Health::good, "quantization",
      weights_.quantization.empty() ? "none: dense" : weights_.quantization);
  check_agreement();
  if (facts_.format == "gptq") facts_.format = name_of(read_gptq_config(*stated_).version);
  for (const StoredTensor& tensor : weights_.source->tensors()) {
    facts_.bf16 |= tensor.encoding == "bf16";
    facts_.act_order |= tensor.permuted;
  }
  std::set<std::string> files;
  for (const ContainerEntry& entry : checkpoint_->entries()) files.insert(entry.file);
  facts_.in_parts = files.size() > 1;
}

// The tensors have been found to fit the file that is believed.
void Examination::check_agreement() {
  if (!stated_ || stated_->differing.empty()) return;
  // MLX's two places are both in config.json.
  if (!stated_->differs_in_size || stated_->method == "mlx")
    return add(
        Health::note, "quantization",
        fmt::format("{}, and otherwise in config.json: {}; which counts depends on the runtime",
                    stated_->origin, stated_->differing));
  facts_.denied = "config.json denies what the tensors are";
  add(Health::broken, "quantization",
      fmt::format("config.json denies what the tensors are: {} by {}", stated_->differing,
                  stated_->origin),
      fmt::format("halftone convert {} -o OUT --format {} writes it anew, with the same codes.",
                  shell_quoted(model_),
                  stated_->format == "gptq_v2" ? stated_->format : stated_->method));
}

void Examination::check_configuration() {
  const Metadata& metadata = checkpoint_->metadata();
  const std::string family = JsonObject(metadata.config, metadata.origin).text("model_type");
  if (find_architecture(family) == nullptr) {
    facts_.untold = fmt::format("model_type {} is not known here", printable(family, 40));
    add(Health::note, "configuration",
        fmt::format(
            "{} is no family that is known here ({}): its tensors were not compared with it",
            printable(family, 40), known_architectures()));
    for (const StoredTensor& stored : weights_.source->tensors())
      if (stored.grid) {
        const std::string module = module_name(stored.name);
        const Role role = module.ends_with("lm_head") ? Role::head : Role::q;
        facts_.modules.push_back({module, role, stored.rows, stored.cols, *stored.grid});
      }
    return;
  }
  const ModelConfig config = read_config(metadata);
  vocabulary_ = config.vocab;
  const ModelTensors tensors(*weights_.source, config);
  int64_t linears = 0, quantized = 0;
  for (const TensorKey& key : tensors.keys()) {
    const bool head = key.role == Role::head;
    if ((!is_linear(key.role) && !head) || key.part != Part::weight) continue;
    const StoredTensor& stored = tensors.stored(key);
    // Readers expect a dense head, and no word of it.
    if (head && !stored.quantized) continue;
    const auto [rows, cols] = tensors.shape(key);
    // Codes that have a minimum for each group, and no zero.
    const Grid other{.symmetric = false, .offsets = stored.quantized};
    facts_.modules.push_back({module_name(tensors.name(key)), key.role, rows, cols,
                              stored.grid.value_or(other), !stored.quantized});
    linears += head ? 0 : 1;
    quantized += stored.quantized && !head ? 1 : 0;
  }
  std::string counted;
  if (quantized > 0)
    counted =
        fmt::format("; {} of {} linears quantized{}", human_count(quantized), human_count(linears),
                    quantizes_head(facts_.modules) ? ", and the head" : "");
  add(Health::good, "configuration",
      fmt::format("{}, {}: every tensor claimed, of the shape that it says{}", family,
                  count_text(config.layers, "layer"), counted));
}

void Examination::weigh_label() {
  if (!stated_ || stated_->method != "gptq") return;
  const GptqConfig config = read_gptq_config(*stated_);
  report_label(weigh_gptq_label(*checkpoint_, config), config.origin);
  if (config.version == GptqVersion::v1 && !config.grid.symmetric && !facts_.wrong_label)
    add(Health::note, "zero points",
        "asymmetric under v1, which stores zero − 1: a zero of 0 wraps around, and loaders differ "
        "on what it then is",
        fmt::format("halftone convert {} -o OUT --format gptq_v2", shell_quoted(model_)));
}

void Examination::report_label(const LabelEvidence& evidence, const std::string& origin) {
  const GptqVersion other = evidence.label == GptqVersion::v1 ? GptqVersion::v2 : GptqVersion::v1;
  const std::string seen =
      fmt::format("code − zero is {:+.2f} ± {:.2f} over {} groups", evidence.center, evidence.error,
                  human_count(evidence.groups));
  switch (evidence.verdict) {
    case LabelVerdict::right:
      return add(Health::good, "zero points",
                 fmt::format("as labelled, {}: {} (0 when right)", name_of(evidence.label), seen));
    case LabelVerdict::unknown:
      return add(Health::note, "zero points",
                 fmt::format("labelled {}, which cannot be told from {} here: {}",
                             name_of(evidence.label), name_of(other), seen));
    case LabelVerdict::mixed:
      facts_.wrong_label = true;
      return add(Health::broken, "zero points",
                 fmt::format("some linears are stored as {}, some as {}, under one label in {}",
                             name_of(evidence.label), name_of(other), origin),
                 fmt::format("no label is right: halftone convert {} -o OUT --format gptq_v2 reads "
                             "symmetric ones as they are.",
                             shell_quoted(model_)));
    case LabelVerdict::wrong:
      facts_.wrong_label = true;
      diagnosis_.relabel = other;
      return add(Health::broken, "zero points",
                 fmt::format("stored as {} under the label {} in {}: loaders that believe it are "
                             "off by one step; {}, and {} under a wrong label",
                             name_of(other), name_of(evidence.label), origin, seen,
                             evidence.label == GptqVersion::v1 ? "−1" : "+1"),
                 fmt::format("repair: halftone doctor {} --fix -o OUT", shell_quoted(model_)));
  }
}

// Where a label says that a linear's zeros are all the middle of their grid.
class SymmetricLabel {
 public:
  explicit SymmetricLabel(const StatedQuantization& stated) {
    const JsonObject label(stated.json, stated.origin);
    const bool sym = label.has("sym"), zero_point = label.has("zero_point");
    text_ = sym || !zero_point ? "\"sym\": true" : "\"zero_point\": false";
    if (stated.method == "gptq") {
      gptq_ = read_gptq_config(stated);
      said_ = sym || zero_point || !gptq_->rules.empty();
    } else if (stated.method == "awq") {
      said_ = (sym || zero_point) && stated_grid(label).symmetric;
    }
  }

  bool speaks_of(const std::string& module) const {
    return said_ && (!gptq_ || gptq_->grid_of(module).symmetric);
  }
  const std::string& text() const { return text_; }

 private:
  bool said_ = false;
  std::string text_;
  std::optional<GptqConfig> gptq_;  // whose rules may say it of single ones
};

// ", 5 instead of 8 at output 0, group 3"; empty when none can be shown.
std::string first_other_zero(const WeightSource& source, const StoredTensor& tensor) {
  const auto matrix = source.quantized(tensor.name);
  if (!matrix || matrix->zeros.empty()) return "";
  const int middle = 1 << (matrix->grid.bits - 1);
  const auto found = std::find_if(matrix->zeros.begin(), matrix->zeros.end(),
                                  [&](uint8_t zero) { return zero != middle; });
  if (found == matrix->zeros.end()) return "";
  const int64_t at = found - matrix->zeros.begin(), groups = matrix->groups();
  return fmt::format(", {} instead of {} at output {}, group {}", *found, middle, at / groups,
                     at % groups);
}

// Opening made asymmetric what holds other zeros than its label says, v1's and v2's told apart.
void Examination::check_symmetry() {
  if (!stated_) return;
  const SymmetricLabel label(*stated_);
  std::string first;
  int64_t quantized = 0;
  std::set<std::string> denied;
  for (const StoredTensor& tensor : weights_.source->tensors()) {
    if (!tensor.quantized || !tensor.grid) continue;
    ++quantized;
    if (tensor.grid->symmetric) continue;
    const std::string module = module_name(tensor.name);
    if (!label.speaks_of(module) || !denied.insert(module).second || denied.size() > 1) continue;
    first = module + first_other_zero(*weights_.source, tensor);
  }
  if (denied.empty()) return;
  for (PlannedModule& module : facts_.modules)  // runtimes go by the label
    module.grid.symmetric |= denied.contains(module.name);
  const bool gptq = stated_->method == "gptq";
  facts_.broken = fmt::format("{} hides stored zeros that are not the middle", label.text());
  add(Health::broken, "zero points",
      fmt::format("{} says {}, and {} of {} linears store other zeros than the middle ({}): what "
                  "goes by the label never looks at them",
                  stated_->origin, label.text(), denied.size(), human_count(quantized), first),
      fmt::format("halftone convert {} -o OUT --format {} writes the label that the zeros have.",
                  shell_quoted(model_), gptq ? "gptq_v2" : "awq"));
}

void Examination::check_order() {
  if (!facts_.act_order) return;
  add(Health::note, "act-order",
      "groups are scattered over the inputs (g_idx is not trivial): vLLM gathers them for every "
      "token, and tensor parallel repeats the scales",
      "quantized here, act-order costs nothing at run time: groups stay where they are.");
}

void Examination::check_values() {
  ThreadPool threads(options_.threads);
  const std::vector<ValueTrouble> troubles =
      scan_values(*checkpoint_, *weights_.source, threads, options_.quiet);
  const bool scales = stated_.has_value() && !checkpoint_->is_gguf();
  if (std::any_of(troubles.begin(), troubles.end(),
                  [](const ValueTrouble& t) { return t.broken(); }))
    facts_.broken = "not every value is a number";
  for (Finding& finding : value_findings(troubles, scales))
    diagnosis_.findings.push_back(std::move(finding));
}

// Ids at which generation stops, in config.json and in generation_config.json.
std::set<int64_t> stop_tokens(const Json& config) {
  std::set<int64_t> ids;
  if (!config.is_object()) return ids;
  const auto found = config.find("eos_token_id");
  if (found == config.end()) return ids;
  if (found->is_number_integer()) ids.insert(found->get<int64_t>());
  if (found->is_array())
    for (const Json& id : *found)
      if (id.is_number_integer()) ids.insert(id.get<int64_t>());
  return ids;
}

// What configuration and generation configuration do not agree on; empty: they do.
std::string Examination::stop_tokens_text() const {
  const Metadata& metadata = checkpoint_->metadata();
  const std::set<int64_t> ours = stop_tokens(metadata.config),
                          theirs = stop_tokens(metadata.generation_config);
  for (const std::set<int64_t>& ids : {ours, theirs})
    for (const int64_t id : ids)
      if (vocabulary_ > 0 && (id < 0 || id >= vocabulary_))
        return fmt::format("eos_token_id {} is not in the vocabulary of {}", id,
                           human_count(vocabulary_));
  if (ours.empty() || theirs.empty()) return "";
  std::vector<int64_t> missing;
  std::ranges::set_difference(ours, theirs, std::back_inserter(missing));
  if (missing.empty()) return "";
  return fmt::format(
      "config.json stops at {}, generation_config.json does not: which one counts depends on the "
      "runtime",
      missing.front());
}

void Examination::check_tokenizer() {
  const Metadata& metadata = checkpoint_->metadata();
  if (metadata.tokenizer.tokenizer_json.empty() && !metadata.tokenizer.gguf) {
    add(Health::note, "tokenizer", "none (tokenizer.json) beside the weights");
    return;
  }
  const Tokenizer tokenizer = Tokenizer::load(metadata);
  if (vocabulary_ > 0 && tokenizer.vocab_size() > vocabulary_) {
    facts_.broken = "its tokenizer has ids that the embedding has no rows for";
    throw bad_input("the tokenizer has ids up to {}, the embedding {} rows (vocab_size)",
                    tokenizer.vocab_size() - 1, vocabulary_)
        .hint("tokenizer and model do not belong together.");
  }
  const std::string rows =
      vocabulary_ > 0 ? fmt::format(" for {} rows", human_count(vocabulary_)) : "";
  add(Health::good, "tokenizer",
      fmt::format("{}, {} tokens{}; {} chat template", tokenizer.kind(),
                  human_count(tokenizer.vocab_size()), rows,
                  metadata.chat_template.empty() ? "no" : "with a"));
  if (std::string trouble = stop_tokens_text(); !trouble.empty())
    add(Health::note, "stop tokens", std::move(trouble));
}

}  // namespace

bool ModelDiagnosis::healthy() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.health == Health::broken; });
}

ModelDiagnosis diagnose_model(const std::string& model, const DoctorOptions& options) {
  return Examination(model, options).run();
}

}  // namespace halftone
