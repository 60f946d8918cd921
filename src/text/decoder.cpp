// See decoder.h. Semantics: the `tokenizers` library's src/decoders, where a decoder maps a list of
// tokens to a list of tokens; here each stage hands on its tokens as soon as they are certain.
#include "text/decoder.h"

#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/pattern.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace halftone {

struct DecoderStage {
  using State = Decoder::Stream::State;
  struct Next {
    Decoder::Stream& stream;
    size_t stage;
    std::string& out;
    void operator()(std::string_view token) const { stream.enter(stage, token, out); }
  };
  virtual ~DecoderStage() = default;
  virtual void push(std::string_view token, State& state, const Next& next) const = 0;
  virtual void finish(State&, const Next&) const {}
};

namespace {

struct ByteLevelStage : DecoderStage {
  void push(std::string_view token, State& state, const Next& next) const override {
    const size_t before = state.held.size();
    for (size_t at = 0; at < token.size();) {
      const auto byte = character_to_byte(next_character(token, at));
      if (byte) {
        state.held += static_cast<char>(*byte);
      } else {  // not of this alphabet, so all of it is text
        state.held.resize(before);
        state.held += token;
        break;
      }
    }
    std::string text;
    take_utf8(state.held, text);
    if (!text.empty()) next(text);
  }
  void finish(State& state, const Next& next) const override {
    if (!state.held.empty()) next(kReplacement);
  }
};

struct ByteFallbackStage : DecoderStage {
  void push(std::string_view token, State& state, const Next& next) const override {
    if (const auto byte = byte_of(token)) {
      state.held += *byte;
      return;
    }
    finish(state, next);
    next(token);
  }
  // A run of bytes is text as a whole or not at all.
  void finish(State& state, const Next& next) const override {
    if (state.held.empty()) return;
    if (!find_invalid_utf8(state.held)) {
      next(state.held);
    } else {
      for (size_t i = 0; i < state.held.size(); ++i) next(kReplacement);
    }
    state.held.clear();
  }
  static std::optional<char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
    int value = 0;
    for (const char c : token.substr(3, 2)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      value = value * 16 + digit;
    }
    return static_cast<char>(value);
  }
};

struct FuseStage : DecoderStage {
  void push(std::string_view token, State&, const Next& next) const override { next(token); }
};

// Keeps all of a fused text until its end, for a stage that must see it whole.
struct HoldStage : DecoderStage {
  void push(std::string_view token, State& state, const Next&) const override {
    state.held += token;
  }
  void finish(State& state, const Next& next) const override { next(state.held); }
};

struct ReplaceStage : DecoderStage {
  ReplaceStage(Pattern what, std::string with)
      : pattern(std::move(what)), content(std::move(with)) {}
  void push(std::string_view token, State&, const Next& next) const override {
    next(pattern.replace_all(token, content));
  }
  Pattern pattern;
  std::string content;
};

// Takes up to `start` characters `content` from a token's front, up to `stop` from its end.
struct StripStage : DecoderStage {
  void push(std::string_view token, State&, const Next& next) const override {
    size_t begin = 0, end = token.size();
    for (int64_t i = 0; i < start && token.substr(begin).starts_with(content); ++i) {
      begin += content.size();
    }
    for (int64_t i = 0; i < stop && token.substr(begin, end - begin).ends_with(content); ++i) {
      end -= content.size();
    }
    next(token.substr(begin, end - begin));
  }
  std::string content;
  int64_t start = 0, stop = 0;
};

// The same on a text that comes in parts: count is what was taken from the front, −1 when that is
// over; held is what may yet turn out to be the end.
struct FusedStripStage : StripStage {
  void push(std::string_view part, State& state, const Next& next) const override {
    while (state.count >= 0 && state.count < start && part.starts_with(content)) {
      part.remove_prefix(content.size());
      ++state.count;
    }
    if (part.empty()) return;
    state.count = -1;
    const std::string text = std::exchange(state.held, {}).append(part);
    size_t end = text.size();
    for (int64_t i = 0; i < stop && std::string_view(text).substr(0, end).ends_with(content); ++i) {
      end -= content.size();
    }
    state.held = text.substr(end);
    next(std::string_view(text).substr(0, end));
  }
};

struct MetaspaceStage : DecoderStage {
  void push(std::string_view token, State& state, const Next& next) const override {
    const bool drop = state.count++ == 0 && drops_first;
    std::string text;
    for (size_t at = 0; at < token.size();) {
      if (token.substr(at).starts_with(replacement)) {
        if (!drop) text += ' ';
        at += replacement.size();
      } else {
        text += token[at++];
      }
    }
    next(text);
  }
  std::string replacement;
  bool drops_first = true;
};

struct JoinStage : DecoderStage {
  void push(std::string_view token, State& state, const Next& next) const override {
    if (state.count++ > 0) next(" ");
    next(token);
  }
};

using Stages = std::vector<std::unique_ptr<DecoderStage>>;

struct Builder {
  Stages stages;
  bool fused = false;  // what comes now is one token in parts

  void add(const Json& json, const std::string& origin) {
    Options options(json, origin);
    const std::string& type = options.type();
    if (type == "Sequence") {
      for (const Json& item : options.list("decoders")) add(item, options.origin());
    } else if (type == "Strip") {
      add_strip(options);
    } else if (type == "Fuse") {
      stages.push_back(std::make_unique<FuseStage>());
      fused = true;
    } else {
      if (fused) stages.push_back(std::make_unique<HoldStage>());
      add_other(options);
    }
    options.finish();
  }

  void add_other(Options& options) {
    const std::string& type = options.type();
    if (type == "ByteLevel") {
      for (const char* name : {"add_prefix_space", "trim_offsets", "use_regex"})
        options.ignore(name);
      stages.push_back(std::make_unique<ByteLevelStage>());
      fused = true;
    } else if (type == "ByteFallback") {
      stages.push_back(std::make_unique<ByteFallbackStage>());
    } else if (type == "Replace") {
      Pattern pattern(options);
      stages.push_back(std::make_unique<ReplaceStage>(std::move(pattern), options.text("content")));
    } else if (type == "Metaspace") {
      auto stage = std::make_unique<MetaspaceStage>();
      stage->replacement = options.text("replacement");
      stage->drops_first = options.flag("add_prefix_space", true);
      if (options.find("prepend_scheme")) {
        stage->drops_first = options.text("prepend_scheme") != "never";
      }
      if (stage->replacement.empty()) throw bad_input("{}: replacement is empty", options.origin());
      options.ignore("split");
      options.ignore("str_rep");
      stages.push_back(std::move(stage));
    } else {
      options.unknown_type("Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace");
    }
  }

  void add_strip(Options& options) {
    auto stage = fused ? std::make_unique<FusedStripStage>() : std::make_unique<StripStage>();
    stage->content = options.text("content");
    stage->start = options.integer("start", 0, std::numeric_limits<int32_t>::max());
    stage->stop = options.integer("stop", 0, std::numeric_limits<int32_t>::max());
    if (stage->content.empty()) throw bad_input("{}: content is empty", options.origin());
    stages.push_back(std::move(stage));
  }
};

}  // namespace

Decoder::Decoder(const Json& json, const std::string& origin) {
  Builder builder;
  if (json.is_null()) {
    builder.stages.push_back(std::make_unique<JoinStage>());
  } else {
    builder.add(json, origin);
  }
  stages_ = std::move(builder.stages);
}

Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;

Decoder::Stream::Stream(const Decoder& decoder)
    : decoder_(decoder), states_(decoder.stages_.size()) {}

void Decoder::Stream::enter(size_t stage, std::string_view token, std::string& out) {
  if (stage == states_.size()) {
    out += token;
  } else {
    decoder_.stages_[stage]->push(token, states_[stage], {*this, stage + 1, out});
  }
}

void Decoder::Stream::push(std::string_view token, std::string& out) { enter(0, token, out); }

void Decoder::Stream::finish(std::string& out) {
  for (size_t stage = 0; stage < states_.size(); ++stage) {
    decoder_.stages_[stage]->finish(states_[stage], {*this, stage + 1, out});
  }
}

}  // namespace halftone
