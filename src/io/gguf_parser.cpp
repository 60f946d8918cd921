// GGUF's parser. Layout (little-endian, fields unaligned):
//   "GGUF" | u32 version | i64 tensors | i64 keys | keys | tensor infos | padding | data
// Nothing that the file says is believed before it is checked against what is left of the file.
// From ggml's docs/gguf.md.
#include "io/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "io/ggml_blocks.h"
#include "io/gguf.h"

namespace halftone {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

constexpr uint64_t kMaxString = uint64_t{1} << 30;
constexpr uint64_t kMaxArray = uint64_t{1} << 30;
constexpr uint64_t kMaxKeyLength = 65535, kMaxTensorName = 63;
constexpr int kMaxDimensions = 4;
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;  // length, name, type, value
constexpr uint64_t kLeastInfoBytes =
    8 + 1 + 4 + 8 + 4 + 8;  // length, name, rank, size, type, offset
constexpr uint64_t kDefaultAlignment = 32;

enum class ValueType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

// Bytes of a scalar; 0 for strings, arrays and unknown types.
uint64_t size_of(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    default:
      return 0;
  }
}

// Where the parser stands in the file; every read is checked.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }

  // `size` bytes; `what` is named when there are fewer.
  const std::byte* take(uint64_t size, std::string_view what) {
    if (!in_bounds(offset_, size, bytes_.size())) {
      throw bad_input("{}: truncated: {} at byte {} needs {} bytes, the file has {} more", path_,
                      what, offset_, size, remaining());
    }
    const std::byte* at = bytes_.data() + offset_;
    offset_ += size;
    return at;
  }

  template <class T>
  T scalar(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  std::string_view text(std::string_view what, uint64_t most = kMaxString) {
    const auto length = scalar<uint64_t>(what);
    if (length > most) {
      throw bad_input("{}: {}: string of {} bytes, expected at most {}", path_, what, length, most);
    }
    return {reinterpret_cast<const char*>(take(length, what)), length};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t offset_ = 0;
};

bool to_bool(uint8_t byte, const std::string& where) {
  if (byte > 1) throw bad_input("{}: boolean {}, expected 0 or 1", where, byte);
  return byte == 1;
}

// Names go into messages: only characters that a terminal shows.
std::string read_name(Cursor& in, std::string_view what, uint64_t most, const std::string& path) {
  const std::string_view name = in.text(what, most);
  if (name.empty()) throw bad_input("{}: {} is empty", path, what);
  for (const char c : name) {
    if (c >= ' ' && c <= '~') continue;
    throw bad_input("{}: {} holds byte {:#04x}, expected printable ASCII", path, what,
                    static_cast<unsigned char>(c));
  }
  return std::string(name);
}

// The cases of one scalar type, as a value or as elements of an array.
template <class Stored, class Wide>
std::vector<Wide> read_elements(Cursor& in, uint64_t count, const std::string& key) {
  const std::byte* at = in.take(count * sizeof(Stored), key);
  std::vector<Wide> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, at + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<Wide>(value);
  }
  return values;
}

// `where` is "file: key", for errors.
GgufValue read_array(Cursor& in, const std::string& where, const std::string& key) {
  const auto type = static_cast<ValueType>(in.scalar<uint32_t>(key));
  const auto count = in.scalar<uint64_t>(key);
  if (type == ValueType::array)
    throw bad_input("{}: array of arrays, which GGUF does not have", where);
  const uint64_t least = type == ValueType::string ? sizeof(uint64_t) : size_of(type);
  if (least == 0) {
    throw bad_input("{}: array of type {}, which GGUF does not have", where,
                    static_cast<uint32_t>(type));
  }
  if (count > kMaxArray || count > in.remaining() / least) {
    throw bad_input("{}: array of {} elements, but only {} bytes are left", where, count,
                    in.remaining());
  }
  switch (type) {
    case ValueType::u8:
      return read_elements<uint8_t, int64_t>(in, count, key);
    case ValueType::i8:
      return read_elements<int8_t, int64_t>(in, count, key);
    case ValueType::u16:
      return read_elements<uint16_t, int64_t>(in, count, key);
    case ValueType::i16:
      return read_elements<int16_t, int64_t>(in, count, key);
    case ValueType::u32:
      return read_elements<uint32_t, int64_t>(in, count, key);
    case ValueType::i32:
      return read_elements<int32_t, int64_t>(in, count, key);
    case ValueType::i64:
      return read_elements<int64_t, int64_t>(in, count, key);
    case ValueType::f32:
      return read_elements<float, double>(in, count, key);
    case ValueType::f64:
      return read_elements<double, double>(in, count, key);
    case ValueType::boolean: {
      auto values = read_elements<uint8_t, int64_t>(in, count, key);
      for (int64_t value : values) to_bool(static_cast<uint8_t>(value), where);
      return values;
    }
    case ValueType::u64: {
      auto values = read_elements<uint64_t, int64_t>(in, count, key);
      if (std::any_of(values.begin(), values.end(), [](int64_t value) { return value < 0; })) {
        throw bad_input("{}: element of 2^63 or more", where);
      }
      return values;
    }
    default:
      break;
  }
  std::vector<std::string> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) values.emplace_back(in.text(key));
  return values;
}

GgufValue read_value(Cursor& in, const std::string& where, const std::string& key) {
  const auto type = static_cast<ValueType>(in.scalar<uint32_t>(key));
  switch (type) {
    case ValueType::u8:
      return uint64_t{in.scalar<uint8_t>(key)};
    case ValueType::u16:
      return uint64_t{in.scalar<uint16_t>(key)};
    case ValueType::u32:
      return uint64_t{in.scalar<uint32_t>(key)};
    case ValueType::u64:
      return in.scalar<uint64_t>(key);
    case ValueType::i8:
      return int64_t{in.scalar<int8_t>(key)};
    case ValueType::i16:
      return int64_t{in.scalar<int16_t>(key)};
    case ValueType::i32:
      return int64_t{in.scalar<int32_t>(key)};
    case ValueType::i64:
      return in.scalar<int64_t>(key);
    case ValueType::f32:
      return static_cast<double>(in.scalar<float>(key));
    case ValueType::f64:
      return in.scalar<double>(key);
    case ValueType::boolean:
      return to_bool(in.scalar<uint8_t>(key), where);
    case ValueType::string:
      return std::string(in.text(key));
    case ValueType::array:
      return read_array(in, where, key);
  }
  throw bad_input("{}: value of type {}, which GGUF does not have", where,
                  static_cast<uint32_t>(type));
}

// A tensor info: where its data should be, not checked against the file yet.
struct TensorInfo {
  ContainerEntry entry;
  uint64_t offset = 0, size = 0;  // offset from the start of the data
};

void check_version(uint32_t version, const std::string& path) {
  if (version == 2 || version == 3) return;
  if ((version & 0xffffu) == 0 && version != 0) {
    throw bad_input("{}: a big-endian GGUF file, expected little-endian", path)
        .hint("convert it on the machine that wrote it, or get the little-endian file.");
  }
  throw bad_input("{}: GGUF version {}, expected 2 or 3", path, version)
      .hint("write the file again with a current llama.cpp.");
}

std::map<std::string, GgufValue> read_keys(Cursor& in, uint64_t count, const std::string& path) {
  std::map<std::string, GgufValue> keys;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = read_name(in, "a key's name", kMaxKeyLength, path);
    const auto [at, added] = keys.try_emplace(key);
    if (!added) throw bad_input("{}: key {} appears twice", path, key);
    at->second = read_value(in, path + ": " + key, key);
  }
  return keys;
}

uint64_t read_alignment(const std::map<std::string, GgufValue>& keys, const std::string& path) {
  const auto found = keys.find("general.alignment");
  if (found == keys.end()) return kDefaultAlignment;
  const auto* alignment = std::get_if<uint64_t>(&found->second);
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > UINT32_MAX) {
    throw bad_input("{}: general.alignment is not a power of two", path);
  }
  return *alignment;
}

TensorInfo read_info(Cursor& in, uint64_t alignment, const std::string& path) {
  TensorInfo info;
  ContainerEntry& entry = info.entry;
  entry.file = path;
  entry.name = read_name(in, "a tensor's name", kMaxTensorName, path);
  const std::string where = path + ": " + entry.name;
  const auto rank = in.scalar<uint32_t>(entry.name);
  if (rank < 1 || rank > kMaxDimensions) {
    throw bad_input("{}: {} dimensions, expected 1 to {}", where, rank, kMaxDimensions);
  }
  uint64_t elements = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const auto size = in.scalar<int64_t>(entry.name);
    if (size < 1) throw bad_input("{}: dimension {} is {}, expected 1 or more", where, i, size);
    const auto product = checked_multiply(elements, static_cast<uint64_t>(size));
    if (!product || *product > INT64_MAX) {
      throw bad_input("{}: more elements than a 64-bit number can count", where);
    }
    elements = *product;
    entry.shape.insert(entry.shape.begin(), size);  // GGUF's first dimension is the innermost
  }
  const auto number = in.scalar<uint32_t>(entry.name);
  entry.type = ggml_type_name(number);
  const auto block = ggml_block(entry.type);
  if (!block) {
    throw bad_input("{}: type {}, expected one of {}", where,
                    entry.type.empty() ? std::to_string(number) : entry.type,
                    readable_ggml_types());
  }
  if (entry.shape.back() % block->values != 0) {
    throw bad_input("{}: rows of {} values, expected a multiple of {}'s {}", where,
                    entry.shape.back(), entry.type, block->values);
  }
  const auto size = checked_multiply(elements / static_cast<uint64_t>(block->values),
                                     static_cast<uint64_t>(block->bytes));
  if (!size) throw bad_input("{}: more bytes than a 64-bit number can count", where);
  info.size = *size;
  info.offset = in.scalar<uint64_t>(entry.name);
  if (info.offset % alignment != 0) {
    throw bad_input("{}: offset {}, expected a multiple of the alignment {}", where, info.offset,
                    alignment);
  }
  return info;
}

// Turns offsets into bytes of the file: inside it, and no two tensors in the same place.
std::vector<ContainerEntry> place_tensors(std::vector<TensorInfo> infos,
                                          std::span<const std::byte> data,
                                          const std::string& path) {
  std::sort(infos.begin(), infos.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.offset < b.offset; });
  std::vector<ContainerEntry> entries;
  entries.reserve(infos.size());
  const TensorInfo* before = nullptr;
  for (TensorInfo& info : infos) {
    if (!in_bounds(info.offset, info.size, data.size())) {
      throw bad_input("{}: {}: {} bytes at offset {} run past the file's {} bytes of data", path,
                      info.entry.name, info.size, info.offset, data.size())
          .hint("the file is truncated or damaged: fetch it again.");
    }
    if (before != nullptr && info.offset < before->offset + before->size) {
      throw bad_input("{}: {} overlaps {}", path, info.entry.name, entries.back().name);
    }
    info.entry.bytes = data.subspan(info.offset, info.size);
    entries.push_back(std::move(info.entry));
    before = &info;
  }
  return entries;
}

}  // namespace

GgufPart parse_gguf(std::span<const std::byte> bytes, const std::string& path) {
  Cursor in(bytes, path);
  if (bytes.size() < 4 || std::memcmp(in.take(4, "the magic"), "GGUF", 4) != 0) {
    throw bad_input("{}: not a GGUF file: it does not begin with \"GGUF\"", path);
  }
  check_version(in.scalar<uint32_t>("the version"), path);
  const auto tensors = in.scalar<int64_t>("the tensor count");
  const auto keys = in.scalar<int64_t>("the key count");
  if (keys < 0 || static_cast<uint64_t>(keys) > in.remaining() / kLeastKeyBytes) {
    throw bad_input("{}: {} keys cannot stand in {} bytes", path, keys, in.remaining());
  }
  GgufPart part;
  part.keys = read_keys(in, static_cast<uint64_t>(keys), path);
  const uint64_t alignment = read_alignment(part.keys, path);
  if (tensors < 0 || static_cast<uint64_t>(tensors) > in.remaining() / kLeastInfoBytes) {
    throw bad_input("{}: {} tensors cannot stand in {} bytes", path, tensors, in.remaining());
  }
  std::vector<TensorInfo> infos;
  for (int64_t i = 0; i < tensors; ++i) infos.push_back(read_info(in, alignment, path));
  const auto padded = checked_add(in.offset(), alignment - 1);
  const uint64_t start = padded ? *padded & ~(alignment - 1) : bytes.size();
  part.entries =
      place_tensors(std::move(infos), bytes.subspan(std::min(start, bytes.size())), path);
  return part;
}

}  // namespace halftone
