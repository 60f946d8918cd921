// A GGUF model: one file, or the parts that a split one stands in, merged.
#include "io/gguf.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "io/gguf_parser.h"

namespace halftone {
namespace {

constexpr std::string_view kEnding = ".gguf";
constexpr size_t kPartTail = 20;  // "-00002-of-00005.gguf"

std::optional<int64_t> small_integer(const std::map<std::string, GgufValue>& keys,
                                     const std::string& key) {
  const auto found = keys.find(key);
  if (found == keys.end()) return std::nullopt;
  if (const auto* value = std::get_if<uint64_t>(&found->second)) {
    if (*value <= INT32_MAX) return static_cast<int64_t>(*value);
  }
  if (const auto* value = std::get_if<int64_t>(&found->second)) return *value;
  return -1;
}

// "dir/name-00002-of-00005.gguf" → the names of all five; empty when the path is not of that form.
std::vector<std::string> part_paths(const std::string& path, int64_t count) {
  const std::string tail = fmt::format("-of-{:05}.gguf", count);
  if (path.size() < tail.size() + 6 || !path.ends_with(tail)) return {};
  const std::string head = path.substr(0, path.size() - tail.size() - 5);
  const std::string number = path.substr(head.size(), 5);
  if (!head.ends_with('-') || number.find_first_not_of("0123456789") != std::string::npos)
    return {};
  std::vector<std::string> paths;
  for (int64_t i = 1; i <= count; ++i) paths.push_back(fmt::format("{}{:05}{}", head, i, tail));
  return paths;
}

// All parts' paths in order, `path` being one of them; refuses when some are not there.
// `number`: split.no, from 0.
std::vector<std::string> find_parts(const std::string& path, int64_t number, int64_t count) {
  if (count < 2 || count > 65535) {
    throw bad_input("{}: split.count is {}, expected 2 to 65535", path, count);
  }
  std::vector<std::string> paths = part_paths(path, count);
  if (paths.empty()) {
    throw bad_input(
        "{}: part {} of {} by its split.no, but its name does not end in -{:05}-of-{:05}.gguf",
        path, number + 1, count, number + 1, count)
        .hint("keep the names that llama.cpp gave the parts, or merge them with llama-gguf-split.");
  }
  std::string missing;
  for (const std::string& part : paths) {
    if (std::filesystem::exists(part)) continue;
    if (missing.size() > 200) {
      missing += ", …";
      break;
    }
    missing += (missing.empty() ? "" : ", ") + std::filesystem::path(part).filename().string();
  }
  if (!missing.empty()) {
    throw bad_input("{}: one of {} parts, of which these are missing: {}", path, count, missing)
        .hint("put all parts into one directory.");
  }
  return paths;
}

void check_part(const GgufPart& part, int64_t number, int64_t count, const std::string& path) {
  const auto no = small_integer(part.keys, "split.no");
  const auto of = small_integer(part.keys, "split.count");
  if (no != number || of != count) {
    throw bad_input("{}: part {} of {}, expected part {} of {}", path, no.value_or(-1) + 1,
                    of.value_or(-1), number + 1, count)
        .hint("the parts do not belong together.");
  }
}

}  // namespace

std::string gguf_part_path(const std::string& path, size_t part, size_t count) {
  std::string stem = path;
  if (stem.ends_with(kEnding)) stem.resize(stem.size() - kEnding.size());
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part + 1, count);
}

std::string gguf_first_part(const std::string& path) {
  const std::string whole = gguf_whole_path(path);
  return whole == path ? path
                       : whole.substr(0, whole.size() - kEnding.size()) + "-00001" +
                             path.substr(path.size() - kPartTail + 6);
}

std::string gguf_whole_path(const std::string& path) {
  if (path.size() <= kPartTail) return path;
  const std::string tail = path.substr(path.size() - kPartTail);
  std::string shape = tail;
  for (char& c : shape) c = std::isdigit(static_cast<unsigned char>(c)) ? '0' : c;
  if (shape != "-00000-of-00000.gguf") return path;
  return path.substr(0, path.size() - kPartTail) + std::string(kEnding);
}

GgufFile::GgufFile(const std::string& path) : path_(path) {
  parts_.emplace_back(path);
  GgufPart first = parse_gguf(parts_[0].bytes(), path);
  const int64_t count = small_integer(first.keys, "split.count").value_or(0);
  if (count == 0 || count == 1) {
    keys_ = std::move(first.keys);
    entries_ = std::move(first.entries);
  } else {
    parts_.clear();
    const std::vector<std::string> paths =
        find_parts(path, small_integer(first.keys, "split.no").value_or(-1), count);
    for (int64_t i = 0; i < count; ++i) {
      const std::string& name = paths[static_cast<size_t>(i)];
      parts_.emplace_back(name);
      GgufPart part = parse_gguf(parts_.back().bytes(), name);
      check_part(part, i, count, name);
      if (i == 0) keys_ = std::move(part.keys);  // the others repeat none of the model's
      std::move(part.entries.begin(), part.entries.end(), std::back_inserter(entries_));
    }
    const auto planned = small_integer(keys_, "split.tensors.count");
    if (planned && *planned != static_cast<int64_t>(entries_.size())) {
      throw bad_input("{}: the {} parts hold {} tensors, expected {} (split.tensors.count)", path,
                      count, entries_.size(), *planned);
    }
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const ContainerEntry& a, const ContainerEntry& b) { return a.name < b.name; });
  const auto twin = std::adjacent_find(
      entries_.begin(), entries_.end(),
      [](const ContainerEntry& a, const ContainerEntry& b) { return a.name == b.name; });
  if (twin != entries_.end()) throw bad_input("{}: tensor {} appears twice", path, twin->name);

  const auto architecture = keys_.find("general.architecture");
  const auto* text =
      architecture == keys_.end() ? nullptr : std::get_if<std::string>(&architecture->second);
  if (text == nullptr || text->empty()) {
    throw bad_input("{}: general.architecture is missing or not a string", path);
  }
  architecture_ = *text;
}

const ContainerEntry* GgufFile::find(std::string_view name) const {
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), name,
      [](const ContainerEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

int64_t GgufFile::file_bytes() const {
  int64_t bytes = 0;
  for (const MappedFile& part : parts_) bytes += static_cast<int64_t>(part.bytes().size());
  return bytes;
}

}  // namespace halftone
