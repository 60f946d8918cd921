// See tokenizer.h. The order of work is the `tokenizers` library's: added tokens that are not
// normalized are cut out, the rest is normalized, normalized added tokens are cut out, what remains
// is split into pieces, each piece is encoded, and special tokens are put around it all.
#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/sha256.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/cut_places.h"
#include "text/decoder.h"
#include "text/gguf_tokenizer.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace halftone {

struct Tokenizer::Impl {
  // What an added token is called when ids become text, and whether it is left out then.
  struct AddedPiece {
    std::string content, decoded;
    bool special = false, skipped = false;
  };

  explicit Impl(TokenizerSpec read)
      : spec(std::move(read)),
        normalizer(spec.normalizer, spec.origin + ": normalizer"),
        pre_tokenizer(spec.pre_tokenizer, spec.origin + ": pre_tokenizer"),
        post_processor(read_post_processor(spec.post_processor, spec.origin + ": post_processor")),
        decoder(spec.decoder, spec.origin + ": decoder"),
        bpe(spec),
        added(spec.added, normalizer),
        cut_places(normalizer, pre_tokenizer, bpe, spec.added) {
    id_end = spec.vocabulary.id_end();
    for (const AddedToken& token : spec.added) {
      std::string decoded = token.content;
      if (token.normalized) normalizer.run(decoded);
      added_pieces[token.id] = {token.content, std::move(decoded), token.special, false};
      added_ids[token.content] = token.id;
      id_end = std::max(id_end, token.id + 1);
    }
    for (auto& [id, piece] : added_pieces) piece.skipped = is_special_text(piece.decoded);
  }

  bool is_special_text(const std::string& text) const {
    const auto found = added_ids.find(text);
    return found != added_ids.end() && added_pieces.at(found->second).special;
  }

  // A text, or a part of one that was cut where it can be.
  void encode_text(std::string_view text, TextPart part, BpeCache& cache,
                   std::vector<int32_t>& ids) const {
    std::vector<Segment> segments;
    added.raw().split(text, segments);
    for (const Segment& segment : segments) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      const bool goes_on = part == TextPart::continued && segment.begin == 0;
      encode_segment(std::string(text.substr(segment.begin, segment.end - segment.begin)),
                     goes_on ? TextPart::continued : TextPart::whole,
                     part == TextPart::whole && segment.begin == 0, cache, ids);
    }
  }

  // Text between added tokens that are not normalized.
  void encode_segment(std::string text, TextPart part, bool at_start, BpeCache& cache,
                      std::vector<int32_t>& ids) const {
    normalizer.run(text, part);
    std::vector<Segment> segments;
    added.normalized().split(text, segments);
    for (const Segment& segment : segments) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      Pieces pieces;
      pieces.at_start = at_start && segment.begin == 0;
      const size_t size = segment.end - segment.begin;
      pieces.text = segments.size() == 1 ? std::move(text) : text.substr(segment.begin, size);
      pieces.spans.push_back({0, size});
      pre_tokenizer.run(pieces);
      for (const Span& span : pieces.spans) {
        throw_if_interrupted();
        const std::string_view all = pieces.text;
        bpe.encode(all.substr(span.begin, span.end - span.begin), cache, ids);
      }
    }
  }

  // What decoding calls the id, and whether special tokens leave it out; nullptr: no such id.
  const std::string* decoded_piece(int32_t id, bool skip_special) const {
    const auto token = added_pieces.find(id);
    if (token == added_pieces.end()) return spec.vocabulary.piece(id);
    return skip_special && token->second.skipped ? nullptr : &token->second.decoded;
  }

  TokenizerSpec spec;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  Bpe bpe;
  AddedTokens added;
  CutPlaces cut_places;
  std::unordered_map<int32_t, AddedPiece> added_pieces;
  std::unordered_map<std::string, int32_t> added_ids;
  int32_t id_end = 0;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const Metadata& metadata) {
  const TokenizerFiles& files = metadata.tokenizer;
  if (!files.tokenizer_json.empty()) {
    const auto folder = std::filesystem::path(metadata.origin).parent_path();
    const std::string origin = (folder / "tokenizer.json").string();
    return Tokenizer(std::make_unique<Impl>(read_tokenizer_json(files.tokenizer_json, origin)));
  }
  if (files.gguf) {
    return Tokenizer(
        std::make_unique<Impl>(tokenizer_spec_from_gguf(*files.gguf, metadata.origin)));
  }
  throw bad_input("{}: no tokenizer: neither tokenizer.json nor GGUF's tokenizer.ggml keys",
                  metadata.origin)
      .hint("Copy tokenizer.json of the base model beside it.");
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  std::string repaired;
  if (find_invalid_utf8(text)) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (add_special) ids = impl_->post_processor.before;
  BpeCache cache;
  impl_->encode_text(text, TextPart::whole, cache, ids);
  const auto& after = impl_->post_processor.after;
  if (add_special) ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special) const {
  std::string text;
  Decoder::Stream stream(impl_->decoder);
  for (const int32_t id : ids) {
    if (const std::string* piece = impl_->decoded_piece(id, skip_special))
      stream.push(*piece, text);
  }
  stream.finish(text);
  return text;
}

std::string Tokenizer::piece(int32_t id) const {
  const auto token = impl_->added_pieces.find(id);
  if (token != impl_->added_pieces.end()) return token->second.content;
  const std::string* piece = impl_->spec.vocabulary.piece(id);
  return piece ? *piece : std::string();
}

int64_t Tokenizer::vocab_size() const { return impl_->id_end; }

std::optional<int32_t> Tokenizer::bos() const {
  const auto& before = impl_->post_processor.before;
  return before.empty() ? std::nullopt : std::optional(before.front());
}

std::optional<int32_t> Tokenizer::id_of(std::string_view piece) const {
  const auto token = impl_->added_ids.find(std::string(piece));
  if (token != impl_->added_ids.end()) return token->second;
  const int32_t id = impl_->spec.vocabulary.find(piece);
  return id == Vocabulary::kNone ? std::nullopt : std::optional(id);
}

bool Tokenizer::is_special(int32_t id) const {
  const auto token = impl_->added_pieces.find(id);
  return token != impl_->added_pieces.end() && token->second.special;
}

std::string Tokenizer::kind() const {
  if (impl_->pre_tokenizer.byte_level()) return "byte-level BPE";
  return impl_->spec.bpe.byte_fallback ? "BPE with byte fallback" : "BPE";
}

std::string Tokenizer::fingerprint() const {
  const TokenizerSpec& spec = impl_->spec;
  Sha256 hash;
  // Only what decides ids; whether an added token is in the vocabulary as well does not.
  for (int32_t id = 0; id < impl_->id_end; ++id) hash.add(piece(id)).add(std::string_view("\0", 1));
  for (const Merge& merge : spec.merges) {
    hash.add(fmt::format("{} {} {}\n", merge.left, merge.right, merge.result));
  }
  std::vector<AddedToken> added = spec.added;
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (const AddedToken& token : added) {
    hash.add(fmt::format("{} {}{}{}{}\n", token.id, token.single_word, token.lstrip, token.rstrip,
                         token.normalized));
  }
  const nlohmann::json pipeline = {spec.normalizer, spec.pre_tokenizer};  // keys sorted
  hash.add(pipeline.dump());
  hash.add(fmt::format("{} {} {} {}", spec.bpe.unknown.value_or(""), spec.bpe.fuse_unknown,
                       spec.bpe.byte_fallback, spec.bpe.ignore_merges));
  for (const int32_t id : impl_->post_processor.before) hash.add(fmt::format(" <{}", id));
  for (const int32_t id : impl_->post_processor.after) hash.add(fmt::format(" >{}", id));
  return hash.hex();
}

struct StreamEncoder::State {
  const Tokenizer::Impl& tokenizer;
  const bool add_special;
  const size_t least;  // bytes that are gathered
  std::string held = {};
  size_t searched = 0;  // of what is held, up to where there is no place to cut
  TextPart part = TextPart::whole;
  bool begun = false;
  BpeCache cache = {};

  void begin(std::vector<int32_t>& ids) {
    const auto& before = tokenizer.post_processor.before;
    if (!begun && add_special) ids.insert(ids.end(), before.begin(), before.end());
    begun = true;
  }
  void encode(size_t size, std::vector<int32_t>& ids) {
    tokenizer.encode_text(std::string_view(held).substr(0, size), part, cache, ids);
    held.erase(0, size);
    searched = 0;
    part = TextPart::continued;
  }
};

StreamEncoder::StreamEncoder(const Tokenizer& tokenizer, bool add_special, size_t part)
    : state_(new State{*tokenizer.impl_, add_special, part}) {}
StreamEncoder::~StreamEncoder() = default;

void StreamEncoder::push(std::string_view text, std::vector<int32_t>& ids) {
  State& state = *state_;
  state.begin(ids);
  while (!text.empty()) {
    const size_t size = std::min(text.size(), state.least);
    state.held.append(text.substr(0, size));
    text.remove_prefix(size);
    if (state.held.size() < state.least) return;
    const size_t cut = state.tokenizer.cut_places.last(state.held, state.searched);
    if (cut == std::string_view::npos) {
      state.searched = state.held.size() > 8 ? state.held.size() - 8 : 0;
    } else {
      state.encode(cut, ids);
    }
  }
}

void StreamEncoder::finish(std::vector<int32_t>& ids) {
  State& state = *state_;
  state.begin(ids);
  if (!state.held.empty()) state.encode(state.held.size(), ids);
  const auto& after = state.tokenizer.post_processor.after;
  if (state.add_special) ids.insert(ids.end(), after.begin(), after.end());
}

struct StreamDecoder::State {
  Decoder::Stream stream;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer),
      state_(std::make_unique<State>(State{Decoder::Stream(tokenizer.impl_->decoder)})) {}
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  std::string text;
  if (const std::string* piece = tokenizer_.impl_->decoded_piece(id, true)) {
    state_->stream.push(*piece, text);
  }
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  state_->stream.finish(text);
  return text;
}

}  // namespace halftone
