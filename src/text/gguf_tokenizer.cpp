// See gguf_tokenizer.h. Meaning of the keys: llama.cpp's src/llama-vocab.cpp; merges from scores:
// transformers' generate_merges.
#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace halftone {
namespace {

constexpr std::string_view kMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space
constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;

struct Reader {
  const GgufTokenizer& gguf;
  const std::string& origin;
  TokenizerSpec spec;

  int32_t type(size_t id) const { return gguf.types.empty() ? kNormal : gguf.types[id]; }

  void check() const {
    const size_t count = gguf.tokens.size();
    if (count == 0 || count > static_cast<size_t>(Vocabulary::kMostIds)) {
      throw bad_input("{}: tokenizer.ggml.tokens: got {} tokens", origin, count);
    }
    if (!gguf.types.empty() && gguf.types.size() != count) {
      throw bad_input("{}: tokenizer.ggml.token_type: got {} entries, expected {}", origin,
                      gguf.types.size(), count);
    }
    for (size_t id = 0; id < count; ++id) {
      if (find_invalid_utf8(gguf.tokens[id])) {
        throw bad_input("{}: tokenizer.ggml.tokens: token {} is not UTF-8", origin, id);
      }
    }
    const std::pair<const char*, std::optional<int32_t>> ids[] = {
        {"bos", gguf.bos}, {"eos", gguf.eos}, {"unknown", gguf.unknown}, {"padding", gguf.padding}};
    for (const auto& [name, id] : ids) {
      if (id && (*id < 0 || static_cast<size_t>(*id) >= count)) {
        throw bad_input("{}: tokenizer.ggml.{}_token_id: got {}, expected one of {} tokens", origin,
                        name, *id, count);
      }
    }
  }

  const std::string& token(int32_t id) const { return gguf.tokens[static_cast<size_t>(id)]; }

  // Every token but the unused ones, which only fill the vocabulary up to the embedding's size.
  void add_vocabulary(const std::vector<std::string>& tokens) {
    spec.vocabulary.reserve(tokens.size());
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (type(id) == kUnused) continue;
      if (!spec.vocabulary.add(tokens[id], static_cast<int32_t>(id))) {
        throw bad_input("{}: tokenizer.ggml.tokens: \"{}\" appears twice (again as token {})",
                        origin, tokens[id], id);
      }
    }
  }

  void add_added_tokens(const std::vector<std::string>& tokens) {
    for (size_t id = 0; id < tokens.size(); ++id) {
      const int32_t kind = type(id);
      const bool special = kind == kControl || kind == kUnknown;
      // A respelled token ("▁▁" for two spaces) is an ordinary piece.
      if (!special && (kind != kUserDefined || tokens[id] != gguf.tokens[id])) continue;
      if (tokens[id].empty()) continue;
      AddedToken added;
      added.id = static_cast<int32_t>(id);
      added.content = tokens[id];
      added.normalized = false;
      added.special = special;
      spec.added.push_back(std::move(added));
    }
  }

  // BOS and EOS, each where it is asked for and known.
  Json template_processing(bool add_bos, bool add_eos) const {
    Json single = Json::array(), tokens = Json::object();
    const auto add = [&](int32_t id) {
      single.push_back({{"SpecialToken", {{"id", token(id)}, {"type_id", 0}}}});
      tokens[token(id)] = {
          {"id", token(id)}, {"ids", Json::array({id})}, {"tokens", Json::array({token(id)})}};
    };
    if (add_bos && gguf.bos) add(*gguf.bos);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (add_eos && gguf.eos) add(*gguf.eos);
    if (tokens.empty()) return nullptr;
    Json pair = single;
    for (Json piece : single) {
      if (piece.contains("Sequence")) piece["Sequence"]["id"] = "B";
      piece.begin().value()["type_id"] = 1;
      pair.push_back(std::move(piece));
    }
    return {{"type", "TemplateProcessing"},
            {"single", std::move(single)},
            {"pair", std::move(pair)},
            {"special_tokens", std::move(tokens)}};
  }

  void read_byte_level() {
    const GgufPreTokenizer pre =
        gguf_pre_tokenizer(gguf.pre.empty() ? "default" : gguf.pre, origin);
    add_vocabulary(gguf.tokens);
    add_added_tokens(gguf.tokens);
    read_merges();
    spec.bpe.ignore_merges = pre.ignore_merges;
    spec.normalizer = pre.normalizer;
    spec.pre_tokenizer = pre.pre_tokenizer;
    const Json byte_level = {{"type", "ByteLevel"},
                             {"add_prefix_space", false},
                             {"trim_offsets", false},
                             {"use_regex", false}};
    spec.decoder = byte_level;
    spec.post_processor = byte_level;
    Json around =
        template_processing(gguf.add_bos.value_or(pre.add_bos), gguf.add_eos.value_or(false));
    if (!around.is_null()) {
      spec.post_processor = {{"type", "Sequence"},
                             {"processors", Json::array({byte_level, std::move(around)})}};
    }
  }

  void read_merges() {
    spec.merges.reserve(gguf.merges.size());
    std::string joined;
    for (const std::string& merge : gguf.merges) {
      const size_t space = merge.find(' ', 1);
      const auto left = std::string_view(merge).substr(0, space);
      const auto right = space == std::string::npos ? std::string_view()
                                                    : std::string_view(merge).substr(space + 1);
      joined.assign(left).append(right);
      const Merge ids{spec.vocabulary.find(left), spec.vocabulary.find(right),
                      spec.vocabulary.find(joined)};
      if (right.empty() || ids.left < 0 || ids.right < 0 || ids.result < 0) {
        throw bad_input("{}: tokenizer.ggml.merges: \"{}\" is not two tokens that make a third",
                        origin, merge);
      }
      spec.merges.push_back(ids);
    }
  }

  void read_sentencepiece() {
    if (gguf.scores.size() != gguf.tokens.size() && gguf.merges.empty()) {
      throw bad_input("{}: tokenizer.ggml.scores: got {} entries, expected {}", origin,
                      gguf.scores.size(), gguf.tokens.size());
    }
    const std::vector<std::string> tokens = respelled();
    add_vocabulary(tokens);
    add_added_tokens(tokens);
    if (gguf.merges.empty()) {
      derive_merges();
    } else {
      read_merges();
    }
    const bool prefix = gguf.add_space_prefix.value_or(true);
    const Json to_mark = replace(" ", kMark);
    if (prefix) {
      const Json prepend = {{"type", "Prepend"}, {"prepend", kMark}};
      spec.normalizer = {{"type", "Sequence"}, {"normalizers", Json::array({prepend, to_mark})}};
    } else {
      // Gemma's own file has this step, although no space is left to split at.
      spec.normalizer = to_mark;
      spec.pre_tokenizer = {{"type", "Split"},
                            {"pattern", {{"String", " "}}},
                            {"behavior", "MergedWithPrevious"},
                            {"invert", false}};
    }
    Json decoders =
        Json::array({replace(kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
    if (prefix) {
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    spec.decoder = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
    spec.post_processor =
        template_processing(gguf.add_bos.value_or(true), gguf.add_eos.value_or(false));
    for (size_t id = 0; id < tokens.size(); ++id) {
      spec.bpe.byte_fallback = spec.bpe.byte_fallback || type(id) == kByte;
      if (type(id) == kUnknown) spec.bpe.unknown = tokens[id];
    }
    if (gguf.unknown) spec.bpe.unknown = token(*gguf.unknown);
    spec.bpe.fuse_unknown = true;
  }

  static Json replace(std::string_view what, std::string_view with) {
    return {{"type", "Replace"},
            {"pattern", {{"String", std::string(what)}}},
            {"content", std::string(with)}};
  }

  // Gemma's runs of spaces are written with real spaces; the vocabulary spells them with marks.
  std::vector<std::string> respelled() const {
    std::vector<std::string> tokens = gguf.tokens;
    const auto is_run = [](const std::string& text) {
      return !text.empty() && text.find_first_not_of(' ') == std::string::npos;
    };
    std::vector<size_t> runs;
    Vocabulary marks;
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (type(id) == kUserDefined && is_run(tokens[id])) runs.push_back(id);
      if (tokens[id].starts_with(kMark)) marks.add(tokens[id], static_cast<int32_t>(id));
    }
    for (const size_t id : runs) {
      std::string spelled;
      for (size_t i = 0; i < tokens[id].size(); ++i) spelled += kMark;
      if (marks.find(spelled) == Vocabulary::kNone) tokens[id] = std::move(spelled);
    }
    return tokens;
  }

  // SentencePiece merges the pair whose union scores highest. So every way to cut a piece into two
  // pieces is a merge, ranked by the piece's score; among the cuts of one piece the longest left
  // part comes first. User-defined pieces score 0 there (GGUF writes −1000), above all others.
  void derive_merges() {
    std::vector<int32_t> order;
    for (size_t id = 0; id < gguf.tokens.size(); ++id) {
      if (type(id) == kNormal || type(id) == kUserDefined)
        order.push_back(static_cast<int32_t>(id));
      if (std::isnan(gguf.scores[id])) {
        throw bad_input("{}: tokenizer.ggml.scores: score of token {} is not a number", origin, id);
      }
    }
    const auto score = [&](int32_t id) {
      const auto index = static_cast<size_t>(id);
      return type(index) == kUserDefined ? 0.0f : gguf.scores[index];
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return score(a) > score(b); });
    const auto part = [&](std::string_view piece) {
      const int32_t id = spec.vocabulary.find(piece);
      if (id == Vocabulary::kNone) return id;
      const int32_t kind = type(static_cast<size_t>(id));
      return kind == kNormal || kind == kUserDefined ? id : Vocabulary::kNone;
    };
    for (const int32_t id : order) {
      const std::string_view piece = *spec.vocabulary.piece(id);
      for (size_t cut = piece.size(); cut-- > 1;) {
        if ((static_cast<unsigned char>(piece[cut]) & 0xc0) == 0x80) continue;
        const int32_t left = part(piece.substr(0, cut));
        if (left == Vocabulary::kNone) continue;
        const int32_t right = part(piece.substr(cut));
        if (right != Vocabulary::kNone) spec.merges.push_back({left, right, id});
      }
    }
  }
};

}  // namespace

TokenizerSpec tokenizer_spec_from_gguf(const GgufTokenizer& gguf, const std::string& origin) {
  Reader reader{gguf, origin, {}};
  reader.spec.origin = origin;
  reader.check();
  if (gguf.model == "gpt2") {
    reader.read_byte_level();
  } else if (gguf.model == "llama") {
    reader.read_sentencepiece();
  } else {
    throw bad_input("{}: tokenizer.ggml.model: got \"{}\", known are gpt2, llama", origin,
                    gguf.model);
  }
  return std::move(reader.spec);
}

TokenizerTexts tokenizer_files_from_gguf(const GgufTokenizer& gguf,
                                         const std::string& chat_template) {
  const TokenizerSpec spec = tokenizer_spec_from_gguf(gguf, "GGUF");
  Json names = Json::object();
  const std::pair<const char*, std::optional<int32_t>> ids[] = {{"bos_token", gguf.bos},
                                                                {"eos_token", gguf.eos},
                                                                {"unk_token", gguf.unknown},
                                                                {"pad_token", gguf.padding}};
  for (const auto& [name, id] : ids) {
    if (id) names[name] = gguf.tokens[static_cast<size_t>(*id)];
  }
  Json config = names;
  // The class that takes tokenizer.json as it is, whatever the family.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return {write_tokenizer_json(spec), config.dump(2) + "\n", names.dump(2) + "\n"};
}

}  // namespace halftone
