// See post_processor.h. Semantics: the `tokenizers` library's src/processors.
#include "text/post_processor.h"

#include <limits>

#include "base/error.h"
#include "text/tokenizer_spec.h"

namespace halftone {
namespace {

struct Builder {
  PostProcessor result;
  bool has_template = false;

  void add(const Json& json, const std::string& origin) {
    Options options(json, origin);
    if (options.type() == "Sequence") {
      for (const Json& item : options.list("processors")) add(item, options.origin());
    } else if (options.type() == "ByteLevel") {
      for (const char* name : {"add_prefix_space", "trim_offsets", "use_regex"})
        options.ignore(name);
    } else if (options.type() == "TemplateProcessing") {
      if (has_template) throw bad_input("{}: a second TemplateProcessing", origin);
      has_template = true;
      add_template(options);
    } else {
      options.unknown_type("Sequence, ByteLevel, TemplateProcessing");
    }
    options.finish();
  }

  // The template of a single text: special tokens, the text ("A"), special tokens.
  void add_template(Options& options) {
    const Json* tokens = options.find("special_tokens");
    options.ignore("pair");
    bool behind = false;
    for (const Json& item : options.list("single")) {
      if (!item.is_object() || item.size() != 1 || !item.begin()->is_object()) {
        throw bad_input("{}: single: got {}, expected SpecialToken or Sequence", options.origin(),
                        item.dump());
      }
      const std::string& kind = item.begin().key();
      Options piece(*item.begin(), options.origin() + ".single");
      const std::string id = piece.text("id");
      piece.integer("type_id", 0, std::numeric_limits<uint32_t>::max());
      piece.finish();
      if (kind == "Sequence" && id == "A" && !behind) {
        behind = true;
      } else if (kind == "SpecialToken" && tokens && tokens->contains(id)) {
        add_token((*tokens)[id], options.origin(), behind ? result.after : result.before);
      } else {
        throw bad_input("{}: single: {} {}: expected one sequence A and tokens of special_tokens",
                        options.origin(), kind, id);
      }
    }
    if (!behind) throw bad_input("{}: single: no sequence A", options.origin());
  }

  static void add_token(const Json& json, const std::string& origin, std::vector<int32_t>& ids) {
    Options token(json, origin + ".special_tokens");
    token.text("id");
    token.list("tokens");
    for (const Json& id : token.list("ids")) {
      if (!id.is_number_integer() || id < 0 || id >= Vocabulary::kMostIds) {
        throw bad_input("{}: ids: got {}, expected ids", token.origin(), id.dump());
      }
      ids.push_back(id.get<int32_t>());
    }
    token.finish();
  }
};

}  // namespace

PostProcessor read_post_processor(const Json& json, const std::string& origin) {
  Builder builder;
  if (!json.is_null()) builder.add(json, origin);
  return builder.result;
}

}  // namespace halftone
