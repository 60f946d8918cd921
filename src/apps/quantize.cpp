// A quantization from the outside in: checks, plan, calibration, journal; blocks; output, verified
// and published by one rename.
#include "apps/quantize.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "apps/block_quantizer.h"
#include "apps/channel_scaling.h"
#include "apps/estimate.h"
#include "apps/model_hash.h"
#include "apps/output_check.h"
#include "apps/quantize_output.h"
#include "apps/quantize_progress.h"
#include "apps/scaled_output.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory_usage.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "base/shell_quote.h"
#include "text/chat_record.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;
const std::string kPublished = "published";  // the journal's last record
const std::string kModelHash = "model";      // one that is appended when it is known

// A hash of what tells one result from another, kept in the journal just before it is published.
std::string card_hash(const std::string& directory) {
  return sha256_of(read_file(directory + "/README.md"));
}

// Whether the journal's job was published before it was killed, with nothing left to do but to drop
// it.
bool already_published(const Journal& journal, const std::string& output) {
  if (!journal.has(kPublished) || !fs::exists(output + "/README.md")) return false;
  const std::vector<std::byte> hash = journal.read(kPublished);
  return card_hash(output) == std::string(reinterpret_cast<const char*>(hash.data()), hash.size());
}

Journal::Fingerprint fingerprint_of(const Backend& backend, const QuantizeOutcome& outcome,
                                    const Calibration& calibration, const QuantizeOptions& options,
                                    DType compute) {
  return {
      {"calibration text", calibration.sha256},
      {"calibration", calibration.ids_sha256},
      {"samples", std::to_string(outcome.samples)},
      {"seq-len", std::to_string(outcome.seq_len)},
      {"sequences", options.sequences},
      {"seed", std::to_string(options.seed)},
      {"method", std::string(outcome.plan.method->name)},
      {"bits", std::to_string(options.bits)},
      {"group-size", std::to_string(options.group_size)},
      {"grid", options.symmetric ? "symmetric" : "asymmetric"},
      {"damp", fmt::format("{}", options.damping)},
      {"order", std::string(name_of(outcome.plan.solver.order))},
      {"token-weights", std::string(name_of(outcome.plan.solver.tokens))},
      {"calib-inputs", std::string(name_of(outcome.plan.solver.inputs))},
      {"scale-search", std::string(search_name(outcome.plan.solver))},
      {"plan", sha256_of(outcome.plan.text())},
      {"backend", backend.info().backend + " " + backend.info().instructions},
      {"compute type", std::string(name_of(compute))},
      {"program", options.program_version},
  };
}

Journal open_journal(const QuantizeOptions& options) {
  const std::string path = options.output + ".journal";
  if (options.force && !options.resume) Journal::discard(path);
  if (options.resume && !fs::exists(path))
    spdlog::info("nothing to resume: {} is not there; starting from the first layer", path);
  return Journal::open(path, options.resume);
}

// Whose journal it is. The model's hash is known late: a run that was killed before has the stamp
// of its files instead.
void identify(Journal& journal, Journal::Fingerprint fingerprint, const Checkpoint& checkpoint,
              const ModelHash& hash) {
  const std::string stamp = "the model files' sizes and times";
  if (journal.has(kModelHash)) {
    fingerprint[kModelHash] = hash.value();
    fingerprint[stamp] = journal.fingerprint().at(stamp);
  } else {
    fingerprint[stamp] = checkpoint.stamp();
    journal.append_when_known(kModelHash, hash.future());
  }
  journal.identify(fingerprint);
}

void announce(const Calibration& calibration, const Estimate& estimate, const Backend& backend) {
  if (!calibration.source.empty()) spdlog::info("Text      {}", calibration_text(calibration));
  for (const std::string& note : calibration.notes) spdlog::info("          {}", note);
  spdlog::info("Machine   {}; takes up to {}", backend.info().device, memory_text(estimate));
  if (estimate.activations.host_bytes > 0)
    spdlog::info("          {} of activations go to the host's memory",
                 human_bytes(estimate.activations.host_bytes));
  if (estimate.spills())
    spdlog::info("          {} of activations go to disk beside the output",
                 human_bytes(estimate.spilled_bytes));
}

void warn(const OpenedModel& model, const Plan& plan, const QuantizeOptions& options) {
  for (const std::string& text : warnings_of(model, plan, options)) spdlog::warn("{}", text);
  for (const ReaderVerdict& reader : plan.readers())
    if (!reader.opens) spdlog::warn("{} will refuse the result: {}", reader.reader, reader.why);
}

[[noreturn]] void stopped(const Journal& journal, const std::string& last) {
  const std::string where = last.empty() ? "before the first layer was done" : "after " + last;
  throw Error(Exit::interrupted, fmt::format("stopped {}; finished work is in {} ({})", where,
                                             journal.path(), human_bytes(journal.bytes())))
      .hint(fmt::format("go on with the same command and --resume; drop it with rm {}",
                        shell_quoted(journal.path())));
}

BlockQuantizerResult run_blocks(BlockQuantizerInput input, const QuantizeOptions& options,
                                const MemoryWatch& memory) {
  std::string last;  // what was finished last
  QuantizeProgress progress(options.output + ".log.jsonl", input.model.config().layers,
                            options.quiet, options.resume, memory);
  input.on_linear = [&](const FinishedLinear& linear, double fraction, bool resumed) {
    progress.linear(linear, fraction, resumed);
    last = linear.key.layer < 0
               ? std::string("the head")
               : fmt::format("layer {} of {}, {}", linear.key.layer + 1,
                             input.model.config().layers, name_of(stage_of(linear.key.role)));
  };
  input.on_step = [&](double fraction, const StageId& id) { progress.step(fraction, id); };
  try {
    BlockQuantizerResult result = quantize_blocks(input);
    progress.finish();
    return result;
  } catch (const Error& error) {
    if (error.exit() == Exit::interrupted) stopped(*input.journal, last);
    throw;
  }
}

// The ids of a forward over the written model: a calibration window, or the first ids there are.
std::vector<int32_t> verification_ids(const Calibration& calibration, const ModelConfig& config) {
  const Windows& windows =
      calibration.held_out.count() > 0 ? calibration.held_out : calibration.samples;
  constexpr int64_t kTokens = 128;
  std::vector<int32_t> ids;
  const int64_t count = windows.count() > 0 ? std::min(kTokens, windows.length_of(0)) : kTokens;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(windows.count() > 0 ? windows.window(0)[i]
                                      : static_cast<int32_t>(i % config.vocab));
  return ids;
}

// What quantize() is given.
struct Job {
  Backend& backend;
  const OpenedModel& model;
  const QuantizeOptions& options;
  const SharedWork& shared;
  Profile* profile;
};

// The directory to be, and the weights that fill it, and are run, while the blocks are quantized.
struct Output {
  Output(const Job& job, const Plan& plan, std::vector<int32_t> ids)
      : pending(job.options.output),
        weights({job.model, plan, job.options.max_shard_bytes, job.backend}, pending.path()),
        check(job.backend, weights, pending.path(), std::move(ids),
              compute_dtype(job.options.dtype, job.backend)) {}

  PendingDirectory pending;
  OutputStream weights;
  OutputCheck check;
};

void publish(PendingDirectory& pending, const QuantizeOptions& options, Journal& journal) {
  const std::string hash = card_hash(pending.path());
  if (!journal.has(kPublished)) journal.append(kPublished, std::as_bytes(std::span(hash)));
  pending.publish(options.force);
  journal.remove();
}

void publish(const Job& job, Journal& journal, Output& output, QuantizeOutcome& outcome) {
  const OutputInput input{job.model, job.options, outcome, job.backend};
  {
    const ProfileScope scope(job.profile, "write");
    outcome.output_bytes = write_output(input, output.weights, output.pending.path());
  }
  throw_if_interrupted();
  output.check.finish(job.profile);
  outcome.writing_seconds = output.weights.seconds();
  outcome.tables_behind_seconds = output.weights.seconds_behind();
  outcome.verified = true;
  publish(output.pending, job.options, journal);
}

// The transformed model as it is, dense, and what its types' rounding cost.
void publish_scaled(const Job& job, const OpenedModel& scaled, const Calibration& calibration,
                    Journal& journal, QuantizeOutcome& outcome) {
  PendingDirectory pending(job.options.output);
  outcome.output_bytes =
      write_scaled_model({scaled, job.options, outcome, job.backend}, pending.path());
  const ProfileScope scope(job.profile, "verify");
  outcome.loss =
      compare_models(job.backend, job.model, open_model(pending.path()), calibration.held_out,
                     compute_dtype(job.options.dtype, job.backend));
  outcome.verified = true;
  publish(pending, job.options, journal);
}

// Empty when a file is no longer there.
std::string model_stamp(const Job& job) try {
  return job.model.checkpoint->stamp();
} catch (const fs::filesystem_error&) {
  return "";
}

// A journal without finished work would only be in the next run's way, and so would one of the
// first layer's stages where the model was bad from the start (`as_read`): another, mended, is not
// what it belongs to.
bool worth_keeping(const Journal& journal, Exit exit, bool as_read) {
  if (journal.fresh() || exit != Exit::bad_input || !as_read) return !journal.fresh();
  return std::ranges::any_of(journal.names(), [](const std::string& name) {
    return name != kModelHash && name.find("layer 0 ") == std::string::npos;
  });
}

// Throws `error`, which is being handled, without a journal that is of no use.
[[noreturn]] void give_up(const Error& error, Journal& journal, bool offers_resume,
                          bool model_as_read) {
  if (error.exit() != Exit::interrupted && !worth_keeping(journal, error.exit(), model_as_read))
    journal.remove();
  else if (error.exit() == Exit::resources && offers_resume)
    throw Error(error.exit(), error.what())
        .hint((error.hint().empty() ? "" : error.hint() + " ") + "Finished work is in " +
              journal.path() + ": --resume goes on.");
  throw;
}

// What its transform finds goes to the journal that jobs share, or to this one's.
TransformedModel transform(const Job& job, const Calibration& calibration, const Estimate& estimate,
                           Journal& journal, QuantizeOutcome& outcome) {
  TransformedModel transformed =
      transform_model({.backend = job.backend,
                       .model = job.model,
                       .plan = outcome.plan,
                       .calibration = calibration,
                       .journal = job.shared.scales ? job.shared.scales : &journal,
                       .compute = compute_dtype(job.options.dtype, job.backend),
                       .activations = estimate.activations,
                       .profile = job.profile,
                       .later = job.shared.later},
                      job.options.quiet);
  outcome.scaling = transformed.text;
  outcome.seconds_before = transformed.seconds_before;
  outcome.seconds_later = transformed.seconds_later;
  return transformed;
}

// What waits for no layer. Beside a device it is written while that computes.
void write_tables(const Job& job, const Plan& plan, OutputStream& weights) {
  if (job.backend.runs_beside_host()) return;
  const bool none = std::ranges::all_of(plan.tables, &PlannedModule::skipped);
  Progress progress("Writing tables", 1, job.options.quiet || none);
  const ProfileScope scope(job.profile, "write tables");
  weights.write_rest_here();
  progress.finish();
}

// Leaves no journal that nothing was written to where the weights are no numbers.
ModelHash hash_model(const Job& job, Journal& journal) try {
  return ModelHash(job.model, job.backend, job.options.quiet, job.profile);
} catch (const Error&) {
  if (journal.fresh()) journal.remove();
  throw;
}

// From the first layer, or the one where an interrupted run stopped, to the published output.
void run_and_publish(const Job& job, const Calibration& calibration, const Estimate& estimate,
                     const MemoryWatch& memory, QuantizeOutcome& outcome) {
  const QuantizeOptions& options = job.options;
  const DType compute = compute_dtype(options.dtype, job.backend);
  Journal journal = open_journal(options);
  const ModelHash hash = hash_model(job, journal);
  identify(journal, fingerprint_of(job.backend, outcome, calibration, options, compute),
           *job.model.checkpoint, hash);
  if (already_published(journal, options.output)) {
    journal.remove();
    throw usage_error("nothing to resume: {} was finished", options.output);
  }
  check_place(options.output, job.model, options.force);
  const std::string stamp = model_stamp(job);
  try {
    const TransformedModel transformed = transform(job, calibration, estimate, journal, outcome);
    const OpenedModel& model = transformed.model ? *transformed.model : job.model;
    if (outcome.plan.dense) {
      outcome.model_fingerprint = hash.value();
      return publish_scaled(job, model, calibration, journal, outcome);
    }
    const Job on{job.backend, model, options, job.shared, job.profile};
    Output output(on, outcome.plan, verification_ids(calibration, model.config()));
    write_tables(job, outcome.plan, output.weights);
    BlockQuantizerResult result =
        run_blocks({.backend = job.backend,
                    .model = on.model,
                    .plan = outcome.plan,
                    .calibration = calibration,
                    .journal = &journal,
                    .compute = compute,
                    .activations = estimate.activations,
                    .load_ahead = estimate.load_ahead,
                    .profile = job.profile,
                    .on_kept = [&](StageRecord stage) { output.weights.add(std::move(stage)); },
                    .on_stage =
                        [&](const StageId& stage, bool solving) {
                          if (estimate.load_ahead) output.check.beside(stage, solving);
                        }},
                   options, memory);
    outcome.stages = std::move(result.stages);
    outcome.loss = result.loss;
    outcome.seconds_before += result.seconds_before;
    outcome.saving_seconds = result.saving_seconds;
    outcome.model_fingerprint = hash.value();
    publish(on, journal, output, outcome);
  } catch (const Error& error) {
    if (error.exit() == Exit::interrupted && error.hint().empty())
      stopped(journal, outcome.stages.empty() ? "" : "the last layer");
    give_up(error, journal, options.offers_resume, model_stamp(job) == stamp);
  }
}

QuantizeOutcome quantize(const Job& given) {
  const auto start = Clock::now();
  MemoryWatch memory;
  QuantizeOptions options = given.options;
  options.output = directory_name(options.output);
  const OpenedModel& model = given.model;
  check_output(options, model);
  check_creatable(options.output);
  { const PendingDirectory frees(options.output); }  // the disk of what killed runs left there
  QuantizeOutcome outcome;
  outcome.plan = make_plan(model, options);
  warn(model, outcome.plan, options);
  for (const std::string& line : plan_lines(model, outcome.plan)) spdlog::info("{}", line);
  // The tokenizer's tables are as large as a block of a small model: not kept.
  const Calibration calibration =
      given.shared.calibration
          ? *given.shared.calibration
          : read_calibration(Tokenizer::load(model.checkpoint->metadata()), outcome.plan, options,
                             ChatReader(model.checkpoint->metadata()));
  outcome.samples = calibration.samples.count();
  outcome.seq_len = options.seq_len;
  outcome.samples_text = windows_text(calibration.samples);
  outcome.calibration_source = calibration.source;
  outcome.calibration_sha256 = calibration.sha256;
  const DType compute = compute_dtype(options.dtype, given.backend);
  const Estimate estimate =
      estimate_resources({given.backend, model, outcome.plan, calibration, compute, options});
  const LimitScope limits(given.backend);
  apply_limits(given.backend, estimate);
  announce(calibration, estimate, given.backend);
  run_and_publish({given.backend, model, options, given.shared, given.profile}, calibration,
                  estimate, memory, outcome);
  outcome.seconds = outcome.seconds_before + seconds_since(start) - outcome.seconds_later;
  outcome.peak_memory_bytes = memory.peak();
  return outcome;
}

}  // namespace

QuantizeOutcome quantize(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                         Profile* profile) {
  return quantize(backend, model, options, SharedWork(), profile);
}

QuantizeOutcome quantize(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                         const SharedWork& shared, Profile* profile) {
  return quantize({backend, model, options, shared, profile});
}

}  // namespace halftone
