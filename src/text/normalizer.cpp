// See normalizer.h. Semantics: the `tokenizers` library's src/normalizers.
#include "text/normalizer.h"

#include <utility>

#include "base/error.h"
#include "text/pattern.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace halftone {

struct NormalizerStep {
  virtual ~NormalizerStep() = default;
  virtual void run(std::string& text) const = 0;
  // Whether a text that goes on where another ended is left alone.
  virtual bool only_at_start() const { return false; }
  // False: the step may look across a cut before `next`, which else becomes what the step makes it.
  virtual bool pass_cut(char32_t& next) const = 0;
};

namespace {

// What no character before it combines with, and no pattern that is known joins to a letter.
bool parts_cleanly(char32_t next) {
  constexpr std::u32string_view kKnown = U" \n.,\u3002\uff0c\u2581";
  return kKnown.find(next) != std::u32string_view::npos;
}

// `next` := the one character of `text`, when it is such a one.
bool becomes(std::string_view text, char32_t& next) {
  if (text.empty() || utf8_length(text[0]) != text.size()) return false;
  size_t at = 0;
  next = next_character(text, at);
  return parts_cleanly(next);
}

// Prepend and ByteLevel leave empty text empty.
struct Prepend : NormalizerStep {
  explicit Prepend(std::string text) : prefix(std::move(text)) {}
  void run(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix);
  }
  bool only_at_start() const override { return true; }
  bool pass_cut(char32_t&) const override { return true; }
  std::string prefix;
};

struct Replace : NormalizerStep {
  Replace(Pattern what, std::string with) : pattern(std::move(what)), content(std::move(with)) {}
  void run(std::string& text) const override { text = pattern.replace_all(text, content); }
  bool pass_cut(char32_t& next) const override {
    const auto replaced = pattern.sign();
    return replaced && (*replaced != next || becomes(content, next));
  }
  Pattern pattern;
  std::string content;
};

struct Normal : NormalizerStep {
  explicit Normal(NormalForm which) : form(which) {}
  void run(std::string& text) const override { text = normalize(text, form); }
  bool pass_cut(char32_t& next) const override {
    return becomes(normalize(to_utf8(next), form), next);
  }
  NormalForm form;
};

struct Lowercase : NormalizerStep {
  void run(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) append_lowercase(out, next_character(text, at));
    text = std::move(out);
  }
  bool pass_cut(char32_t&) const override { return true; }
};

struct Strip : NormalizerStep {
  Strip(bool on_left, bool on_right) : left(on_left), right(on_right) {}
  void run(std::string& text) const override {
    size_t begin = 0, end = 0;  // of what stays
    bool begun = !left;
    for (size_t at = 0; at < text.size();) {
      const size_t here = at;
      if (is_white_space(next_character(text, at))) continue;
      if (!begun) begin = here;
      begun = true;
      end = at;
    }
    if (!begun) begin = text.size();
    if (!right) end = text.size();
    text = end > begin ? text.substr(begin, end - begin) : std::string();
  }
  bool pass_cut(char32_t&) const override { return false; }
  bool left, right;
};

struct ByteLevel : NormalizerStep {
  void run(std::string& text) const override {
    std::string out;
    for (const char byte : text) append_utf8(out, byte_to_character(static_cast<uint8_t>(byte)));
    text = std::move(out);
  }
  bool pass_cut(char32_t&) const override { return false; }
};

std::unique_ptr<NormalizerStep> make_step(const Json& json, const std::string& origin) {
  Options options(json, origin);
  const std::string& type = options.type();
  std::unique_ptr<NormalizerStep> step;
  if (type == "Prepend") {
    step = std::make_unique<Prepend>(options.text("prepend"));
  } else if (type == "Replace") {
    Pattern pattern(options);
    step = std::make_unique<Replace>(std::move(pattern), options.text("content"));
  } else if (type == "NFC") {
    step = std::make_unique<Normal>(NormalForm::nfc);
  } else if (type == "NFD") {
    step = std::make_unique<Normal>(NormalForm::nfd);
  } else if (type == "NFKC") {
    step = std::make_unique<Normal>(NormalForm::nfkc);
  } else if (type == "NFKD") {
    step = std::make_unique<Normal>(NormalForm::nfkd);
  } else if (type == "Lowercase") {
    step = std::make_unique<Lowercase>();
  } else if (type == "Strip") {
    const bool left = options.flag("strip_left");
    step = std::make_unique<Strip>(left, options.flag("strip_right"));
  } else if (type == "ByteLevel") {
    step = std::make_unique<ByteLevel>();
  } else {
    options.unknown_type(
        "Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, "
        "ByteLevel");
  }
  options.finish();
  return step;
}

}  // namespace

Normalizer::Normalizer(const Json& json, const std::string& origin) {
  if (json.is_null()) return;
  if (json.is_object() && json.value("type", Json()) == "Sequence") {
    Options options(json, origin);
    for (const Json& item : options.list("normalizers")) {
      Normalizer inner(item, options.origin());
      for (auto& step : inner.steps_) steps_.push_back(std::move(step));
    }
    options.finish();
    return;
  }
  steps_.push_back(make_step(json, origin));
}

Normalizer::~Normalizer() = default;
Normalizer::Normalizer(Normalizer&&) noexcept = default;

void Normalizer::run(std::string& text, TextPart part) const {
  for (const auto& step : steps_)
    if (part == TextPart::whole || !step->only_at_start()) step->run(text);
}

std::optional<char32_t> Normalizer::at_cut(char32_t next) const {
  for (const auto& step : steps_)
    if (!step->pass_cut(next)) return std::nullopt;
  return next;
}

}  // namespace halftone
