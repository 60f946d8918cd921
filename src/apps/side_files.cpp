// Pass-through (design §6): what a command does not change, it copies byte for byte.
#include "apps/side_files.h"

#include <filesystem>

#include "base/file.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

void write_text(const std::string& directory, const char* name, const std::string& text) {
  if (!text.empty()) write_file_atomically(directory + "/" + name, text);
}

}  // namespace

void write_side_files(const Checkpoint& checkpoint, const std::string& directory) {
  for (const std::string& file : checkpoint.side_files()) {
    const std::string name = fs::path(file).filename();
    if (name == "README.md" || name == "quantize.toml") continue;  // of the model that it was
    copy_file_bytes(file, directory + "/" + name);
  }
  const Metadata& metadata = checkpoint.metadata();
  if (!metadata.tokenizer.gguf) return;
  const TokenizerTexts texts =
      tokenizer_files_from_gguf(*metadata.tokenizer.gguf, metadata.chat_template);
  write_text(directory, "tokenizer.json", texts.tokenizer_json);
  write_text(directory, "tokenizer_config.json", texts.tokenizer_config_json);
  write_text(directory, "special_tokens_map.json", texts.special_tokens_map_json);
  write_text(directory, "chat_template.jinja", metadata.chat_template);
  if (!metadata.generation_config.is_null())
    write_text(directory, "generation_config.json", metadata.generation_config.dump(2) + "\n");
}

}  // namespace halftone
