// GGUF's layout is io/gguf_parser.cpp's. Data are aligned to 32 bytes, tensors in the plan's order.
#include "io/gguf_writer.h"

#include <fcntl.h>

#include <cassert>
#include <cstring>
#include <type_traits>

#include "base/error.h"
#include "io/ggml_blocks.h"
#include "io/gguf.h"

namespace halftone {
namespace {

constexpr uint32_t kVersion = 3;
constexpr int64_t kAlignment = 32;
constexpr size_t kMostName = 63;

enum : uint32_t { kU16 = 2, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

class Bytes {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(value));
    std::memcpy(bytes_.data() + at, &value, sizeof(value));
  }
  void text(const std::string& value) {
    number<uint64_t>(value.size());
    bytes_ += value;
  }
  template <class T>
  void numbers(uint32_t type, const std::vector<T>& values) {
    number(kArray);
    number(type);
    number<uint64_t>(values.size());
    for (const T value : values) number(value);
  }
  void pad() { bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment, '\0'); }
  void raw(const char* value) { bytes_ += value; }
  std::string bytes_;
};

void put_field(Bytes& out, const GgufField& field) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::vector<int32_t>>) {
          out.numbers(kI32, value);
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          out.numbers(kF32, value);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          out.number<uint32_t>(kArray);
          out.number<uint32_t>(kString);
          out.number<uint64_t>(value.size());
          for (const std::string& text : value) out.text(text);
        } else if constexpr (std::is_same_v<T, std::string>) {
          out.number<uint32_t>(kString);
          out.text(value);
        } else if constexpr (std::is_same_v<T, bool>) {
          out.number<uint32_t>(kBool);
          out.number<uint8_t>(value ? 1 : 0);
        } else {
          out.number<uint32_t>(std::is_same_v<T, float>      ? kF32
                               : std::is_same_v<T, uint16_t> ? kU16
                               : std::is_same_v<T, int32_t>  ? kI32
                                                             : kU32);
          out.number(value);
        }
      },
      field);
}

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Neighbours, at most so many bytes of them in each part, but one at least.
std::vector<std::span<const GgufTensorPlan>> parts_of(const std::vector<GgufTensorPlan>& tensors,
                                                      int64_t max_bytes) {
  std::vector<std::span<const GgufTensorPlan>> parts;
  size_t begin = 0;
  int64_t filled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t bytes = aligned(bytes_of(tensors[i]));
    if (max_bytes > 0 && i > begin && bytes > max_bytes - filled) {
      parts.emplace_back(&tensors[begin], i - begin);
      begin = i;
      filled = 0;
    }
    filled += bytes;
  }
  parts.push_back(std::span(tensors).subspan(begin));
  return parts;
}

}  // namespace

int64_t bytes_of(const GgufTensorPlan& tensor) {
  const auto block = ggml_block(tensor.type);
  assert(block && !tensor.shape.empty() && tensor.shape.back() % block->values == 0);
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return rows * (tensor.shape.back() / block->values) * block->bytes;
}

GgufWriter::GgufWriter(const std::string& path, const GgufFields& keys,
                       const std::vector<GgufTensorPlan>& tensors, int64_t max_part_bytes) {
  const auto parts = parts_of(tensors, max_part_bytes);
  if (parts.size() == 1) {
    begin_file(path, keys, tensors);
    return;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    GgufFields own = i == 0 ? keys : GgufFields();
    own.emplace_back("split.no", static_cast<uint16_t>(i));
    own.emplace_back("split.count", static_cast<uint16_t>(parts.size()));
    own.emplace_back("split.tensors.count", static_cast<int32_t>(tensors.size()));
    begin_file(gguf_part_path(path, i, parts.size()), own, parts[i]);
  }
}

void GgufWriter::begin_file(const std::string& path, const GgufFields& keys,
                            std::span<const GgufTensorPlan> tensors) {
  Bytes head;
  head.raw("GGUF");
  head.number(kVersion);
  head.number<int64_t>(static_cast<int64_t>(tensors.size()));
  head.number<int64_t>(static_cast<int64_t>(keys.size()));
  for (const auto& [name, value] : keys) {
    head.text(name);
    put_field(head, value);
  }
  int64_t offset = 0;
  for (const GgufTensorPlan& tensor : tensors) {
    if (tensor.name.size() > kMostName)
      throw internal_error("{}: the name of a GGUF tensor has at most {} bytes", tensor.name,
                           kMostName);
    head.text(tensor.name);
    head.number<uint32_t>(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) head.number<int64_t>(tensor.shape[i]);
    head.number<uint32_t>(*ggml_type_number(tensor.type));
    head.number<uint64_t>(static_cast<uint64_t>(offset));
    if (!places_.emplace(tensor.name, Place{files_.size(), offset, bytes_of(tensor)}).second)
      throw internal_error("{}: planned twice", tensor.name);
    offset = aligned(offset + bytes_of(tensor));
  }
  head.pad();
  const auto data = static_cast<int64_t>(head.bytes_.size());
  for (const GgufTensorPlan& tensor : tensors) places_.at(tensor.name).offset += data;
  FileDescriptor file(path, O_RDWR | O_CREAT | O_TRUNC);
  file.reserve(data + offset);
  file.write_at(0, std::as_bytes(std::span(head.bytes_)));
  size_ += data + offset;
  files_.push_back(std::move(file));
}

void GgufWriter::write(const std::string& name, int64_t offset, std::span<const std::byte> bytes) {
  const auto place = places_.find(name);
  if (place == places_.end())
    throw internal_error("{}: written, but not in the plan of the file", name);
  const auto size = static_cast<int64_t>(bytes.size());
  if (offset < 0 || size > place->second.bytes - offset)
    throw internal_error("{}: {} bytes written at {}, {} planned", name, size, offset,
                         place->second.bytes);
  files_[place->second.file].write_at(place->second.offset + offset, bytes);
  const std::lock_guard lock(mutex_);
  place->second.written += size;
}

int64_t GgufWriter::finish() {
  for (const auto& [name, place] : places_)
    if (place.written != place.bytes)
      throw internal_error("{}: {} bytes planned, {} written", name, place.bytes, place.written);
  for (FileDescriptor& file : files_) {
    file.sync();
    file.close();
  }
  return size_;
}

}  // namespace halftone
