// See text_file.h.
#include "text/text_file.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "base/count_text.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "text/chat_record.h"
#include "text/unicode.h"

namespace halftone {
namespace {

constexpr size_t kBlock = size_t{256} << 10;
constexpr size_t kLongestFirstLine = size_t{16} << 20;  // that is tried as a record
constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlank) == std::string_view::npos;
}

bool is_text_record(const Json& record) {
  return record.is_object() && record.contains("text") && record["text"].is_string();
}

bool is_record(std::string_view line) {
  try {
    const Json record = parse_json(line, "");
    return is_text_record(record) || is_chat_record(record);
  } catch (const Error& error) {
    if (error.exit() != Exit::bad_input) throw;
    return false;
  }
}

// Of prose hardly any: an object's first key, or a list of objects or strings.
bool begins_like_json(std::string_view text) {
  if (text.starts_with("{\"")) return true;
  if (!text.starts_with('[')) return false;
  const size_t item = text.find_first_not_of(kBlank, 1);
  return item != std::string_view::npos && (text[item] == '{' || text[item] == '"');
}

bool is_named_json(const std::string& path) {
  return path.ends_with(".jsonl") || path.ends_with(".json");
}

struct ChatCount {
  int64_t all = 0, silent = 0;  // without turns
  std::string first_silent;     // "chats.jsonl: line 3"
};

// The documents of records: all of them texts, or all of them chats.
class Records {
 public:
  Records(const TextFile& file, const DocumentVisitor& visit) : file_(file), visit_(visit) {}

  const std::string& path() const { return file_.path; }
  const DocumentVisitor& visit() const { return visit_; }
  const ChatCount& chats() const { return chats_; }

  // False: no more is wanted.
  bool take(std::string_view json, const std::string& origin) {
    const Json record = parse_json(json, origin);
    const bool has_text = is_text_record(record);
    if (!has_text && !is_chat_record(record))
      throw bad_input("{}: got {}, expected an object with a string \"text\", or a chat", origin,
                      record.dump().substr(0, 60))
          .hint("JSON lines are objects such as {\"text\": \"Once upon a time …\"}.");
    ++(has_text ? texts_ : chats_.all);
    if (texts_ > 0 && chats_.all > 0)
      throw bad_input("{}: a {}, and those before it are {}", origin, has_text ? "text" : "chat",
                      has_text ? "chats" : "texts")
          .hint("give texts and chats a file each.");
    if (has_text) return visit_(record["text"].get_ref<const std::string&>(), true);
    if (!file_.chat_text)
      throw bad_input("{}: a chat, expected an object with \"text\"", origin)
          .hint("Write each conversation as one text, in the model's own chat template.");
    if (const auto text = file_.chat_text(record, origin)) return visit_(*text, true);
    if (chats_.silent++ == 0) chats_.first_silent = origin;
    return true;
  }

 private:
  const TextFile& file_;
  const DocumentVisitor& visit_;
  int64_t texts_ = 0;
  ChatCount chats_;
};

// Cuts blocks of whole characters into documents.
class Documents {
 public:
  explicit Documents(Records& records) : records_(records) {}
  virtual ~Documents() = default;
  // False: no more is wanted.
  virtual bool push(std::string_view block) = 0;
  virtual void finish() = 0;

 protected:
  Records& records_;
};

class Plain final : public Documents {
 public:
  using Documents::Documents;
  bool push(std::string_view block) override {
    return records_.visit()(block, std::exchange(first_, false));
  }
  void finish() override {}

 private:
  bool first_ = true;
};

class Lines final : public Documents {
 public:
  using Documents::Documents;
  bool push(std::string_view block) override {
    for (size_t end = block.find('\n'); end != std::string_view::npos; end = block.find('\n')) {
      line_ += block.substr(0, end);
      block.remove_prefix(end + 1);
      if (!take_line()) return false;
    }
    line_ += block;
    return true;
  }
  void finish() override { take_line(); }

 private:
  bool take_line() {
    ++number_;
    const bool go_on = is_blank(line_) ||
                       records_.take(line_, fmt::format("{}: line {}", records_.path(), number_));
    line_.clear();
    return go_on;
  }
  std::string line_;
  int64_t number_ = 0;
};

// The items between the commas of the outermost list.
class List final : public Documents {
 public:
  using Documents::Documents;
  bool push(std::string_view block) override {
    size_t begin = 0;
    for (size_t at = 0; at < block.size(); ++at) {
      if (!ends_item(block[at])) continue;
      item_ += block.substr(begin, at - begin);
      begin = at + 1;
      if (state_ == State::before)
        item_.clear();
      else if (!take_item(block[at]))
        return false;
      state_ = block[at] == ']' ? State::behind : State::within;
    }
    item_ += block.substr(begin);
    return true;
  }
  void finish() override {
    if (state_ != State::behind)
      throw bad_input("{}: ends within item {}, expected ]", records_.path(), number_ + 1);
    if (!is_blank(item_)) throw bad_input("{}: text behind the list's end", records_.path());
  }

 private:
  enum class State { before, within, behind };

  // Whether `c` opens the list, closes it, or is a comma between two items.
  bool ends_item(char c) {
    if (state_ == State::before) return c == '[';
    if (state_ == State::behind) return false;
    if (in_string_) {
      if (escaped_ || c == '\\')
        escaped_ = !escaped_;
      else
        in_string_ = c != '"';
      return false;
    }
    if (depth_ == 0 && (c == ',' || c == ']')) return true;
    in_string_ = c == '"';
    if (c == '[' || c == '{') ++depth_;
    if (c == ']' || c == '}') --depth_;
    return false;
  }
  bool take_item(char end) {
    const bool no_items = end == ']' && number_ == 0 && is_blank(item_);
    ++number_;
    const bool go_on =
        no_items || records_.take(item_, fmt::format("{}: item {}", records_.path(), number_));
    item_.clear();
    return go_on;
  }

  State state_ = State::before;
  int64_t depth_ = 0, number_ = 0;
  bool in_string_ = false, escaped_ = false;
  std::string item_;
};

// Any of the three, known by the name and the first character or line.
class AnyDocuments {
 public:
  explicit AnyDocuments(Records& records) : records_(records) {}
  bool push(std::string_view block) {
    if (documents_) return documents_->push(block);
    start_ += block;
    return begin(/*at_end=*/false);
  }
  void finish() {
    if (!documents_) begin(/*at_end=*/true);
    if (documents_) documents_->finish();
  }

 private:
  // Hands on what has come, when that is enough to tell what it is. False: no more is wanted.
  bool begin(bool at_end) {
    const bool marked = start_.starts_with(kByteOrderMark);
    const std::string_view text =
        std::string_view(start_).substr(marked ? kByteOrderMark.size() : 0);
    const size_t first = text.find_first_not_of(kBlank);
    const bool blank = first == std::string_view::npos;
    if (is_named_json(records_.path())) {
      if (blank) return true;
      if (text[first] == '[' && records_.path().ends_with(".json"))
        documents_ = std::make_unique<List>(records_);
      else
        documents_ = std::make_unique<Lines>(records_);
    } else if (!blank && text[first] == '{') {
      const size_t end = text.find('\n', first);
      if (end == std::string_view::npos && !at_end && text.size() <= kLongestFirstLine) return true;
      if (is_record(text.substr(first, end - first)))
        documents_ = std::make_unique<Lines>(records_);
    } else if (blank && !at_end) {
      return true;
    }
    const bool records = documents_ != nullptr;
    if (!records && !blank && begins_like_json(text.substr(first)))
      spdlog::warn(
          "{} begins as JSON does, but not with a line that is a text or a chat: read as it "
          "stands, "
          "braces and quotes too. Name it .jsonl or .json to have it read as records.",
          records_.path());
    if (!records) documents_ = std::make_unique<Plain>(records_);
    const bool go_on = documents_->push(records ? text : std::string_view(start_));
    start_ = {};
    return go_on;
  }

  Records& records_;
  std::unique_ptr<Documents> documents_;
  std::string start_;  // while it does not tell
};

// Hands on blocks of whole characters; refuses what is no text.
class TextCheck {
 public:
  explicit TextCheck(const std::string& path) : path_(path) {}

  // What is whole of `block` and of what was left of the one before; empty once something is wrong.
  std::string_view take(std::string_view block) {
    if (const size_t nul = block.find('\0'); nul != std::string_view::npos)
      throw bad_input("{}: binary (a NUL byte at offset {}), expected text", path_,
                      seen_ + static_cast<int64_t>(nul))
          .hint("pass plain text, or JSON lines with \"text\".");
    seen_ += static_cast<int64_t>(block.size());
    if (invalid_) return {};
    text_ = left_.append(block);
    size_t start = text_.size();
    while (start > 0 && text_.size() - start < 4 &&
           (static_cast<unsigned char>(text_[start - 1]) & 0xc0) == 0x80)
      --start;
    size_t end = text_.size();
    if (start > 0 && start - 1 + utf8_length(text_[start - 1]) > end) end = start - 1;
    left_ = text_.substr(end);
    text_.resize(end);
    if (const auto at = find_invalid_utf8(text_)) {
      invalid_ = offset_ + static_cast<int64_t>(*at);
      return {};
    }
    offset_ += static_cast<int64_t>(end);
    return text_;
  }
  // Bytes that are no text are looked for to the end: a binary file is called one.
  void finish() const {
    if (!invalid_ && left_.empty()) return;
    throw bad_input("{}: not UTF-8 (offset {})", path_, invalid_.value_or(offset_))
        .hint("Convert it first: iconv -f LATIN1 -t UTF-8");
  }

 private:
  const std::string& path_;
  std::string text_, left_;
  int64_t seen_ = 0, offset_ = 0;  // bytes so far; where left_ stands in the file
  std::optional<int64_t> invalid_;
};

using BlockVisitor = std::function<bool(std::string_view)>;

void visit_blocks(const TextFile& file, const BlockVisitor& visit) {
  if (!file.held) return read_file_in_blocks(file.path, kBlock, visit);
  for (size_t at = 0; at < file.held->size(); at += kBlock)
    if (!visit(std::string_view(*file.held).substr(at, kBlock))) return;
}

// `see` sees the bytes as they stand. Returns how many chats there were.
ChatCount visit_documents(const TextFile& file, const DocumentVisitor& visit,
                          const std::function<void(std::string_view)>& see) {
  TextCheck check(file.path);
  Records records(file, visit);
  AnyDocuments documents(records);
  bool wanted = true;
  visit_blocks(file, [&](std::string_view block) {
    throw_if_interrupted();
    see(block);
    const std::string_view text = check.take(block);
    wanted = text.empty() || documents.push(text);
    return wanted;
  });
  if (!wanted) return records.chats();
  check.finish();
  documents.finish();
  return records.chats();
}

// Says how many of a file's chats have no turns, or that all have none.
void check_silent(const ChatCount& chats, const std::string& path) {
  if (chats.silent == chats.all)
    throw bad_input("{}: has no chat with a turn, of {}", path, count_text(chats.all, "chat"))
        .hint("every list of messages is empty, or holds a system message alone.");
  const bool one = chats.silent == 1;
  spdlog::warn("{}: {} of {} {} no turns: left out ({}{})", path, human_count(chats.silent),
               count_text(chats.all, "chat"), one ? "has" : "have",
               one ? "" : "the first: ", chats.first_silent.substr(path.size() + 2));
}

}  // namespace

void visit_documents(const TextFile& file, const DocumentVisitor& visit) {
  visit_documents(file, visit, [](std::string_view) {});
}

TextFile read_text_file(const std::string& path, ChatText chat_text) {
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown))
    throw bad_input("{}: not there, expected a text file", path)
        .hint("check the path; scripts/fetch.sh texts fetches texts to try with.");
  TextFile file{.path = path, .chat_text = std::move(chat_text)};
  if (!std::filesystem::is_regular_file(path, unknown)) file.held = read_file(path);
  Sha256 hash;
  bool any_text = false;
  const auto count = [&](std::string_view part, bool first) {
    file.documents += first ? 1 : 0;
    any_text |= !part.empty();
    return true;
  };
  const ChatCount chats = visit_documents(file, count, [&](std::string_view bytes) {
    hash.add(bytes);
    file.bytes += static_cast<int64_t>(bytes.size());
  });
  file.chats = chats.all - chats.silent;
  file.sha256 = hash.hex();
  if (file.bytes == 0)
    throw bad_input("{}: empty, expected text", path)
        .hint("pass another file; scripts/fetch.sh texts fetches some to try with.");
  if (!is_named_json(path) && (file.documents > 1 || file.chats > 0))
    spdlog::info("{}: JSON lines by its first one: {} {}", path, file.documents,
                 file.chats > 0 ? "chats" : "texts");
  if (chats.silent > 0) check_silent(chats, path);
  if (!any_text)
    throw bad_input("{}: no text in it", path)
        .hint("every \"text\" of it is empty: pass another file.");
  return file;
}

}  // namespace halftone
