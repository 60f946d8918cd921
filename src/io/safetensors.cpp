// Reads safetensors (https://huggingface.co/docs/safetensors): u64 length, JSON header, data.
// Nothing in the file is believed: lengths, shapes and offsets are checked against its real size.
#include "io/safetensors.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/checked.h"
#include "base/error.h"
#include "base/printable.h"
#include "io/safetensors_types.h"

namespace halftone {
namespace {

namespace dom = simdjson::dom;

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr size_t kPrefix = 8;

struct Range {
  uint64_t begin = 0, end = 0;
};

class HeaderParser {
 public:
  HeaderParser(const MappedFile& file, std::vector<ContainerEntry>& entries,
               std::map<std::string, std::string>& metadata)
      : file_(file), entries_(entries), metadata_(metadata) {}

  void parse() {
    const std::string_view text = header_text();
    dom::parser parser;
    dom::element root;
    if (const auto failure = parser.parse(text.data(), text.size()).get(root))
      throw bad_input("{}: header: {}", path(), simdjson::error_message(failure));
    dom::object object;
    if (root.get(object)) throw bad_input("{}: header: expected a JSON object", path());
    bool seen_metadata = false;
    for (const auto& [name, value] : object) {
      if (name != "__metadata__") {
        add_tensor(name, value);
        continue;
      }
      if (seen_metadata) throw bad_input("{}: header: __metadata__ appears twice", path());
      seen_metadata = true;
      add_metadata(value);
    }
    check_coverage();
    sort_by_name();
  }

 private:
  const std::string& path() const { return file_.path(); }

  std::string_view header_text() {
    const auto bytes = file_.bytes();
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (all.starts_with("version https://git-lfs"))
      throw bad_input("{}: is a Git LFS pointer, not the file itself", path())
          .hint("Run git lfs pull in its directory.");
    if (bytes.size() < kPrefix)
      throw bad_input("{}: {} bytes, too short for a safetensors file", path(), bytes.size())
          .hint("fetch the file again.");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), kPrefix);
    if (length > kMaxHeader)
      throw bad_input("{}: header length {}, expected at most {}: not a safetensors file", path(),
                      length, kMaxHeader);
    if (!in_bounds(kPrefix, length, bytes.size()))
      throw bad_input("{}: header length {}, but the file has {} bytes: truncated", path(), length,
                      bytes.size())
          .hint("fetch the file again.");
    data_ = bytes.subspan(kPrefix + length);
    return all.substr(kPrefix, length);
  }

  template <class... Args>
  Error tensor_error(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
    return bad_input("{}: {}: {}", path(), printable(name),
                     fmt::format(format, std::forward<Args>(args)...));
  }

  void add_metadata(const dom::element& value) {
    dom::object object;
    if (value.get(object)) throw bad_input("{}: __metadata__: expected an object", path());
    for (const auto& [key, text] : object) {
      std::string_view content;
      if (text.get(content))
        throw bad_input("{}: __metadata__: {}: expected a string", path(), printable(key));
      if (!metadata_.emplace(key, content).second)
        throw bad_input("{}: __metadata__: {} appears twice", path(), printable(key));
    }
  }

  void add_tensor(std::string_view name, const dom::element& value) {
    dom::object object;
    if (value.get(object)) throw tensor_error(name, "expected an object");
    std::optional<dom::element> dtype, shape, offsets;
    for (const auto& [key, field] : object) {
      std::optional<dom::element>* slot = key == "dtype"          ? &dtype
                                          : key == "shape"        ? &shape
                                          : key == "data_offsets" ? &offsets
                                                                  : nullptr;
      if (!slot) continue;
      if (*slot) throw tensor_error(name, "{} appears twice", key);
      *slot = field;
    }
    if (!dtype || !shape || !offsets)
      throw tensor_error(name, "{}: missing", !dtype ? "dtype" : !shape ? "shape" : "data_offsets");
    ContainerEntry entry;
    entry.name = name;
    entry.file = path();
    std::string_view type;
    if (dtype->get(type)) throw tensor_error(name, "dtype: expected a string");
    entry.type = type;
    const auto sizes = read_numbers(name, "shape", *shape);
    entry.shape.assign(sizes.begin(), sizes.end());
    const auto ends = read_numbers(name, "data_offsets", *offsets);
    if (ends.size() != 2)
      throw tensor_error(name, "data_offsets: {} numbers, expected 2", ends.size());
    place(entry, {ends[0], ends[1]});
    entries_.push_back(std::move(entry));
  }

  std::vector<uint64_t> read_numbers(std::string_view name, const char* field,
                                     const dom::element& value) {
    dom::array array;
    if (value.get(array)) throw tensor_error(name, "{}: expected a list", field);
    std::vector<uint64_t> numbers;
    for (const dom::element item : array) {
      uint64_t number = 0;
      if (item.get(number) || number > static_cast<uint64_t>(INT64_MAX))
        throw tensor_error(name, "{}: expected integers from 0 to 2^63 - 1", field);
      numbers.push_back(number);
    }
    return numbers;
  }

  void place(ContainerEntry& entry, Range range) {
    const auto bits = safetensors_bits(entry.type);
    if (!bits) throw tensor_error(entry.name, "unknown dtype {}", printable(entry.type, 20));
    const auto bytes = safetensors_bytes(*bits, entry.shape);
    const std::string shape = fmt::format("[{}]", fmt::join(entry.shape, ", "));
    if (!bytes)
      throw tensor_error(entry.name, "shape {} of {} has no size in bytes", printable(shape),
                         entry.type);
    if (range.begin > range.end)
      throw tensor_error(entry.name, "data_offsets [{}, {}]: the end is before the beginning",
                         range.begin, range.end);
    if (range.end > data_.size())
      throw tensor_error(entry.name, "data_offsets [{}, {}], but the file has {} bytes of data",
                         range.begin, range.end, data_.size());
    if (range.end - range.begin != *bytes)
      throw tensor_error(entry.name, "{} bytes of data, expected {} for shape {} of {}",
                         range.end - range.begin, *bytes, printable(shape), entry.type);
    entry.bytes = data_.subspan(range.begin, *bytes);
    ranges_.push_back(range);
  }

  // Every byte of the data belongs to exactly one tensor.
  void check_coverage() {
    std::vector<size_t> order(ranges_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [this](size_t a, size_t b) {
      return std::pair(ranges_[a].begin, ranges_[a].end) <
             std::pair(ranges_[b].begin, ranges_[b].end);
    });
    uint64_t covered = 0;
    const std::string* last = nullptr;  // whose data end at `covered`
    for (const size_t i : order) {
      if (ranges_[i].begin < covered)
        throw tensor_error(entries_[i].name, "its data overlap those of {} at byte {}",
                           printable(*last), ranges_[i].begin);
      if (ranges_[i].begin > covered)
        throw tensor_error(entries_[i].name, "{} bytes before its data belong to no tensor",
                           ranges_[i].begin - covered);
      covered = ranges_[i].end;
      last = &entries_[i].name;
    }
    if (covered != data_.size())
      throw bad_input("{}: the last {} bytes belong to no tensor", path(), data_.size() - covered);
  }

  void sort_by_name() {
    std::sort(entries_.begin(), entries_.end(),
              [](const ContainerEntry& a, const ContainerEntry& b) { return a.name < b.name; });
    for (size_t i = 1; i < entries_.size(); ++i)
      if (entries_[i].name == entries_[i - 1].name)
        throw tensor_error(entries_[i].name, "appears twice");
  }

  const MappedFile& file_;
  std::vector<ContainerEntry>& entries_;
  std::map<std::string, std::string>& metadata_;
  std::span<const std::byte> data_;
  std::vector<Range> ranges_;  // of entries_, before they are sorted
};

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  HeaderParser(file_, entries_, metadata_).parse();
}

}  // namespace halftone
