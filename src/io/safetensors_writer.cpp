// SafetensorsWriter of io/safetensors.h. Everything but the data follows from the plan: headers and
// the places of all tensors are known before the first byte, and data goes to its place in any
// order.
#include <fcntl.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/file_descriptor.h"
#include "io/safetensors.h"
#include "io/safetensors_types.h"

namespace halftone {
namespace {

// std::map underneath: keys sorted, as in every file that we write.
using SortedJson = nlohmann::json;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

struct SafetensorsWriter::Impl {
  struct Place {
    TensorPlan plan;
    size_t shard = 0;
    int64_t offset = 0;   // in the file
    int64_t written = 0;  // bytes
    bool begun = false;
    bool whole() const { return begun && written == plan.bytes; }
  };

  std::string directory;
  std::vector<Place> places;  // sorted by name
  std::vector<FileDescriptor> shards;
  bool finished = false;

  void check_plan() {
    std::sort(places.begin(), places.end(),
              [](const Place& a, const Place& b) { return a.plan.name < b.plan.name; });
    for (size_t i = 0; i < places.size(); ++i) {
      const TensorPlan& plan = places[i].plan;
      const auto bits = safetensors_bits(plan.type);
      const auto bytes = bits ? safetensors_bytes(*bits, plan.shape) : std::nullopt;
      if (!bytes || *bytes != static_cast<uint64_t>(plan.bytes))
        throw internal_error("{}: planned with {} bytes, which are not those of its shape",
                             plan.name, plan.bytes);
      if (plan.name == "__metadata__" || (i > 0 && plan.name == places[i - 1].plan.name))
        throw internal_error("{}: planned twice, or a reserved name", plan.name);
    }
  }

  // Neighbours by name share a shard: a shard then holds whole layers.
  size_t assign_shards(int64_t max_shard_bytes) {
    size_t shard = 0;
    int64_t filled = 0;
    for (Place& place : places) {
      if (filled > 0 && place.plan.bytes > max_shard_bytes - filled) {
        ++shard;
        filled = 0;
      }
      place.shard = shard;
      filled += place.plan.bytes;
    }
    return shard + 1;
  }

  std::string file_name(size_t shard, size_t count) const {
    if (count == 1) return "model.safetensors";
    return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, count);
  }

  void write_header(size_t shard, const std::string& path) {
    std::vector<Place*> members;
    for (Place& place : places)
      if (place.shard == shard) members.push_back(&place);
    // Wide elements first, so that every tensor is aligned to its element.
    std::stable_sort(members.begin(), members.end(), [](const Place* a, const Place* b) {
      return safetensors_bits(a->plan.type) > safetensors_bits(b->plan.type);
    });
    SortedJson header = {{"__metadata__", {{"format", "pt"}}}};
    int64_t end = 0;
    for (Place* place : members) {
      place->offset = end;
      end += place->plan.bytes;
      header[place->plan.name] = {{"dtype", place->plan.type},
                                  {"shape", place->plan.shape},
                                  {"data_offsets", {place->offset, end}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    const int64_t data = static_cast<int64_t>(8 + length);
    for (Place* place : members) place->offset += data;

    FileDescriptor file(path, O_RDWR | O_CREAT | O_TRUNC);
    file.reserve(data + end);
    file.write_at(0, std::as_bytes(std::span(&length, 1)));
    file.write_at(8, bytes_of(text));
    shards.push_back(std::move(file));
  }

  std::string index_path() const { return directory + "/model.safetensors.index.json"; }

  Place& place_of(const std::string& name) {
    const auto place = std::lower_bound(
        places.begin(), places.end(), name,
        [](const Place& each, const std::string& wanted) { return each.plan.name < wanted; });
    if (place == places.end() || place->plan.name != name)
      throw internal_error("{}: written, but not in the plan of the file", name);
    return *place;
  }

  void write_next(Place& place, std::span<const std::byte> bytes) {
    shards[place.shard].write_at(place.offset + place.written, bytes);
    place.written += static_cast<int64_t>(bytes.size());
    place.begun = true;
  }

  void write_index(const std::string& path) const {
    SortedJson map = SortedJson::object();
    int64_t total = 0;
    for (const Place& place : places) {
      map[place.plan.name] = file_name(place.shard, shards.size());
      total += place.plan.bytes;
    }
    const SortedJson index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
    write_file_atomically(path, index.dump(2) + "\n");
  }
};

SafetensorsWriter::SafetensorsWriter(std::string directory, std::vector<TensorPlan> plan,
                                     int64_t max_shard_bytes)
    : impl_(std::make_unique<Impl>()) {
  impl_->directory = std::move(directory);
  for (TensorPlan& tensor : plan) impl_->places.push_back({std::move(tensor)});
  impl_->check_plan();
  const size_t count = impl_->assign_shards(max_shard_bytes);
  for (size_t shard = 0; shard < count; ++shard)
    impl_->write_header(shard, impl_->directory + "/" + impl_->file_name(shard, count));
  if (count > 1) impl_->write_index(impl_->index_path());
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  Impl::Place& place = impl_->place_of(name);
  if (place.begun) throw internal_error("{}: written twice", name);
  if (bytes.size() != static_cast<size_t>(place.plan.bytes))
    throw internal_error("{}: {} bytes written, {} planned", name, bytes.size(), place.plan.bytes);
  impl_->write_next(place, bytes);
}

void SafetensorsWriter::append(const std::string& name, std::span<const std::byte> bytes) {
  Impl::Place& place = impl_->place_of(name);
  if (bytes.size() > static_cast<size_t>(place.plan.bytes - place.written))
    throw internal_error("{}: {} bytes after {}, {} planned", name, bytes.size(), place.written,
                         place.plan.bytes);
  impl_->write_next(place, bytes);
}

std::vector<std::string> SafetensorsWriter::finish() {
  for (const auto& place : impl_->places)
    if (!place.whole()) throw internal_error("{}: planned, but not written", place.plan.name);
  std::vector<std::string> paths;
  for (FileDescriptor& shard : impl_->shards) {
    shard.sync();
    paths.push_back(shard.path());
    shard.close();
  }
  if (paths.size() > 1) paths.push_back(impl_->index_path());
  return paths;
}

}  // namespace halftone
