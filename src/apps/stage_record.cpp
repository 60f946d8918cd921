// A plain byte stream: a version, then fields in the order of the structs.
#include "apps/stage_record.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace halftone {
namespace {

constexpr uint32_t kVersion = 6;

class Writer {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { put_bytes(&value, sizeof value); }
  void put(const std::string& text) {
    put(static_cast<uint64_t>(text.size()));
    put_bytes(text.data(), text.size());
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put(static_cast<uint64_t>(values.size()));
    put_bytes(values.data(), values.size() * sizeof(T));
  }
  // As put() writes a vector of `size` bytes: those are the caller's to fill, before the next call.
  uint8_t* put_room(size_t size) {
    put(static_cast<uint64_t>(size));
    bytes_.resize(bytes_.size() + size);
    return reinterpret_cast<uint8_t*>(bytes_.data() + bytes_.size() - size);
  }
  void reserve(size_t size) { bytes_.reserve(size); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void put_bytes(const void* data, size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  requires std::is_trivially_copyable_v<T>
  void get(T& value) { std::memcpy(&value, take(sizeof value), sizeof value); }
  // Bytes that no bool and no enumerator has are refused, not made into one.
  bool get_flag() { return get_enum<uint8_t>(1) != 0; }
  template <class Enum>
  Enum get_enum(Enum last) {
    uint8_t value = 0;
    get(value);
    if (value > static_cast<uint8_t>(last))
      throw bad_input("journal: a record holds {} where {} is the most", value,
                      static_cast<uint8_t>(last));
    return static_cast<Enum>(value);
  }
  void get(std::string& text) {
    const size_t size = count(1);
    text.assign(reinterpret_cast<const char*>(take(size)), size);
  }
  template <class T>
  void get(std::vector<T>& values) {
    const size_t size = count(sizeof(T));
    values.resize(size);
    if (size > 0) std::memcpy(values.data(), take(size * sizeof(T)), size * sizeof(T));
  }
  bool done() const { return bytes_.empty(); }
  // A count of items of `size` bytes each that are still there.
  size_t count(size_t size) {
    uint64_t value = 0;
    get(value);
    if (value > bytes_.size() / size) fail();
    return static_cast<size_t>(value);
  }

 private:
  const std::byte* take(size_t size) {
    if (size > bytes_.size()) fail();
    const std::byte* data = bytes_.data();
    bytes_ = bytes_.subspan(size);
    return data;
  }
  [[noreturn]] static void fail() {
    throw bad_input("journal: a record is shorter than it says").hint("start again with --force.");
  }
  std::span<const std::byte> bytes_;
};

size_t packed_size(size_t codes, int bits) { return (codes * static_cast<size_t>(bits) + 7) / 8; }

// Codes of `bits` each, least significant first, without gaps.
void pack_codes(std::span<const uint8_t> codes, int bits, uint8_t* packed) {
  if (bits == 8) {
    std::copy(codes.begin(), codes.end(), packed);
    return;
  }
  if (bits == 4) {  // most of what is packed, and by far the fastest
    const size_t pairs = codes.size() / 2;
    for (size_t i = 0; i < pairs; ++i)
      packed[i] = static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
    if (codes.size() % 2 != 0) packed[pairs] = codes.back();
    return;
  }
  std::fill_n(packed, packed_size(codes.size(), bits), uint8_t{0});
  size_t at = 0;
  for (uint8_t code : codes) {
    const unsigned shifted = static_cast<unsigned>(code) << at % 8;
    packed[at / 8] = static_cast<uint8_t>(packed[at / 8] | shifted);
    if (at % 8 + static_cast<size_t>(bits) > 8)
      packed[at / 8 + 1] = static_cast<uint8_t>(packed[at / 8 + 1] | shifted >> 8);
    at += static_cast<size_t>(bits);
  }
}

std::vector<uint8_t> unpack_codes(const std::vector<uint8_t>& packed, size_t count, int bits) {
  if (bits == 8) return packed;
  std::vector<uint8_t> codes(count);
  if (bits == 4) {
    for (size_t i = 0; i < count / 2; ++i) {
      codes[2 * i] = packed[i] & 15;
      codes[2 * i + 1] = packed[i] >> 4;
    }
    if (count % 2 != 0) codes[count - 1] = packed[count / 2] & 15;
    return codes;
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t at = i * static_cast<size_t>(bits);
    unsigned word = packed[at / 8];
    if (at / 8 + 1 < packed.size()) word |= static_cast<unsigned>(packed[at / 8 + 1]) << 8;
    codes[i] = static_cast<uint8_t>(word >> at % 8 & ((1u << bits) - 1));
  }
  return codes;
}

void put_id(Writer& out, const StageId& id) {
  out.put(id.layer);
  out.put(id.stage);
  out.put(id.expert);
}

StageId get_id(Reader& in) {
  StageId id;
  in.get(id.layer);
  id.stage = in.get_enum(Stage::head);
  in.get(id.expert);
  return id;
}

void put_codes(Writer& out, std::span<const uint8_t> codes, int bits, ThreadPool* threads) {
  constexpr int64_t kPiece = int64_t{1} << 22;  // whole bytes at every width
  uint8_t* packed = out.put_room(packed_size(codes.size(), bits));
  const auto pack = [&](int64_t begin, int64_t end) {
    const auto from = static_cast<size_t>(begin), count = static_cast<size_t>(end - begin);
    pack_codes(codes.subspan(from, count), bits, packed + packed_size(from, bits));
  };
  const auto count = static_cast<int64_t>(codes.size());
  if (threads)
    threads->parallel_for(count, kPiece, pack);
  else
    pack(0, count);
}

void put_matrix(Writer& out, const QuantizedMatrix& matrix, ThreadPool* threads) {
  out.put(matrix.grid.bits);
  out.put(matrix.grid.group_size);
  out.put(static_cast<uint8_t>(matrix.grid.symmetric));
  out.put(matrix.grid.scales);
  out.put(static_cast<uint8_t>(matrix.grid.stores_offset));
  out.put(matrix.grid.table);
  out.put(static_cast<uint8_t>(matrix.grid.offsets));
  out.put(matrix.grid.superblock);
  out.put(matrix.grid.multiple_bits);
  out.put(static_cast<uint8_t>(matrix.grid.signed_scales));
  out.put(matrix.rows);
  out.put(matrix.cols);
  put_codes(out, matrix.codes, matrix.grid.bits, threads);
  out.put(matrix.scales);
  out.put(matrix.zeros);
  out.put(matrix.offsets);
  out.put(matrix.group_of);
}

// rows·cols codes of `bits` in `bytes` bytes: sizes first, so that no product can overflow.
bool sizes_agree(const QuantizedMatrix& matrix, size_t bytes) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const Grid& grid = matrix.grid;
  if (grid.bits < 1 || grid.bits > 8 || (grid.group_size != -1 && grid.group_size < 1))
    return false;
  if (matrix.rows < 1 || matrix.cols < 1 || matrix.rows >= kMost || matrix.cols >= kMost)
    return false;
  const auto codes = static_cast<uint64_t>(matrix.rows * matrix.cols);
  return codes / 8 <= bytes && (codes * static_cast<uint64_t>(grid.bits) + 7) / 8 == bytes;
}

// What value() and pack() index with.
bool groups_agree(const QuantizedMatrix& matrix) {
  const int64_t groups = matrix.grid.groups(matrix.cols);
  const auto count = static_cast<size_t>(matrix.rows) * static_cast<size_t>(groups);
  const bool offsets = matrix.grid.offsets;
  if (matrix.scales.size() != count || matrix.zeros.size() != (offsets ? 0 : count) ||
      matrix.offsets.size() != (offsets ? count : 0))
    return false;
  if (!matrix.group_of.empty() && matrix.group_of.size() != static_cast<size_t>(matrix.cols))
    return false;
  return std::all_of(matrix.group_of.begin(), matrix.group_of.end(),
                     [&](int32_t group) { return group >= 0 && group < groups; }) &&
         std::all_of(matrix.zeros.begin(), matrix.zeros.end(),
                     [&](uint8_t zero) { return zero < matrix.grid.levels(); });
}

QuantizedMatrix get_matrix(Reader& in) {
  QuantizedMatrix matrix;
  std::vector<uint8_t> packed;
  in.get(matrix.grid.bits);
  in.get(matrix.grid.group_size);
  matrix.grid.symmetric = in.get_flag();
  matrix.grid.scales = in.get_enum(ScaleStore::bf16);
  matrix.grid.stores_offset = in.get_flag();
  matrix.grid.table = in.get_enum(LevelTable::iq4_nl);
  matrix.grid.offsets = in.get_flag();
  in.get(matrix.grid.superblock);
  in.get(matrix.grid.multiple_bits);
  matrix.grid.signed_scales = in.get_flag();
  in.get(matrix.rows);
  in.get(matrix.cols);
  in.get(packed);
  if (!sizes_agree(matrix, packed.size()))
    throw bad_input("journal: a matrix does not have the size it says");
  matrix.codes =
      unpack_codes(packed, static_cast<size_t>(matrix.rows * matrix.cols), matrix.grid.bits);
  in.get(matrix.scales);
  in.get(matrix.zeros);
  in.get(matrix.offsets);
  in.get(matrix.group_of);
  if (!groups_agree(matrix)) throw bad_input("journal: a matrix does not have the groups it says");
  return matrix;
}

void put_linear(Writer& out, const FinishedLinear& linear, ThreadPool* threads) {
  out.put(linear.key.layer);
  out.put(linear.key.role);
  out.put(linear.key.part);
  out.put(linear.key.expert);
  out.put(linear.module);
  put_matrix(out, linear.matrix, threads);
  out.put(linear.report.relative_error.has_value());
  out.put(linear.report.relative_error.value_or(0));
  out.put(linear.report.damping);
  out.put(linear.report.dead_columns);
  out.put(linear.report.note);
  out.put(linear.seconds);
}

FinishedLinear get_linear(Reader& in) {
  FinishedLinear linear;
  in.get(linear.key.layer);
  linear.key.role = in.get_enum(Role::head);
  linear.key.part = in.get_enum(Part::bias);
  in.get(linear.key.expert);
  in.get(linear.module);
  linear.matrix = get_matrix(in);
  const bool measured = in.get_flag();
  double error = 0;
  in.get(error);
  if (measured) linear.report.relative_error = error;
  in.get(linear.report.damping);
  in.get(linear.report.dead_columns);
  in.get(linear.report.note);
  in.get(linear.seconds);
  return linear;
}

// What a record takes, or a little more.
size_t size_of(const StageRecord& record) {
  size_t size = 4096;
  for (const FinishedLinear& linear : record.linears) {
    const QuantizedMatrix& matrix = linear.matrix;
    size += packed_size(matrix.codes.size(), matrix.grid.bits) +
            (matrix.scales.size() + matrix.offsets.size()) * sizeof(float) + matrix.zeros.size() +
            matrix.group_of.size() * sizeof(int32_t) + linear.module.size() +
            linear.report.note.size() + 256;
  }
  return size;
}

}  // namespace

std::string record_name(const StageId& id) {
  if (id == kHeadStage) return "head";
  return fmt::format("layer {} {}{}", id.layer, name_of(id.stage),
                     id.expert < 0 ? "" : fmt::format(" expert {}", id.expert));
}

int64_t stages_before(const StageId& id, int64_t layers) {
  return id == kHeadStage ? layers * kStages : id.layer * kStages + static_cast<int64_t>(id.stage);
}

std::string place_text(const StageId& id, int64_t layers) {
  if (id == kHeadStage) return "head";
  return fmt::format("layer {}/{}  {}", id.layer + 1, layers, name_of(id.stage));
}

StageRecord without_matrices(const StageRecord& stage) {
  StageRecord record{.id = stage.id,
                     .linears = {},
                     .loudest = stage.loudest,
                     .typical_rms = stage.typical_rms,
                     .seconds = stage.seconds};
  for (const FinishedLinear& linear : stage.linears) {
    const QuantizedMatrix& matrix = linear.matrix;
    record.linears.push_back({.key = linear.key,
                              .module = linear.module,
                              .matrix = {.grid = matrix.grid,
                                         .rows = matrix.rows,
                                         .cols = matrix.cols,
                                         .codes = {},
                                         .scales = {},
                                         .zeros = {},
                                         .group_of = {}},
                              .report = linear.report,
                              .seconds = linear.seconds});
  }
  return record;
}

std::vector<std::byte> serialize(const StageRecord& record, ThreadPool* threads) {
  Writer out;
  out.reserve(size_of(record));
  out.put(kVersion);
  put_id(out, record.id);
  out.put(static_cast<uint64_t>(record.linears.size()));
  for (const FinishedLinear& linear : record.linears) put_linear(out, linear, threads);
  out.put(record.loudest);
  out.put(record.typical_rms);
  out.put(record.seconds);
  return out.take();
}

StageRecord deserialize(std::span<const std::byte> bytes) {
  Reader in(bytes);
  StageRecord record;
  uint32_t version = 0;
  in.get(version);
  if (version != kVersion)
    throw bad_input("journal: record version {}, expected {}", version, kVersion)
        .hint("it was written by another halftone: start again with --force.");
  record.id = get_id(in);
  const size_t linears = in.count(1);
  for (size_t i = 0; i < linears; ++i) record.linears.push_back(get_linear(in));
  in.get(record.loudest);
  in.get(record.typical_rms);
  in.get(record.seconds);
  if (!in.done()) throw bad_input("journal: a record is longer than it says");
  return record;
}

}  // namespace halftone
