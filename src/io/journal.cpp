// The journal's file: a magic number and the pid of its holder, then records, each a header
// (lengths and a SHA-256), a name and a payload. The first record is the fingerprint.
#include "io/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/sha256.h"

namespace halftone {
namespace {

constexpr std::array<char, 8> kFileMagic = {'H', 'T', 'J', 'R', 'N', 'L', '0', '1'};
constexpr uint32_t kRecordMagic = 0x5243'5448;  // "HTCR"
constexpr uint32_t kMaxName = 4096;
constexpr size_t kHashDigits = 64;  // of a SHA-256
const std::string kFingerprint = "fingerprint";

struct FileHeader {
  std::array<char, 8> magic = kFileMagic;
  int64_t pid = 0;
};

struct RecordHeader {
  uint32_t magic = kRecordMagic;
  uint32_t name_bytes = 0;
  uint64_t payload_bytes = 0;
  std::array<char, 64> sha256 = {};
};
static_assert(sizeof(FileHeader) == 16 && sizeof(RecordHeader) == 80, "written as they stand");

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class Struct>
std::span<const std::byte> bytes_of(const Struct& value) {
  return std::as_bytes(std::span(&value, 1));
}

Sha256 hash_of(const std::string& name) {
  const uint64_t length = name.size();
  Sha256 hash;
  hash.add(bytes_of(length)).add(name);
  return hash;
}

// Calls visit(offset, bytes) with the file's bytes [begin, end) a piece after another, each
// `overlap` bytes into the one before.
template <class Visit>
void for_pieces(const FileDescriptor& file, int64_t begin, int64_t end, int64_t overlap,
                Visit visit) {
  constexpr int64_t kPiece = 1 << 20;
  std::vector<std::byte> piece(
      static_cast<size_t>(std::min(kPiece, std::max<int64_t>(0, end - begin))));
  for (int64_t at = begin; at < end;) {
    const std::span<std::byte> bytes =
        std::span(piece).first(static_cast<size_t>(std::min(kPiece, end - at)));
    file.read_at(at, bytes);
    if (!visit(at, std::span<const std::byte>(bytes)) || at + kPiece >= end) return;
    at += kPiece - overlap;
  }
}

bool same_file(const FileDescriptor& file) {
  struct stat opened, named;
  return ::fstat(file.number(), &opened) == 0 && ::stat(file.path().c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

// Throws where another process holds the lock; file systems without locks are taken as they are.
void lock(const FileDescriptor& file) {
  if (::flock(file.number(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  FileHeader header;
  if (file.size() >= static_cast<int64_t>(sizeof header))
    file.read_at(0, std::as_writable_bytes(std::span(&header, 1)));
  throw usage_error("{}: in use by another run (process {})", file.path(), header.pid)
      .hint("Wait for it, or stop it; its finished work is kept.");
}

// Refuses what is no journal, however short: we cut and delete these files.
void check_magic(const FileDescriptor& file) {
  FileHeader header;
  const size_t size = std::min(static_cast<size_t>(file.size()), header.magic.size());
  file.read_at(0, std::as_writable_bytes(std::span(header.magic)).first(size));
  if (std::memcmp(header.magic.data(), kFileMagic.data(), size) != 0)
    throw bad_input("{}: is not a journal of this program", file.path())
        .hint("Move it away, or name another output.");
}

// The file, locked, and still the one that the name stands for: its last holder may have deleted it
// while we waited.
FileDescriptor open_locked(const std::string& path, int flags) {
  for (;;) {
    FileDescriptor file(path, O_RDWR | flags);
    struct stat status;
    if (::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode))
      throw bad_input("{}: is not a regular file", path);
    lock(file);
    if (!same_file(file)) continue;
    check_magic(file);
    return file;
  }
}

}  // namespace

Journal Journal::open(const std::string& path, bool resume) {
  Journal journal;
  journal.file_ = open_locked(path, O_CREAT);
  journal.scan();
  journal.damaged_ = journal.find_record(journal.end_).has_value();
  if (journal.order_.empty() && journal.damaged_)
    throw bad_input("{}: its first record is damaged, so whose work the others are is not known",
                    path)
        .hint("Move it away, or drop it with --force.");
  if (!journal.fresh() && !resume)
    throw usage_error("{}: exists: the finished work of an interrupted run", path)
        .hint("Go on with --resume, or drop it with --force.");
  if (journal.fresh()) {
    journal.file_.truncate(0);
    journal.write_holder();
  }
  return journal;
}

Journal Journal::open(const std::string& path, const Fingerprint& fingerprint, bool resume) {
  Journal journal = open(path, resume);
  journal.identify(fingerprint);
  return journal;
}

void Journal::identify(const Fingerprint& fingerprint) {
  // With a fingerprint alone there is nothing to go on from, and nothing to lose.
  if (fresh()) return start(fingerprint);
  check_fingerprint(fingerprint);
  drop_tail();
  write_holder();
}

void Journal::append_when_known(std::string name, std::shared_future<std::string> value) {
  late_name_ = std::move(name);
  late_ = std::move(value);
}

void Journal::write_holder() {
  FileHeader header;
  header.pid = ::getpid();
  file_.write_at(0, bytes_of(header));
}

void Journal::discard(const std::string& path) {
  if (!std::filesystem::exists(std::filesystem::symlink_status(path))) return;
  const FileDescriptor file = open_locked(path, 0);
  if (::unlink(path.c_str()) != 0) throw file_error(path, "cannot be deleted", errno);
}

// Takes the records that are whole, up to the first that is not.
void Journal::scan() {
  end_ = sizeof(FileHeader);
  while (const auto found = record_at(end_)) {
    const auto& [name, record] = *found;
    if (order_.empty() ? name != kFingerprint : records_.count(name) != 0) break;
    records_[name] = record;
    order_.push_back(name);
    end_ = record.offset + record.size;
  }
}

// The record whose header is at `at`, when all of it is there and its hash is right.
std::optional<std::pair<std::string, Journal::Record>> Journal::record_at(int64_t at) const {
  const int64_t size = file_.size();
  if (!in_bounds(at, sizeof(RecordHeader), size)) return std::nullopt;
  RecordHeader header;
  file_.read_at(at, std::as_writable_bytes(std::span(&header, 1)));
  const auto length = checked_add(header.name_bytes, header.payload_bytes);
  const int64_t body = at + static_cast<int64_t>(sizeof header);
  if (header.magic != kRecordMagic || header.name_bytes > kMaxName || !length ||
      !in_bounds(body, *length, size))
    return std::nullopt;
  std::string name(header.name_bytes, '\0');
  file_.read_at(body, std::as_writable_bytes(std::span(name.data(), name.size())));
  const Record record = {body + header.name_bytes, static_cast<int64_t>(header.payload_bytes),
                         std::string(header.sha256.data(), header.sha256.size())};
  Sha256 hash = hash_of(name);
  for_pieces(file_, record.offset, record.offset + record.size, 0,
             [&](int64_t, std::span<const std::byte> bytes) {
               hash.add(bytes);
               return true;
             });
  if (hash.hex() != record.sha256) return std::nullopt;
  return std::pair(name, record);
}

// The place of the first whole record at or after `begin`.
std::optional<int64_t> Journal::find_record(int64_t begin) const {
  const std::span<const std::byte> magic = bytes_of(kRecordMagic);
  std::optional<int64_t> place;
  for_pieces(file_, begin, file_.size(), static_cast<int64_t>(magic.size()) - 1,
             [&](int64_t at, std::span<const std::byte> bytes) {
               auto found = bytes.begin();
               while ((found = std::search(found, bytes.end(), magic.begin(), magic.end())) !=
                      bytes.end()) {
                 const int64_t candidate = at + (found - bytes.begin());
                 if (record_at(candidate)) place = candidate;
                 if (place) return false;
                 ++found;
               }
               return true;
             });
  return place;
}

// Cuts off what follows the last whole record. Each record is on disk before the next begins, so
// without a whole one behind it, it was being written when the run ended. Else the file was damaged
// later; a copy stays, since there may be work of days in it.
void Journal::drop_tail() {
  const int64_t tail = file_.size() - end_;
  if (damaged_) {
    const std::string copy = path() + ".damaged";
    std::error_code error;
    std::filesystem::copy_file(path(), copy, std::filesystem::copy_options::overwrite_existing,
                               error);
    if (error) throw file_error(copy, "cannot be written", error.value());
    spdlog::warn("{}: damaged at byte {}: the {} from there are done again (a copy stays in {})",
                 path(), end_, human_bytes(tail), copy);
  } else if (tail > 0) {
    spdlog::info("{}: the last {}, being written when the run ended, are dropped", path(),
                 human_bytes(tail));
  }
  file_.truncate(end_);
}

void Journal::start(const Fingerprint& fingerprint) {
  records_.clear();
  order_.clear();
  end_ = sizeof(FileHeader);
  Json json = Json::object();
  for (const auto& [key, value] : fingerprint) json[key] = value;
  write_record(kFingerprint, bytes_of(json.dump()));
  const std::filesystem::path directory = std::filesystem::path(path()).parent_path();
  sync_directory(directory.string());
}

Journal::Fingerprint Journal::fingerprint() const {
  Fingerprint then;
  if (order_.empty()) return then;
  const Json json = parse_json(text_of(read(kFingerprint)), path());
  const JsonObject stored(json, path());
  for (const auto& [key, value] : json.items()) then[key] = stored.text(key);
  return then;
}

void Journal::check_fingerprint(const Fingerprint& fingerprint) const {
  Fingerprint then = this->fingerprint();
  for (const auto& [key, ignored] : fingerprint)
    if (!then.contains(key) && has(key)) then[key] = text_of(read(key));
  Fingerprint both = fingerprint;
  both.insert(then.begin(), then.end());
  std::string differences;
  for (const auto& [key, ignored] : both) {
    const auto before = then.find(key);
    const auto now = fingerprint.find(key);
    if (before != then.end() && now != fingerprint.end() && before->second == now->second) continue;
    if (!differences.empty()) differences += "; ";
    const auto shown = [](const auto& found, const auto& end) {
      return found == end ? "nothing" : printable(found->second, 40);
    };
    // Hashes tell people nothing more than that they differ.
    const bool hashes = before != then.end() && now != fingerprint.end() &&
                        before->second.size() >= kHashDigits && now->second.size() >= kHashDigits;
    differences += hashes ? fmt::format("{} differs", key)
                          : fmt::format("{} differs (was {}, is {})", key,
                                        shown(before, then.end()), shown(now, fingerprint.end()));
  }
  if (!differences.empty())
    throw usage_error("{}: belongs to another run: {}", path(), differences)
        .hint("Repeat the first run's options, or start again with --force.");
}

bool Journal::has(const std::string& name) const {
  return name != kFingerprint && records_.count(name) != 0;
}

std::vector<std::string> Journal::names() const {
  if (order_.empty()) return {};
  return {order_.begin() + 1, order_.end()};  // without the fingerprint
}

std::vector<std::byte> Journal::read(const std::string& name) const {
  const auto record = records_.find(name);
  assert(record != records_.end());
  std::vector<std::byte> bytes(static_cast<size_t>(record->second.size));
  file_.read_at(record->second.offset, bytes);
  if (hash_of(name).add(bytes).hex() != record->second.sha256)
    throw bad_input("{}: record {} was damaged while in use: its SHA-256 differs", path(),
                    printable(name))
        .hint("Go on with --resume from the records before it.");
  return bytes;
}

void Journal::append(const std::string& name, std::span<const std::byte> bytes) {
  if (name.size() > kMaxName || records_.count(name))
    throw internal_error("{}: record {} appended twice, or its name is too long", path(), name);
  write_record(name, bytes);
  if (late_.valid() && late_.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
    write_record(late_name_, bytes_of(std::exchange(late_, {}).get()));
}

void Journal::write_record(const std::string& name, std::span<const std::byte> bytes) {
  RecordHeader header;
  header.name_bytes = static_cast<uint32_t>(name.size());
  header.payload_bytes = bytes.size();
  const std::string sha256 = hash_of(name).add(bytes).hex();
  std::memcpy(header.sha256.data(), sha256.data(), header.sha256.size());
  const int64_t body = end_ + static_cast<int64_t>(sizeof header);
  const int64_t payload = body + static_cast<int64_t>(name.size());
  try {
    file_.write_at(end_, bytes_of(header));
    file_.write_at(body, bytes_of(name));
    file_.write_at(payload, bytes);
    file_.sync();
  } catch (const Error&) {
    // What was written of it makes room again; should that fail, the next opening cuts it off.
    if (::ftruncate(file_.number(), end_) != 0)
      spdlog::debug("{}: cannot be cut to {} bytes", path(), end_);
    throw;
  }
  records_[name] = {payload, static_cast<int64_t>(bytes.size()), sha256};
  order_.push_back(name);
  end_ = payload + static_cast<int64_t>(bytes.size());
}

void Journal::remove() {
  if (::unlink(path().c_str()) != 0) throw file_error(path(), "cannot be deleted", errno);
  file_ = FileDescriptor();
}

}  // namespace halftone
