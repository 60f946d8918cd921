// Pass-through (design §6): what a command does not change, it copies byte for byte.
#include "apps/dense_output.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRowsAtOnce = 4096;  // of a table that is converted

void write_text(const std::string& directory, const char* name, const std::string& text) {
  if (!text.empty()) write_file_atomically(directory + "/" + name, text);
}

}  // namespace

DenseOutput::DenseOutput(const OpenedModel& model,
                         const std::function<bool(const std::string&)>& wanted,
                         std::optional<DType> dtype)
    : model_(model), dtype_(dtype) {
  if (!dtype_ && model.checkpoint->is_gguf()) dtype_ = DType::bf16;
  for (const StoredTensor& stored : model.source->tensors())
    if (wanted(stored.name)) names_.push_back(stored.name);
}

void DenseOutput::plan(std::vector<TensorPlan>& tensors) const {
  for (const std::string& name : names_) {
    const StoredTensor& stored = *model_.source->find(name);
    if (!dtype_) {
      const ContainerEntry& entry = *model_.checkpoint->find(name);
      tensors.push_back({name, entry.type, entry.shape, static_cast<int64_t>(entry.bytes.size())});
      continue;
    }
    std::vector<int64_t> shape = {stored.rows, stored.cols};
    if (stored.rank == 1) shape.erase(shape.begin());
    tensors.push_back({name, std::string(safetensors_name(*dtype_)), shape,
                       stored.rows * stored.cols * static_cast<int64_t>(size_of(*dtype_))});
  }
}

void DenseOutput::write(SafetensorsWriter& writer) const {
  for (const std::string& name : names_) {
    throw_if_interrupted();
    if (dtype_)
      write_converted(name, *dtype_, writer);
    else
      writer.write(name, model_.checkpoint->find(name)->bytes);
  }
}

void DenseOutput::write_converted(const std::string& name, DType dtype,
                                  SafetensorsWriter& writer) const {
  const StoredTensor& stored = *model_.source->find(name);
  std::vector<std::byte> bytes(static_cast<size_t>(stored.rows * stored.cols) * size_of(dtype));
  const View out{bytes.data(), stored.rows, stored.cols, stored.cols, dtype, Place::host};
  for (int64_t row = 0; row < stored.rows; row += kRowsAtOnce) {
    const int64_t end = std::min(row + kRowsAtOnce, stored.rows);
    if (dtype != DType::f16) {
      model_.source->read(name, row, end, out.rows_of(row, end));
      continue;
    }
    HostAllocator host;
    const Tensor exact(host, end - row, stored.cols, DType::f32);
    model_.source->read(name, row, end, exact);
    for (int64_t r = 0; r < end - row; ++r)
      for (int64_t c = 0; c < stored.cols; ++c) {
        const f16 rounded = to_f16(exact.row<float>(r)[c]);
        if ((rounded.bits & 0x7fff) == 0x7c00)
          throw bad_input("{}: {} at row {}, column {} does not fit f16", name,
                          exact.row<float>(r)[c], row + r, c)
              .hint("use --dtype bf16 or f32.");
        out.row<f16>(row + r)[c] = rounded;
      }
  }
  writer.write(name, bytes);
}

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
