// See dataset.h.
#include "text/dataset.h"

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <numeric>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "text/unicode.h"

namespace halftone {
namespace {

std::string document_of(const Json& record, const std::string& origin) {
  if (record.is_object()) {
    const auto text = record.find("text");
    if (text != record.end() && text->is_string()) return text->get<std::string>();
    if (text == record.end() && (record.contains("instruction") || record.contains("messages"))) {
      throw bad_input("{}: chat or instruction record, expected an object with \"text\"", origin)
          .hint("Write each conversation as one text, in the model's own chat template.");
    }
  }
  throw bad_input("{}: got {}, expected an object with a string \"text\"", origin,
                  record.dump().substr(0, 60));
}

void read_lines(std::string_view text, TextFile& file) {
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string origin = fmt::format("{}: line {}", file.path, number);
    file.documents.push_back(document_of(parse_json(line, origin), origin));
  }
}

void read_list(std::string_view text, TextFile& file) {
  const Json list = parse_json(text, file.path);
  for (size_t i = 0; i < list.size(); ++i) {
    file.documents.push_back(document_of(list[i], fmt::format("{}: item {}", file.path, i + 1)));
  }
}

constexpr size_t kRun = 64;           // bytes that two texts must have in common
constexpr uint64_t kSampleMask = 15;  // one run in sixteen is looked at

// Calls visit(hash) for the sampled runs of a document (Karp and Rabin 1987, modulo 2^64).
template <class Visit>
void visit_runs(std::string_view document, Visit visit) {
  constexpr uint64_t kBase = 0x9e3779b97f4a7c15u;
  uint64_t leaving_factor = 1;
  for (size_t i = 0; i < kRun; ++i) leaving_factor *= kBase;
  unsigned char ring[kRun] = {};
  uint64_t hash = 0;
  size_t count = 0;
  bool was_space = true;
  for (const char c : document) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space && was_space) continue;
    was_space = space;
    const auto entering = static_cast<unsigned char>(space ? ' ' : c);
    unsigned char& place = ring[count++ % kRun];
    hash = hash * kBase + entering - leaving_factor * place;
    place = entering;
    if (count < kRun) continue;
    const uint64_t mixed = (hash ^ hash >> 31) * kBase;
    if ((mixed >> 32 & kSampleMask) == 0) visit(mixed);
  }
}

}  // namespace

TextFile read_text_file(const std::string& path) {
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown))
    throw bad_input("{}: not there, expected a text file", path)
        .hint("check the path; scripts/fetch.sh texts fetches texts to try with.");
  const std::string bytes = read_file(path);
  if (bytes.empty()) throw bad_input("{}: empty, expected text", path);
  if (const size_t nul = bytes.find('\0'); nul != std::string::npos) {
    throw bad_input("{}: binary (a NUL byte at offset {}), expected text", path, nul);
  }
  if (const auto invalid = find_invalid_utf8(bytes)) {
    throw bad_input("{}: not UTF-8 (offset {})", path, *invalid)
        .hint("Convert it first: iconv -f LATIN1 -t UTF-8");
  }
  TextFile file{path, sha256_of(bytes), {}};
  const bool lines = path.ends_with(".jsonl"), json = path.ends_with(".json");
  if (!lines && !json) {
    file.documents.push_back(bytes);
    return file;
  }
  std::string_view text = bytes;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (json && first != std::string_view::npos && text[first] == '[') {
    read_list(text, file);
  } else {
    read_lines(text, file);
  }
  const auto is_empty = [](const std::string& document) { return document.empty(); };
  if (std::all_of(file.documents.begin(), file.documents.end(), is_empty)) {
    throw bad_input("{}: no text in it", path);
  }
  return file;
}

Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files,
                    int64_t length) {
  assert(length > 0);
  Windows windows;
  windows.length = length;
  for (const TextFile& file : files) {
    std::string text;
    for (size_t i = 0; i < file.documents.size(); ++i) {
      if (i > 0) text += "\n\n";
      text += file.documents[i];
    }
    const std::vector<int32_t> ids = tokenizer.encode(text, false);
    windows.ids.insert(windows.ids.end(), ids.begin(), ids.end());
  }
  windows.tokens_in_text = static_cast<int64_t>(windows.ids.size());
  windows.ids.resize(static_cast<size_t>(windows.tokens_in_text / length * length));
  if (const auto bos = tokenizer.bos()) {
    for (size_t at = 0; at < windows.ids.size(); at += static_cast<size_t>(length)) {
      windows.ids[at] = *bos;
    }
  }
  return windows;
}

Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed) {
  if (first < 0 || count < 0 || count > all.count() - first) {
    throw internal_error("windows [{}, {}) of {}", first, first + count, all.count());
  }
  std::vector<int64_t> order(static_cast<size_t>(all.count()));
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  Windows picked;
  picked.length = all.length;
  picked.ids.reserve(static_cast<size_t>(count * all.length));
  for (int64_t i = first; i < first + count; ++i) {
    const int32_t* window = all.window(order[static_cast<size_t>(i)]);
    picked.ids.insert(picked.ids.end(), window, window + all.length);
  }
  picked.tokens_in_text = static_cast<int64_t>(picked.ids.size());
  return picked;
}

double overlap(const std::vector<TextFile>& calibration, const std::vector<TextFile>& evaluation) {
  std::unordered_set<uint64_t> known;
  for (const TextFile& file : calibration) {
    for (const std::string& document : file.documents) {
      visit_runs(document, [&](uint64_t hash) { known.insert(hash); });
    }
  }
  int64_t runs = 0, shared = 0;
  for (const TextFile& file : evaluation) {
    for (const std::string& document : file.documents) {
      visit_runs(document, [&](uint64_t hash) {
        ++runs;
        shared += known.count(hash) ? 1 : 0;
      });
    }
  }
  return runs == 0 ? 0 : static_cast<double>(shared) / static_cast<double>(runs);
}

}  // namespace halftone
