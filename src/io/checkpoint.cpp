// Opens a model's files and checks that they belong together.
#include "io/checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/printable.h"
#include "base/sha256.h"
#include "io/find_model.h"

namespace halftone {
namespace fs = std::filesystem;
namespace {

constexpr size_t kPieceBytes = size_t{16} << 20;  // hashed by one thread
constexpr const char* kIndex = "model.safetensors.index.json";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string read_if_there(const fs::path& path) {
  return is_there(path) ? read_file(path.string()) : std::string();
}

// chat_template.jinja, else the template in tokenizer_config.json: a text, or a list of named ones.
std::string read_chat_template(const fs::path& directory, const std::string& tokenizer_config) {
  if (is_there(directory / "chat_template.jinja"))
    return read_file((directory / "chat_template.jinja").string());
  if (tokenizer_config.empty()) return "";
  const std::string origin = (directory / "tokenizer_config.json").string();
  const Json json = parse_json(tokenizer_config, origin);
  const JsonObject config(json, origin);
  const Json* found = config.find("chat_template");
  if (!found || !found->is_array()) return config.maybe_text("chat_template").value_or("");
  for (const Json& item : *found) {
    const JsonObject named(item, origin + ": chat_template");
    if (named.text("name") == "default") return named.text("template");
  }
  return "";
}

Metadata read_metadata(const fs::path& directory) {
  Metadata metadata;
  metadata.origin = (directory / "config.json").string();
  if (!is_there(metadata.origin))
    throw bad_input("{}: holds no config.json: not a model's directory", directory.string())
        .hint("a model's directory holds config.json, *.safetensors and tokenizer.json.");
  metadata.config = read_json_file(metadata.origin);
  const JsonObject checked(metadata.config, metadata.origin);
  if (const fs::path path = directory / "generation_config.json"; is_there(path))
    metadata.generation_config = read_json_file(path.string());
  metadata.tokenizer.tokenizer_json = read_if_there(directory / "tokenizer.json");
  metadata.tokenizer.tokenizer_config_json = read_if_there(directory / "tokenizer_config.json");
  metadata.tokenizer.special_tokens_map_json = read_if_there(directory / "special_tokens_map.json");
  metadata.chat_template = read_chat_template(directory, metadata.tokenizer.tokenizer_config_json);
  return metadata;
}

// model.safetensors.index.json: which shard holds which tensor.
std::map<std::string, std::string> read_index(const std::string& path) {
  const Json json = read_json_file(path);
  const JsonObject index(json, path);
  const auto map = index.maybe_object("weight_map");
  if (!map) throw bad_input("{}: weight_map: missing", path);
  std::map<std::string, std::string> shard_of;
  for (const auto& [name, file] : map->json().items()) {
    const std::string shard = file.is_string() ? file.get<std::string>() : "";
    if (!shard.ends_with(".safetensors") || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos)
      throw bad_input("{}: weight_map: {}: expected the name of a .safetensors file beside it",
                      path, printable(name));
    shard_of.emplace(name, shard);
  }
  if (shard_of.empty()) throw bad_input("{}: weight_map: is empty", path);
  return shard_of;
}

// The one weight file of a directory without an index.
std::string single_weight_file(const fs::path& directory) {
  if (is_there(directory / "model.safetensors")) return (directory / "model.safetensors").string();
  std::vector<std::string> files;
  bool pickled = false;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".safetensors") files.push_back(entry.path().string());
    pickled |= extension == ".bin" || extension == ".pth" || extension == ".pt";
  }
  if (files.size() == 1) return files[0];
  if (files.size() > 1)
    throw bad_input("{}: holds {} .safetensors files, expected one or a {}", directory.string(),
                    files.size(), kIndex);
  if (pickled)
    throw bad_input("{}: holds pickled PyTorch weights, expected safetensors", directory.string())
        .hint("Save it with Transformers' save_pretrained(..., safe_serialization=True).");
  throw bad_input("{}: holds no .safetensors file", directory.string());
}

std::vector<std::unique_ptr<SafetensorsFile>> open_indexed(const fs::path& directory) {
  const std::string index = (directory / kIndex).string();
  const auto shard_of = read_index(index);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : shard_of) names.insert(shard);
  for (const std::string& name : names)
    if (!is_there(directory / name))
      throw bad_input("{}: missing, but {} names it", (directory / name).string(), kIndex)
          .hint(
              "The model was not fetched whole: fetch that file again, and the others whose sizes "
              "differ from the hub's.");
  std::vector<std::unique_ptr<SafetensorsFile>> shards;
  std::map<std::string, std::string> holder;  // tensor → shard that really holds it
  for (const std::string& name : names) {
    shards.push_back(std::make_unique<SafetensorsFile>((directory / name).string()));
    for (const ContainerEntry& entry : shards.back()->entries()) {
      const auto [other, fresh] = holder.emplace(entry.name, name);
      if (!fresh)
        throw bad_input("{}: {}: is in {} as well", entry.file, printable(entry.name),
                        other->second);
      const auto listed = shard_of.find(entry.name);
      if (listed == shard_of.end() || listed->second != name)
        throw bad_input("{}: {}: {} {}", entry.file, printable(entry.name), kIndex,
                        listed == shard_of.end() ? "does not list it"
                                                 : "says it is in " + printable(listed->second));
    }
  }
  for (const auto& [tensor, shard] : shard_of)
    if (!holder.count(tensor))
      throw bad_input("{}: holds no {}, though {} says so", (directory / shard).string(),
                      printable(tensor), kIndex);
  return shards;
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& model) {
  const FoundModel found = find_model(model);
  Checkpoint checkpoint;
  checkpoint.path_ = found.path;
  checkpoint.name_ = found.name;
  const fs::path path(found.path);
  if (fs::is_directory(path)) {
    checkpoint.metadata_ = read_metadata(path);
    if (!is_there(path / "model.safetensors") && is_there(path / kIndex))
      checkpoint.shards_ = open_indexed(path);
    else
      checkpoint.shards_.push_back(std::make_unique<SafetensorsFile>(single_weight_file(path)));
    for (const auto& shard : checkpoint.shards_)
      checkpoint.entries_.insert(checkpoint.entries_.end(), shard->entries().begin(),
                                 shard->entries().end());
    std::sort(checkpoint.entries_.begin(), checkpoint.entries_.end(),
              [](const ContainerEntry& a, const ContainerEntry& b) { return a.name < b.name; });
    return checkpoint;
  }
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    throw usage_error("{}: a file of a model, expected its directory or a .gguf file", found.path)
        .hint("Name the directory that holds it.");
  checkpoint.gguf_ = std::make_unique<GgufFile>(found.path);
  checkpoint.metadata_ = gguf_metadata(*checkpoint.gguf_);
  checkpoint.entries_ = checkpoint.gguf_->entries();
  if (path.extension() == ".gguf")
    checkpoint.name_ = fs::path(gguf_whole_path(found.path)).stem().string();
  return checkpoint;
}

const ContainerEntry* Checkpoint::find(std::string_view name) const {
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), name,
      [](const ContainerEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

int64_t Checkpoint::file_bytes() const {
  if (gguf_) return gguf_->file_bytes();
  std::set<std::string> files;
  for (const ContainerEntry& entry : entries_) files.insert(entry.file);
  int64_t total = 0;
  for (const std::string& file : files) total += static_cast<int64_t>(fs::file_size(file));
  return total;
}

std::vector<std::string> Checkpoint::side_files() const {
  static constexpr std::string_view kPassed[] = {"added_tokens.json",
                                                 "chat_template.jinja",
                                                 "chat_template.json",
                                                 "generation_config.json",
                                                 "merges.txt",
                                                 "preprocessor_config.json",
                                                 "processor_config.json",
                                                 "sentencepiece.bpe.model",
                                                 "special_tokens_map.json",
                                                 "spiece.model",
                                                 "tekken.json",
                                                 "tokenizer.json",
                                                 "tokenizer.model",
                                                 "tokenizer.model.v3",
                                                 "tokenizer_config.json",
                                                 "vocab.json",
                                                 "vocab.txt"};
  static constexpr std::string_view kLegal[] = {"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"};
  std::vector<std::string> files;
  if (is_gguf()) return files;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    const bool passed =
        std::find(std::begin(kPassed), std::end(kPassed), name) != std::end(kPassed) ||
        std::any_of(std::begin(kLegal), std::end(kLegal),
                    [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (passed && entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Checkpoint::fingerprint(ThreadPool& threads, const Look& look) const {
  struct Piece {
    const ContainerEntry* entry;
    std::span<const std::byte> bytes;
  };
  std::vector<Piece> pieces;
  for (const ContainerEntry& entry : entries_)
    for (size_t begin = 0; begin < entry.bytes.size(); begin += kPieceBytes)
      pieces.push_back(
          {&entry, entry.bytes.subspan(begin, std::min(kPieceBytes, entry.bytes.size() - begin))});
  std::vector<std::string> hashes(pieces.size());
  threads.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t i, int64_t) {
    throw_if_interrupted();
    const auto at = static_cast<size_t>(i);
    hashes[at] = Sha256().add(pieces[at].bytes).hex();
    if (look) look(*pieces[at].entry, pieces[at].bytes);
  });

  Sha256 hash;
  const auto add_text = [&hash](std::string_view text) {
    const uint64_t length = text.size();  // so that no two lists of texts read alike
    hash.add(std::as_bytes(std::span(&length, 1))).add(text);
  };
  add_text(metadata_.config.dump());
  for (const ContainerEntry& entry : entries_) {
    add_text(entry.name);
    add_text(entry.type);
    add_text(std::to_string(entry.shape.size()));
    hash.add(std::as_bytes(std::span(entry.shape)));
  }
  for (const std::string& piece : hashes) hash.add(piece);
  return hash.hex();
}

std::string Checkpoint::stamp() const {
  std::set<std::string> files;
  for (const ContainerEntry& entry : entries_) files.insert(entry.file);
  std::string text = metadata_.config.dump() + "\n";
  for (const std::string& file : files) {
    const auto written = fs::last_write_time(file).time_since_epoch().count();
    text +=
        fmt::format("{} {} {}\n", fs::path(file).filename().string(), fs::file_size(file), written);
  }
  return Sha256().add(text).hex();
}

}  // namespace halftone
