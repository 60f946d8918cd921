#include "io/find_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "io/gguf.h"

namespace halftone {
namespace fs = std::filesystem;
namespace {

std::optional<fs::path> environment_path(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return fs::path(value);
}

fs::path cache_home() {
  if (const auto cache = environment_path("XDG_CACHE_HOME")) return *cache;
  return environment_path("HOME").value_or("/") / ".cache";
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) paths.push_back(entry);
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A directory without config.json that holds one .gguf file, or the parts of one, stands for it.
FoundModel found(const fs::path& path, std::string name) {
  if (is_folder(path) && !is_there(path / "config.json")) {
    std::vector<fs::path> files = entries_of(path);
    std::erase_if(files, [](const fs::path& file) { return file.extension() != ".gguf"; });
    std::set<std::string> models;
    for (const fs::path& file : files) models.insert(gguf_first_part(file.string()));
    if (models.size() == 1) return {files[0].string(), std::move(name)};
    if (files.size() > 1)
      throw usage_error("{}: holds {} .gguf files", path.string(), files.size())
          .hint(fmt::format("Name one of them, as {}.", files[0].string()));
  }
  return {path.string(), std::move(name)};
}

std::string name_of_path(const fs::path& path) {
  fs::path whole = fs::absolute(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.filename().string();
}

// models--org--name/snapshots/<revision that refs/main names>, else the only one there is.
std::optional<fs::path> snapshot_of(const fs::path& repository) {
  if (!is_folder(repository / "snapshots")) return std::nullopt;
  if (is_there(repository / "refs" / "main")) {
    std::string revision = read_file((repository / "refs" / "main").string());
    revision.erase(std::min(revision.size(), revision.find_last_not_of(" \r\n") + 1));
    const bool plain = !revision.empty() && revision.find('/') == std::string::npos &&
                       revision.find('\0') == std::string::npos && revision[0] != '.';
    if (plain && is_folder(repository / "snapshots" / revision))
      return repository / "snapshots" / revision;
  }
  const auto snapshots = entries_of(repository / "snapshots");
  if (snapshots.size() == 1) return snapshots[0];
  throw usage_error("{}: refs/main names none of its {} snapshots", repository.string(),
                    snapshots.size())
      .hint("Fetch the model again, or name a directory under snapshots/.");
}

// "org/name" or "name", as the hub allows them: no way out of the cache.
bool is_hub_name(const std::string& model) {
  if (model.empty() || model.size() > 200 || std::count(model.begin(), model.end(), '/') > 1)
    return false;
  if (model.front() == '/' || model.back() == '/' || model.front() == '.') return false;
  if (model.find("..") != std::string::npos || model.find("/.") != std::string::npos) return false;
  return std::all_of(model.begin(), model.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '/' || c == '-' || c == '_' || c == '.';
  });
}

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Our cache keeps files as their publishers name them: "SmolLM2-135M" is SmolLM2-135M.Q4_1.gguf
// there.
std::optional<fs::path> own_model(const fs::path& cache, const std::string& model) {
  const std::string name = model.substr(model.rfind('/') + 1);
  for (const std::string& exact : {model, name})
    if (is_there(cache / exact)) return cache / exact;
  std::vector<fs::path> matches;
  for (const fs::path& path : entries_of(cache)) {
    const std::string file = lower_case(path.filename().string());
    const bool same = file.starts_with(lower_case(name)) && file.ends_with(".gguf") &&
                      gguf_first_part(path.string()) == path.string();
    if (same && (file[name.size()] == '.' || file[name.size()] == '-')) matches.push_back(path);
  }
  if (matches.size() > 1)
    throw usage_error("{}: several files of that name in {}", model, cache.string())
        .hint(fmt::format("Name one of them, as {}.", matches[0].filename().string()));
  if (matches.empty()) return std::nullopt;
  return matches[0];
}

// "Did you mean acme/Tiny? " where the hub's caches hold that name under some organisation, or in
// other capitals.
std::string near_miss(const std::string& model, const std::vector<std::string>& caches) {
  const std::string name = lower_case(model.substr(model.rfind('/') + 1));
  for (const std::string& cache : caches)
    for (const fs::path& folder : entries_of(cache)) {
      constexpr std::string_view kPrefix = "models--";
      std::string other = folder.filename().string();
      if (!other.starts_with(kPrefix)) continue;
      other.erase(0, kPrefix.size());
      if (const size_t dashes = other.find("--"); dashes != std::string::npos)
        other.replace(dashes, 2, "/");
      if (lower_case(other.substr(other.rfind('/') + 1)) == name)
        return fmt::format("Did you mean {}? ", other);
    }
  return "";
}

}  // namespace

std::vector<std::string> hub_caches() {
  std::vector<fs::path> places;
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const auto place = environment_path(variable)) places.push_back(*place);
  if (const auto home = environment_path("HF_HOME")) places.push_back(*home / "hub");
  places.push_back(cache_home() / "huggingface" / "hub");
  if (const auto home = environment_path("HOME"))
    places.push_back(*home / ".cache" / "huggingface" / "hub");
  std::vector<std::string> unique;
  for (const fs::path& place : places)
    if (std::find(unique.begin(), unique.end(), place.string()) == unique.end())
      unique.push_back(place.string());
  return unique;
}

FoundModel find_model(const std::string& model) {
  if (is_there(model)) return found(model, name_of_path(model));
  std::vector<std::string> looked = hub_caches();
  const std::string own = (fs::path(fetch_cache()) / "models").string();
  if (is_hub_name(model)) {
    std::string folder = "models--" + model;
    if (const size_t slash = folder.find('/'); slash != std::string::npos)
      folder.replace(slash, 1, "--");
    for (const std::string& cache : looked)
      if (const auto snapshot = snapshot_of(fs::path(cache) / folder))
        return found(*snapshot, model);
    if (const auto path = own_model(own, model))
      return found(*path, model.substr(model.rfind('/') + 1));
  }
  looked.push_back(own);
  throw usage_error("{}: no such directory or .gguf file, and no model of that name in a cache",
                    model)
      .hint(fmt::format("{}Nothing is downloaded: hf download ORG/NAME puts a model there. Looked "
                        "in {}.",
                        near_miss(model, looked), fmt::join(looked, ", ")));
}

std::string fetch_cache() { return (cache_home() / "halftone").string(); }

}  // namespace halftone
