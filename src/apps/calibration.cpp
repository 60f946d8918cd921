// Files → ids → windows → those to learn from and those to measure on.
#include "apps/calibration.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/count_text.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "io/find_model.h"

namespace halftone {
namespace {

// What is there of the fetched text.
std::vector<std::string> fetched_calibration() {
  const std::string fetched = fetched_text("calibration.txt");
  if (std::filesystem::exists(fetched)) return {fetched};
  return {};
}

std::vector<std::string> calibration_paths(const Plan& plan, const QuantizeOptions& options) {
  if (!options.calibration.empty()) return options.calibration;
  const std::vector<std::string> fetched = fetched_calibration();
  if (!fetched.empty() || !plan.method->needs_hessian) return fetched;
  throw usage_error("no calibration text: --calib was not given, and {} is not there",
                    fetched_text("calibration.txt"))
      .hint(
          "pass --calib FILE (plain text, or JSON lines of texts or chats), or run "
          "scripts/fetch.sh texts.");
}

std::string hash_of_ids(const Windows& windows) {
  Sha256 hash;
  hash.add(std::as_bytes(std::span(windows.ids)));
  return hash.add(std::as_bytes(std::span(windows.starts))).hex();
}

std::string describe(const std::vector<TextFile>& files, const Windows& all) {
  int64_t documents = 0, chats = 0;
  std::string names;
  for (const TextFile& file : files) {
    documents += file.documents;
    chats += file.chats;
    names += (names.empty() ? "" : ", ") + std::filesystem::path(file.path).filename().string();
  }
  std::string counts;
  if (chats > 0) counts = count_text(chats, "chat") + ", ";
  if (documents - chats > (chats > 0 ? 0 : static_cast<int64_t>(files.size())))
    counts += count_text(documents - chats, "document") + ", ";
  return fmt::format("{} ({}{} tokens)", names, counts, human_count(all.tokens_in_text));
}

// Where the shuffled windows are parted: [0, samples) to learn from, then those that are held out.
struct Parts {
  int64_t samples = 0, held_out = 0;
};

// As many samples as were asked for; all but the held-out windows when no number was given and
// there are fewer; nothing when the text is too short.
std::optional<Parts> part(const QuantizeOptions& options, int64_t available) {
  if (available >= options.samples + (options.samples_given ? 0 : 1))
    return Parts{options.samples,
                 std::min(wanted_held_out(options.samples), available - options.samples)};
  if (options.samples_given || available < 2) return std::nullopt;
  const int64_t held_out = wanted_held_out(available);
  return Parts{available - held_out, held_out};
}

[[noreturn]] void too_short(const QuantizeOptions& options, const Windows& all,
                            const std::string& names) {
  const int64_t available = all.count();
  if (all.uneven())
    throw bad_input("calibration: {} holds {} of at least {} tokens; expected {}", names,
                    count_text(available, "document"), kShortestSequence,
                    options.samples_given ? std::to_string(options.samples) : "two")
        .hint(
            "pass JSON lines, one document each (--calib may be repeated), fewer --samples, or "
            "--sequences packed.");
  throw bad_input("calibration: {} holds {} tokens; {} of {} need {}", names,
                  human_count(all.tokens_in_text), count_text(options.samples, "sample"),
                  human_count(options.seq_len), human_count(options.samples * options.seq_len))
      .hint(
          available > 0
              ? fmt::format("pass --samples {}, or more text (--calib may be repeated).", available)
              : "pass more text (--calib may be repeated) or a smaller --seq-len.");
}

// All that the texts hold, as they are to be run; says what was left of documents.
Windows read_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files,
                     const QuantizeOptions& options, std::vector<std::string>& notes) {
  if (options.sequences != "whole") return cut_windows(tokenizer, files, options.seq_len);
  WholeDocuments taken = take_documents(tokenizer, files, options.seq_len);
  const bool chats =
      std::all_of(files.begin(), files.end(), [](const TextFile& file) { return file.chats > 0; });
  const std::string what = chats ? "chat" : "document";
  if (taken.cut > 0)
    notes.push_back(fmt::format("{} cut at {} tokens (--seq-len)", count_text(taken.cut, what),
                                human_count(options.seq_len)));
  if (taken.left_out > 0)
    notes.push_back(fmt::format("{} of fewer than {} tokens left out",
                                count_text(taken.left_out, what), kShortestSequence));
  return std::move(taken.sequences);
}

// A method that samples nothing is measured on the windows that one which samples leaves, so that
// their losses compare; when that leaves none, on the last ones.
Parts part_without_samples(const QuantizeOptions& options, int64_t available) {
  const std::optional<Parts> parts = part(options, available);
  if (parts && parts->held_out > 0) return *parts;
  const int64_t held_out = std::min(wanted_held_out(options.samples), available);
  return {available - held_out, held_out};
}

}  // namespace

int64_t wanted_held_out(int64_t samples) { return std::clamp<int64_t>(samples / 16, 1, 8); }

std::string windows_text(const Windows& windows) {
  const int64_t count = windows.count();
  if (count == 0) return "no windows";
  if (!windows.uneven())
    return fmt::format("{} of {} tokens", count_text(count, "window"), human_count(windows.length));
  int64_t shortest = windows.length_of(0), longest = shortest;
  for (int64_t i = 1; i < count; ++i) {
    shortest = std::min(shortest, windows.length_of(i));
    longest = std::max(longest, windows.length_of(i));
  }
  const std::string lengths =
      (shortest < longest ? human_count(shortest) + " to " : "") + human_count(longest);
  return fmt::format("{} of {} tokens, {} in all", count_text(count, "sequence"), lengths,
                     human_count(windows.tokens()));
}

std::string calibration_text(const Calibration& calibration) {
  if (calibration.samples.count() == 0)
    return fmt::format("{}: {} to measure on", calibration.source,
                       windows_text(calibration.held_out));
  return fmt::format("{} from {}, {} held out", windows_text(calibration.samples),
                     calibration.source, calibration.held_out.count());
}

std::string fetched_text(const std::string& name) { return fetch_cache() + "/texts/" + name; }

Calibration read_calibration(const Tokenizer& tokenizer, const Plan& plan,
                             const QuantizeOptions& options, const ChatText& chat_text) {
  Calibration calibration;
  const std::vector<std::string> paths = calibration_paths(plan, options);
  if (paths.empty()) return calibration;
  std::vector<TextFile> files;
  Sha256 hash;
  for (const std::string& path : paths) {
    throw_if_interrupted();
    TextFile file = read_text_file(path, chat_text);
    const auto same = std::find_if(files.begin(), files.end(), [&](const TextFile& other) {
      return other.sha256 == file.sha256;
    });
    if (same != files.end()) {
      spdlog::warn("--calib {}: the same text as {}, used once", path, same->path);
      continue;
    }
    hash.add(file.sha256);
    files.push_back(std::move(file));
  }
  const Windows all = read_windows(tokenizer, files, options, calibration.notes);
  calibration.sha256 = hash.hex();
  calibration.source = describe(files, all);
  Parts parts;
  if (!plan.method->needs_hessian) {
    parts = part_without_samples(options, all.count());
  } else {
    const std::optional<Parts> found = part(options, all.count());
    if (!found) too_short(options, all, paths.front());
    parts = *found;
    calibration.samples = pick_windows(all, 0, parts.samples, options.seed);
    if (parts.samples < options.samples)
      calibration.notes.push_back(
          fmt::format("the text holds {} {}: {} to calibrate on, {} held out", all.count(),
                      all.uneven() ? "documents" : "windows", parts.samples, parts.held_out));
  }
  calibration.held_out = pick_windows(all, parts.samples, parts.held_out, options.seed);
  const size_t ids = static_cast<size_t>(all.tokens_in_text) + calibration.samples.ids.size() +
                     calibration.held_out.ids.size();
  calibration.id_bytes = static_cast<int64_t>(ids * sizeof(int32_t));
  calibration.ids_sha256 = hash_of_ids(calibration.samples) + hash_of_ids(calibration.held_out);
  return calibration;
}

void settle(QuantizeOptions& options, const Backend& backend) {
  if (options.calibration.empty()) options.calibration = fetched_calibration();
  if (options.device == "auto") options.device = backend.info().backend;
  if (options.dtype == "auto")
    options.dtype = compute_dtype("auto", backend) == DType::bf16 ? "bf16" : "f32";
  choose_steps(options);
}

}  // namespace halftone
