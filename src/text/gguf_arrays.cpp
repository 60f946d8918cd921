// See gguf_arrays.h. What the arrays mean: llama.cpp's src/llama-vocab.cpp, and its converter.
#include "text/gguf_arrays.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/tokenizer_spec.h"

namespace halftone {
namespace {

constexpr std::string_view kMark = "\xe2\x96\x81";        // U+2581, SentencePiece's space
constexpr std::string_view kByteLevelSpace = "\xc4\xa0";  // U+0120, a space in byte-level pieces
constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;
constexpr float kAddedScore = -1000;  // by convention

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
  return text;
}

// Whether an object of this type is `json` or one of its parts, however deep.
bool has_type(const Json& json, std::string_view type) {
  if (json.is_array())
    return std::any_of(json.begin(), json.end(),
                       [&](const Json& part) { return has_type(part, type); });
  if (!json.is_object()) return false;
  if (const auto own = json.find("type"); own != json.end() && *own == std::string(type))
    return true;
  for (const char* list : {"normalizers", "pretokenizers", "decoders", "processors"})
    if (json.contains(list) && has_type(json.at(list), type)) return true;
  return false;
}

// The post-processor's TemplateProcessing, wherever it stands; null: none.
Json template_of(const Json& json) {
  if (!json.is_object()) return nullptr;
  if (json.value("type", "") == "TemplateProcessing") return json;
  if (json.contains("processors"))
    for (const Json& part : json.at("processors"))
      if (Json found = template_of(part); !found.is_null()) return found;
  return nullptr;
}

bool is_byte_piece(const std::string& piece) {
  return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with(">");
}

// A spelling that llama.cpp takes for a control token's, whatever the file says of it.
bool looks_special(const std::string& text) {
  return (text.starts_with("<|") && text.ends_with("|>")) || text == "<start_of_turn>" ||
         text == "<end_of_turn>";
}

class ArrayWriter {
 public:
  ArrayWriter(TokenizerSpec spec, const Metadata& metadata, int64_t rows)
      : spec_(std::move(spec)), metadata_(metadata), rows_(static_cast<size_t>(rows)) {
    bytes_ = !has_type(spec_.pre_tokenizer, "ByteLevel") && !has_type(spec_.decoder, "ByteLevel");
  }

  GgufTokenizer write() {
    out_.model = bytes_ ? "llama" : "gpt2";
    out_.pre = bytes_ ? "default"
                      : gguf_pre_tokenizer_name({.normalizer = spec_.normalizer,
                                                 .pre_tokenizer = spec_.pre_tokenizer,
                                                 .ignore_merges = spec_.bpe.ignore_merges},
                                                spec_.origin);
    put_tokens();
    put_added_tokens();
    if (bytes_)
      put_scores();
    else
      put_merges();
    put_ids();
    put_around();
    if (bytes_) out_.add_space_prefix = has_space_prefix();
    return std::move(out_);
  }

 private:
  void put_tokens() {
    out_.types.assign(rows_, kUnused);
    for (size_t id = 0; id < rows_; ++id) {
      const std::string* piece = spec_.vocabulary.piece(static_cast<int32_t>(id));
      out_.tokens.push_back(piece != nullptr ? *piece : "[PAD" + std::to_string(id) + "]");
      if (piece == nullptr) continue;
      out_.types[id] = bytes_ && is_byte_piece(*piece) ? kByte : kNormal;
      if (bytes_ && spec_.bpe.unknown == *piece) out_.types[id] = kUnknown;
    }
    if (static_cast<size_t>(spec_.vocabulary.id_end()) > rows_) too_many(spec_.vocabulary.id_end());
  }

  [[noreturn]] void too_many(int64_t ids) const {
    throw bad_input("{}: {} tokens, expected at most {} (vocab_size)", spec_.origin, ids, rows_)
        .hint("the tokenizer and the weights do not belong together.");
  }

  void put_added_tokens() {
    for (const AddedToken& token : spec_.added) {
      const auto id = static_cast<size_t>(token.id);
      if (id >= rows_) too_many(token.id + 1);
      const bool special = token.special || looks_special(token.content);
      // Matched in the text, before it is normalized: with real spaces.
      out_.tokens[id] = special ? token.content : replaced(token.content, kMark, " ");
      if (out_.types[id] != kUnknown) out_.types[id] = special ? kControl : kUserDefined;
    }
  }

  // SentencePiece merges the pair whose union scores highest, byte-pair encoding the one that comes
  // first in the list. So a piece scores the less the later it is first made.
  void put_scores() {
    out_.scores.assign(rows_, kAddedScore);
    std::vector<bool> ranked(rows_, false);
    float rank = 0;
    for (const Merge& merge : spec_.merges) {
      const auto id = static_cast<size_t>(merge.result);
      if (id < rows_ && !ranked[id]) {
        out_.scores[id] = -(rank++);
        ranked[id] = true;
      }
    }
    for (size_t id = 0; id < rows_; ++id)
      if (!ranked[id] && out_.types[id] == kNormal) out_.scores[id] = -rank;
  }

  void put_merges() {
    const auto piece = [&](int32_t id) {
      return replaced(*spec_.vocabulary.piece(id), " ", kByteLevelSpace);
    };
    out_.merges.reserve(spec_.merges.size());
    for (const Merge& merge : spec_.merges)
      out_.merges.push_back(piece(merge.left) + " " + piece(merge.right));
  }

  std::optional<int32_t> id_of(const std::string& text) const {
    for (const AddedToken& token : spec_.added)
      if (token.content == text) return token.id;
    const int32_t id = spec_.vocabulary.find(text);
    return id == Vocabulary::kNone ? std::nullopt : std::optional(id);
  }

  // tokenizer_config.json names the token; else config.json its id.
  std::optional<int32_t> special_id(const Json& names, const std::string& kind) const {
    const auto named = names.find(kind + "_token");
    if (named != names.end() && named->is_string()) return id_of(named->get<std::string>());
    if (named != names.end() && named->is_object() && named->contains("content") &&
        named->at("content").is_string())
      return id_of(named->at("content").get<std::string>());
    const auto given = metadata_.config.find(kind + "_token_id");
    if (given == metadata_.config.end() || !given->is_number_integer()) return std::nullopt;
    const auto id = given->get<int64_t>();
    if (id < 0 || id >= static_cast<int64_t>(rows_)) return std::nullopt;
    return static_cast<int32_t>(id);
  }

  void put_ids() {
    const std::string& text = metadata_.tokenizer.tokenizer_config_json;
    Json names = text.empty() ? Json::object() : parse_json(text, "tokenizer_config.json");
    if (!names.is_object()) names = Json::object();
    out_.bos = special_id(names, "bos");
    out_.eos = special_id(names, "eos");
    out_.unknown = special_id(names, "unk");
    out_.padding = special_id(names, "pad");
  }

  // What encoding puts before and after a text.
  void put_around() {
    out_.add_bos = out_.add_eos = false;
    const Json around = template_of(spec_.post_processor);
    if (around.is_null() || !around.contains("single") || !around.at("single").is_array()) return;
    const Json& single = around.at("single");
    const auto token_at = [&](const Json& piece) -> std::optional<int32_t> {
      if (!piece.is_object() || !piece.contains("SpecialToken")) return std::nullopt;
      return id_of(piece.at("SpecialToken").value("id", ""));
    };
    if (single.empty()) return;
    if (const auto first = token_at(single.front())) {
      out_.bos = first;
      out_.add_bos = true;
    }
    if (const auto last = token_at(single.back()); last && single.size() > 1) {
      out_.eos = last;
      out_.add_eos = true;
    }
  }

  bool has_space_prefix() const {
    if (has_type(spec_.normalizer, "Prepend")) return true;
    const Json& pre = spec_.pre_tokenizer;
    if (!has_type(pre, "Metaspace")) return false;
    return !pre.is_object() || pre.value("prepend_scheme", "always") != "never";
  }

  TokenizerSpec spec_;
  const Metadata& metadata_;
  size_t rows_;
  bool bytes_ = false;  // SentencePiece's pieces, with bytes where there is none
  GgufTokenizer out_;
};

}  // namespace

GgufTokenizer gguf_tokenizer_of(const Metadata& metadata, int64_t rows) {
  if (metadata.tokenizer.gguf) return *metadata.tokenizer.gguf;
  if (metadata.tokenizer.tokenizer_json.empty())
    throw bad_input("{}: no tokenizer.json beside it, and a GGUF holds the tokenizer",
                    metadata.origin)
        .hint("copy tokenizer.json of the base model beside it.");
  const auto folder = std::filesystem::path(metadata.origin).parent_path();
  return ArrayWriter(read_tokenizer_json(metadata.tokenizer.tokenizer_json,
                                         (folder / "tokenizer.json").string()),
                     metadata, rows)
      .write();
}

}  // namespace halftone
