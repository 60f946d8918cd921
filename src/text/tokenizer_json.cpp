// tokenizer.json (the `tokenizers` library's format, version 1.0), read and written. The vocabulary
// and the merges go through simdjson, the small parts through nlohmann-json.
#include <simdjson.h>

#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "text/tokenizer_spec.h"

namespace halftone {
namespace {

using simdjson::dom::element;

class Reader {
 public:
  Reader(std::string_view text, const std::string& origin) : origin_(origin) {
    spec_.origin = origin;
    simdjson::dom::object fields;
    auto error = parser_.parse(text.data(), text.size()).get(root_);
    if (error)
      throw bad_input("{}: not JSON: {}", origin_, simdjson::error_message(error))
          .hint("it was cut off or damaged: fetch it again from where the model came from.");
    error = root_.get(fields);
    if (error) throw bad_input("{}: expected an object", origin_);
    for (const auto field : fields) top_level(field.key, field.value);
  }

  TokenizerSpec run() {
    if (model_.is_null()) throw bad_input("{}: model is missing", origin_);
    read_model();
    read_added_tokens();
    return std::move(spec_);
  }

 private:
  void top_level(std::string_view key, element value) {
    if (key == "version") {
      if (std::string_view version; value.get(version) || version != "1.0") {
        throw bad_input("{}: version: got {}, expected \"1.0\"", origin_, simdjson::minify(value));
      }
    } else if (key == "normalizer") {
      spec_.normalizer = small(value);
    } else if (key == "pre_tokenizer") {
      spec_.pre_tokenizer = small(value);
    } else if (key == "post_processor") {
      spec_.post_processor = small(value);
    } else if (key == "decoder") {
      spec_.decoder = small(value);
    } else if (key == "added_tokens") {
      added_ = value;
    } else if (key == "model") {
      model_ = small_model(value);
    } else if (key != "truncation" && key != "padding") {
      throw bad_input("{}: field {} is not known", origin_, key);
    }
  }

  Json small(element value) const { return parse_json(simdjson::minify(value), origin_); }

  // The model's options; vocabulary and merges are put aside.
  Json small_model(element value) {
    simdjson::dom::object fields;
    if (value.get(fields)) throw bad_input("{}: model: expected an object", origin_);
    Json options = Json::object();
    for (const auto field : fields) {
      if (field.key == "vocab") {
        if (field.value.get(vocabulary_)) {
          throw bad_input("{}: model.vocab: expected an object of pieces and ids", origin_);
        }
        has_vocabulary_ = true;
      } else if (field.key == "merges") {
        if (field.value.get(merges_)) throw bad_input("{}: model.merges: expected a list", origin_);
        has_merges_ = true;
      } else {
        options[std::string(field.key)] = small(field.value);
      }
    }
    return options;
  }

  void read_model() {
    if (model_.contains("type") && model_["type"] != "BPE") {
      throw bad_input("{}: model.type: got {}, expected \"BPE\"", origin_, model_["type"].dump())
          .hint("Only byte-pair tokenizers are known.");
    }
    Options options(model_, origin_ + ": model");
    if (const Json* dropout = options.find("dropout"); dropout && *dropout != 0.0) {
      throw bad_input("{}: model.dropout: got {}, expected null", origin_, dropout->dump())
          .hint("Dropout makes ids random.");
    }
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const Json* value = options.find(affix); value && *value != "") {
        throw bad_input("{}: model.{}: got {}, expected none", origin_, affix, value->dump());
      }
    }
    if (options.find("unk_token")) spec_.bpe.unknown = options.text("unk_token");
    spec_.bpe.fuse_unknown = options.flag("fuse_unk", false);
    spec_.bpe.byte_fallback = options.flag("byte_fallback", false);
    spec_.bpe.ignore_merges = options.flag("ignore_merges", false);
    options.finish();
    if (!has_vocabulary_ || !has_merges_) {
      throw bad_input("{}: model: vocab or merges are missing", origin_);
    }
    read_vocabulary();
    read_merges();
    if (spec_.bpe.unknown && spec_.vocabulary.find(*spec_.bpe.unknown) == Vocabulary::kNone) {
      throw bad_input("{}: model.unk_token: {} is not in the vocabulary", origin_,
                      *spec_.bpe.unknown);
    }
  }

  void read_vocabulary() {
    spec_.vocabulary.reserve(vocabulary_.size());
    for (const auto field : vocabulary_) {
      int64_t id = -1;
      if (field.value.get(id) || id < 0 || id >= Vocabulary::kMostIds) {
        throw bad_input("{}: model.vocab: id of \"{}\": got {}, expected an integer below {}",
                        origin_, field.key, simdjson::minify(field.value), Vocabulary::kMostIds);
      }
      if (!spec_.vocabulary.add(std::string(field.key), static_cast<int32_t>(id))) {
        throw bad_input("{}: model.vocab: \"{}\" = {}: this piece or this id appears twice",
                        origin_, field.key, id);
      }
    }
  }

  void read_merges() {
    spec_.merges.reserve(merges_.size());
    std::string joined;
    for (const element merge : merges_) {
      std::string_view left, right, line;
      if (!merge.get(line)) {
        if (line.starts_with("#version")) continue;
        const size_t space = line.find(' ');
        if (space == std::string_view::npos ||
            line.find(' ', space + 1) != std::string_view::npos) {
          throw bad_input("{}: model.merges: got \"{}\", expected two pieces and a space between",
                          origin_, line);
        }
        left = line.substr(0, space), right = line.substr(space + 1);
      } else {
        simdjson::dom::array pair;
        if (merge.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
          throw bad_input("{}: model.merges: got {}, expected two pieces", origin_,
                          simdjson::minify(merge));
        }
      }
      joined.assign(left).append(right);
      spec_.merges.push_back({id_of(left), id_of(right), id_of(joined)});
    }
  }

  int32_t id_of(std::string_view piece) const {
    const int32_t id = spec_.vocabulary.find(piece);
    if (id == Vocabulary::kNone) {
      throw bad_input("{}: model.merges: \"{}\" is not in the vocabulary", origin_, piece);
    }
    return id;
  }

  // As in the library, an added token has the id that its content has in the vocabulary, or the
  // next free one; the id in the file is only a note.
  void read_added_tokens() {
    if (added_.type() == simdjson::dom::element_type::NULL_VALUE) return;
    const Json list = small(added_);
    if (!list.is_array()) throw bad_input("{}: added_tokens: expected a list", origin_);
    auto next = static_cast<int64_t>(spec_.vocabulary.size());
    std::unordered_map<std::string, size_t> places;  // content → index in spec_.added
    for (const Json& item : list) {
      Options options(item, origin_ + ": added_tokens");
      AddedToken token;
      token.content = options.text("content");
      token.single_word = options.flag("single_word");
      token.lstrip = options.flag("lstrip");
      token.rstrip = options.flag("rstrip");
      token.normalized = options.flag("normalized");
      token.special = options.flag("special");
      options.integer("id", 0, std::numeric_limits<uint32_t>::max());
      options.finish();
      if (token.content.empty()) continue;
      token.id = spec_.vocabulary.find(token.content);
      const auto earlier = places.find(token.content);
      if (earlier != places.end()) {  // said twice: the last word counts
        token.id = spec_.added[earlier->second].id;
        spec_.added[earlier->second] = std::move(token);
        continue;
      }
      if (token.id == Vocabulary::kNone) token.id = static_cast<int32_t>(next++);
      places[token.content] = spec_.added.size();
      spec_.added.push_back(std::move(token));
    }
  }

  std::string origin_;
  simdjson::dom::parser parser_;
  element root_, added_;
  Json model_;
  simdjson::dom::object vocabulary_;
  simdjson::dom::array merges_;
  bool has_vocabulary_ = false, has_merges_ = false;
  TokenizerSpec spec_;
};

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kDigits[c >> 4];
      out += kDigits[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_vocabulary(std::string& out, const Vocabulary& vocabulary) {
  const char* separator = "\n";
  for (int32_t id = 0; id < vocabulary.id_end(); ++id) {
    const std::string* piece = vocabulary.piece(id);
    if (!piece) continue;
    out += separator;
    append_json_string(out, *piece);
    out += ": " + std::to_string(id);
    separator = ",\n";
  }
}

// As "left right", which every release of the library reads, unless a piece has a space in it.
void append_merges(std::string& out, const TokenizerSpec& spec) {
  const auto piece = [&](int32_t id) -> const std::string& { return *spec.vocabulary.piece(id); };
  bool pairs = false;
  for (const Merge& merge : spec.merges) {
    const std::string& left = piece(merge.left);
    pairs = pairs || left.find(' ') != std::string::npos || left.starts_with("#version") ||
            piece(merge.right).find(' ') != std::string::npos;
  }
  const char* separator = "\n";
  for (const Merge& merge : spec.merges) {
    out += separator;
    if (pairs) {
      out += '[';
      append_json_string(out, piece(merge.left));
      out += ", ";
      append_json_string(out, piece(merge.right));
      out += ']';
    } else {
      append_json_string(out, piece(merge.left) + " " + piece(merge.right));
    }
    separator = ",\n";
  }
}

}  // namespace

TokenizerSpec read_tokenizer_json(std::string_view text, const std::string& origin) {
  return Reader(text, origin).run();
}

std::string write_tokenizer_json(const TokenizerSpec& spec) {
  Json added = Json::array();
  for (const AddedToken& token : spec.added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  std::string out = "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n";
  out += "\"added_tokens\": " + added.dump(1) + ",\n";
  out += "\"normalizer\": " + spec.normalizer.dump(1) + ",\n";
  out += "\"pre_tokenizer\": " + spec.pre_tokenizer.dump(1) + ",\n";
  out += "\"post_processor\": " + spec.post_processor.dump(1) + ",\n";
  out += "\"decoder\": " + spec.decoder.dump(1) + ",\n";
  const BpeOptions& bpe = spec.bpe;
  const Json unknown = bpe.unknown ? Json(*bpe.unknown) : Json(nullptr);
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  out += "\"model\": {\n\"type\": \"BPE\",\n\"dropout\": null,\n\"unk_token\": " + unknown.dump();
  out += ",\n\"continuing_subword_prefix\": null,\n\"end_of_word_suffix\": null,\n\"fuse_unk\": ";
  out.append(flag(bpe.fuse_unknown)).append(",\n\"byte_fallback\": ");
  out.append(flag(bpe.byte_fallback)).append(",\n\"ignore_merges\": ");
  out.append(flag(bpe.ignore_merges)).append(",\n\"vocab\": {");
  append_vocabulary(out, spec.vocabulary);
  out += "\n},\n\"merges\": [";
  append_merges(out, spec);
  out += "\n]\n}\n}\n";
  return out;
}

}  // namespace halftone
