// See pre_tokenizer.h. Semantics: the `tokenizers` library's src/pre_tokenizers.
#include "text/pre_tokenizer.h"

#include <utility>

#include "base/error.h"
#include "text/known_patterns.h"
#include "text/pattern.h"
#include "text/split_behavior.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace halftone {

struct PreTokenizerStep {
  virtual ~PreTokenizerStep() = default;
  virtual void run(Pieces& pieces) const = 0;
  // As PreTokenizer::at_cut(), of a step before which no piece ends there.
  virtual AtCut at_cut(char32_t& next) const = 0;
};

namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Of a split at single characters that are no letters; `at_next`: the second part starts with one.
AtCut split_at_cut(bool at_next, SplitBehavior behavior) {
  if (!at_next) return AtCut::passes;
  return behavior == SplitBehavior::merged_with_previous ? AtCut::crosses : AtCut::parts;
}

AtCut expression_at_cut(std::string_view expression) {
  switch (known_pattern(expression)) {
    case KnownPattern::letters:
      return AtCut::parts;
    case KnownPattern::no_letters:
      return AtCut::passes;
    case KnownPattern::other:
      break;
  }
  return AtCut::crosses;
}

std::string_view view(const Pieces& pieces, Span span) {
  return std::string_view(pieces.text).substr(span.begin, span.end - span.begin);
}

bool starts(const Pieces& pieces) {
  return pieces.at_start && !pieces.spans.empty() && pieces.spans.front().begin == 0;
}

struct SplitStep : PreTokenizerStep {
  SplitStep(Pattern what, SplitRule how) : pattern(std::move(what)), rule(how) {}
  void run(Pieces& pieces) const override {
    const Pattern::Finder finder(pattern);
    std::vector<Span> cut, matches;
    cut.reserve(pieces.spans.size());
    for (const Span& span : pieces.spans) {
      finder.find_all(view(pieces, span), matches);
      split_at(span, matches, rule, cut);
    }
    pieces.spans = std::move(cut);
  }
  AtCut at_cut(char32_t& next) const override {
    if (rule.invert) return AtCut::crosses;
    if (const auto sign = pattern.sign()) return split_at_cut(*sign == next, rule.behavior);
    const bool isolated = rule.behavior == SplitBehavior::isolated;
    return isolated ? expression_at_cut(pattern.expression()) : AtCut::crosses;
  }
  Pattern pattern;
  SplitRule rule;
};

// Splits at the characters of a class, in which there is no letter.
struct ClassStep : PreTokenizerStep {
  using Class = bool (*)(char32_t);
  ClassStep(Class which, SplitRule how) : in_class(which), rule(how) {}
  void run(Pieces& pieces) const override {
    std::vector<Span> cut, matches;
    cut.reserve(pieces.spans.size());
    for (const Span& span : pieces.spans) {
      const std::string_view text = view(pieces, span);
      matches.clear();
      for (size_t at = 0; at < text.size();) {
        const size_t here = at;
        if (in_class(next_character(text, at))) matches.push_back({here, at});
      }
      split_at(span, matches, rule, cut);
    }
    pieces.spans = std::move(cut);
  }
  AtCut at_cut(char32_t& next) const override {
    return split_at_cut(in_class(next), rule.behavior);
  }
  Class in_class;
  SplitRule rule;
};

// Keeps runs of word characters and runs of what is neither that nor white space.
struct WordStep : PreTokenizerStep {
  enum class Kind { space, word, other };
  static Kind kind_of(char32_t character) {
    if (is_word(character)) return Kind::word;
    return is_white_space(character) ? Kind::space : Kind::other;
  }
  void run(Pieces& pieces) const override {
    std::vector<Span> cut;
    for (const Span& span : pieces.spans) {
      Kind previous = Kind::space;
      for (size_t at = span.begin; at < span.end;) {
        const size_t here = at;
        const Kind kind = kind_of(next_character(pieces.text, at));
        if (kind != Kind::space && kind == previous) {
          cut.back().end = at;
        } else if (kind != Kind::space) {
          cut.push_back({here, at});
        }
        previous = kind;
      }
    }
    pieces.spans = std::move(cut);
  }
  AtCut at_cut(char32_t&) const override { return AtCut::parts; }
};

// One space in front of every piece that has none.
struct PrefixSpaceStep : PreTokenizerStep {
  void run(Pieces& pieces) const override {
    Pieces out;
    out.text.reserve(pieces.text.size() + pieces.spans.size());
    for (const Span& span : pieces.spans) {
      const std::string_view piece = view(pieces, span);
      const size_t begin = out.text.size();
      if (piece.front() != ' ') out.text += ' ';
      out.text += piece;
      out.spans.push_back({begin, out.text.size()});
    }
    out.at_start = starts(pieces);
    pieces = std::move(out);
  }
  AtCut at_cut(char32_t& next) const override {
    return next == U' ' ? AtCut::passes : AtCut::crosses;
  }
};

struct ByteAlphabetStep : PreTokenizerStep {
  void run(Pieces& pieces) const override {
    Pieces out;
    out.text.reserve(pieces.text.size() + pieces.text.size() / 2);
    out.spans.reserve(pieces.spans.size());
    for (const Span& span : pieces.spans) {
      const size_t begin = out.text.size();
      for (const char byte : view(pieces, span)) {
        append_utf8(out.text, byte_to_character(static_cast<uint8_t>(byte)));
      }
      out.spans.push_back({begin, out.text.size()});
    }
    out.at_start = starts(pieces);
    pieces = std::move(out);
  }
  // Whatever comes then would see other characters.
  AtCut at_cut(char32_t&) const override { return AtCut::crosses; }
};

constexpr std::string_view kMark = "\xe2\x96\x81";  // U+2581

enum class Prepend { always, first, never };

struct MetaspaceStep : PreTokenizerStep {
  MetaspaceStep(std::string mark, Prepend when, bool splits)
      : replacement(std::move(mark)), prepend(when), split(splits) {}
  void run(Pieces& pieces) const override {
    Pieces out;
    out.text.reserve(pieces.text.size() + pieces.text.size() / 2);
    std::vector<Span> matches;
    for (const Span& span : pieces.spans) {
      const std::string_view piece = view(pieces, span);
      const bool first = &span == pieces.spans.data() && starts(pieces);
      const size_t begin = out.text.size();
      const bool marked = piece.front() == ' ' || piece.starts_with(replacement);
      if (!marked && (prepend == Prepend::always || (prepend == Prepend::first && first))) {
        out.text += replacement;
      }
      for (const char byte : piece) {
        if (byte == ' ') {
          out.text += replacement;
        } else {
          out.text += byte;
        }
      }
      const Span whole{begin, out.text.size()};
      matches.clear();
      if (split) find_marks(view(out, whole), matches);
      split_at(whole, matches, {SplitBehavior::merged_with_next, false}, out.spans);
    }
    out.at_start = starts(pieces);
    pieces = std::move(out);
  }
  // The second part starts with a space, or nothing is put before it.
  AtCut at_cut(char32_t& next) const override {
    if (replacement != kMark) return AtCut::crosses;
    if (next != U' ' && prepend == Prepend::always) return AtCut::crosses;
    const bool marked = next == U' ' || next == U'\u2581';
    if (next == U' ') next = U'\u2581';
    return marked && split ? AtCut::parts : AtCut::passes;
  }
  void find_marks(std::string_view piece, std::vector<Span>& matches) const {
    for (size_t at = piece.find(replacement); at != std::string_view::npos;
         at = piece.find(replacement, at + replacement.size())) {
      matches.push_back({at, at + replacement.size()});
    }
  }
  std::string replacement;
  Prepend prepend;
  bool split;
};

using Steps = std::vector<std::unique_ptr<PreTokenizerStep>>;

void add_byte_level(Options& options, Steps& steps) {
  if (options.flag("add_prefix_space")) steps.push_back(std::make_unique<PrefixSpaceStep>());
  options.flag("trim_offsets", true);  // about offsets, which we do not give
  if (options.flag("use_regex", true)) {
    steps.push_back(std::make_unique<SplitStep>(Pattern(Regex(kGpt2Pattern, options.origin())),
                                                SplitRule{SplitBehavior::isolated, false}));
  }
  steps.push_back(std::make_unique<ByteAlphabetStep>());
}

void add_metaspace(Options& options, Steps& steps) {
  const std::string replacement = options.text("replacement");
  if (replacement.empty() || utf8_length(replacement[0]) != replacement.size()) {
    throw bad_input("{}: replacement: got \"{}\", expected one character", options.origin(),
                    replacement);
  }
  const bool prefix = options.flag("add_prefix_space", true);
  const std::string scheme =
      options.find("prepend_scheme") ? options.text("prepend_scheme") : "always";
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    throw bad_input("{}: prepend_scheme: got \"{}\", expected always, first or never",
                    options.origin(), scheme);
  }
  if (!prefix && scheme != "never") {
    throw bad_input("{}: add_prefix_space: false contradicts prepend_scheme {}", options.origin(),
                    scheme);
  }
  options.ignore("str_rep");
  const bool split = options.flag("split", true);
  const Prepend prepend = scheme == "always"  ? Prepend::always
                          : scheme == "first" ? Prepend::first
                                              : Prepend::never;
  steps.push_back(std::make_unique<MetaspaceStep>(replacement, prepend, split));
}

void add_step(const Json& json, const std::string& origin, Steps& steps) {
  Options options(json, origin);
  const std::string& type = options.type();
  const SplitRule removed{SplitBehavior::removed, false};
  if (type == "Split") {
    Pattern pattern(options);
    const SplitBehavior behavior = split_behavior(options.text("behavior"), options.origin());
    const SplitRule rule{behavior, options.flag("invert")};
    steps.push_back(std::make_unique<SplitStep>(std::move(pattern), rule));
  } else if (type == "ByteLevel") {
    add_byte_level(options, steps);
  } else if (type == "Digits") {
    const bool individual = options.flag("individual_digits");
    const SplitRule rule{individual ? SplitBehavior::isolated : SplitBehavior::contiguous, false};
    steps.push_back(std::make_unique<ClassStep>(is_number, rule));
  } else if (type == "Metaspace") {
    add_metaspace(options, steps);
  } else if (type == "Punctuation") {
    const SplitBehavior behavior = options.find("behavior")
                                       ? split_behavior(options.text("behavior"), options.origin())
                                       : SplitBehavior::isolated;
    steps.push_back(std::make_unique<ClassStep>(is_punctuation, SplitRule{behavior, false}));
  } else if (type == "Whitespace") {
    steps.push_back(std::make_unique<WordStep>());
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_unique<ClassStep>(is_white_space, removed));
  } else {
    options.unknown_type(
        "Sequence, Split, ByteLevel, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit");
  }
  options.finish();
}

bool add_steps(const Json& json, const std::string& origin, Steps& steps) {
  if (!json.is_object() || json.value("type", Json()) != "Sequence") {
    add_step(json, origin, steps);
    return json["type"] == "ByteLevel";
  }
  Options options(json, origin);
  bool byte_level = false;
  for (const Json& item : options.list("pretokenizers")) {
    byte_level = add_steps(item, options.origin(), steps) || byte_level;
  }
  options.finish();
  return byte_level;
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& json, const std::string& origin) {
  if (!json.is_null()) byte_level_ = add_steps(json, origin, steps_);
}

PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;

void PreTokenizer::run(Pieces& pieces) const {
  for (const auto& step : steps_) step->run(pieces);
}

AtCut PreTokenizer::at_cut(char32_t& next) const {
  for (const auto& step : steps_) {
    const AtCut cut = step->at_cut(next);
    // Where a piece ends, the steps that follow work piece by piece.
    if (cut != AtCut::passes) return cut;
  }
  return AtCut::passes;
}

}  // namespace halftone
