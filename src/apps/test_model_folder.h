// For tests: a tiny model of tests/data/tiny on disk, with a tokenizer whose every letter is a
// token, so that a test knows the ids of a text without running the tokenizer.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "apps/plan.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/temporary_directory.h"

namespace halftone {

class TestModelFolder {
 public:
  explicit TestModelFolder(const std::string& family = "llama", bool with_bos = false) {
    std::filesystem::copy(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny/" + family,
                          model_path());
    write("model/tokenizer.json", tokenizer(with_bos));
  }

  std::string path(const std::string& name) const { return directory_.file(name); }
  std::string model_path() const { return path("model"); }
  OpenedModel open() const { return open_model(model_path()); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  // `letters` random letters: as many tokens.
  std::string write_letters(const std::string& name, int64_t letters, uint64_t seed = 1) const {
    Rng rng(seed);
    std::string text;
    for (int64_t i = 0; i < letters; ++i) text += static_cast<char>('a' + rng.below(26));
    return write(name, text);
  }
  // To round it to nearest, into `out`, without a word.
  QuantizeOptions rounding(const std::string& out, int64_t group_size) const {
    QuantizeOptions options;
    options.output = path(out);
    options.method = "rtn";
    options.group_size = group_size;
    options.calibration = {write_letters("text.txt", 4 * 32)};
    options.samples = 2;
    options.seq_len = 32;
    options.quiet = true;
    return options;
  }
  static constexpr int32_t kBos = 26;  // after a … z, which are 0 … 25

 private:
  static std::string tokenizer(bool with_bos) {
    Json json = Json::parse(R"({"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                          "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                    "use_regex": true},
        "model": {"type": "BPE", "vocab": {}, "merges": []}})");
    for (int32_t id = 0; id < kBos; ++id)
      json["model"]["vocab"][std::string(1, static_cast<char>('a' + id))] = id;
    if (!with_bos) return json.dump();
    json["added_tokens"] = Json::parse(R"([{"id": 26, "content": "<s>", "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}])");
    json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                 {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [26], "tokens": ["<s>"]}}})");
    return json.dump();
  }

  TemporaryDirectory directory_;
};

}  // namespace halftone
