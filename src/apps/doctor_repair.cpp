#include "apps/doctor_repair.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "format/gptq_label.h"
#include "format/stated_quantization.h"
#include "io/checkpoint.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVersionKeys[] = {"checkpoint_format", "format", "version"};

bool is_version(const Json& value) {
  return value.is_string() && (value == Json("gptq") || value == Json("gptq_v2"));
}

// Sets the version in a parsed file.
void relabel(Json& config, const std::string& version) {
  bool said = false;
  for (const std::string_view key : kVersionKeys) {
    const auto found = config.find(key);
    if (found == config.end() || !is_version(*found)) continue;
    *found = version;
    said = true;
  }
  if (!said) config["checkpoint_format"] = version;
}

size_t skip_blanks(const std::string& text, size_t at) {
  while (at < text.size() && std::string_view(" \t\r\n").find(text[at]) != std::string_view::npos)
    ++at;
  return at;
}

// Replaces the value after each "key": where it is one of the versions.
void replace_values(std::string& text, std::string_view key, const std::string& version) {
  const std::string quoted = "\"" + std::string(key) + "\"";
  for (size_t at = text.find(quoted); at != std::string::npos; at = text.find(quoted, at + 1)) {
    const size_t colon = skip_blanks(text, at + quoted.size());
    if (colon >= text.size() || text[colon] != ':') continue;
    const size_t value = skip_blanks(text, colon + 1);
    for (const std::string_view old : {"\"gptq\"", "\"gptq_v2\""}) {
      if (text.compare(value, old.size(), old) != 0) continue;
      text.replace(value, old.size(), "\"" + version + "\"");
      break;
    }
  }
}

// Without regard to the order of keys.
bool same(const Json& a, const Json& b) { return nlohmann::json(a) == nlohmann::json(b); }

void copy_all(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    throw_if_interrupted();
    const fs::path place = to / entry.path().filename();
    if (entry.is_directory()) {
      fs::create_directory(place);
      copy_all(entry.path(), place);
    } else if (entry.is_regular_file()) {
      copy_file_bytes(entry.path().string(), place.string());
    }
  }
}

void relabel_file(const fs::path& path, const std::string& inside, GptqVersion version) {
  if (!fs::exists(path)) return;
  const std::string text = read_file(path.string());
  write_file_atomically(path.string(), relabelled(text, inside, version, path.string()));
}

void check_output(const std::string& output, const std::string& model, bool force) {
  if (!fs::exists(output)) return;
  std::error_code none;
  if (fs::equivalent(output, model, none))
    throw usage_error("-o {}: is the model itself, which is never changed", output)
        .hint("pass another -o.");
  if (!force)
    throw usage_error("{} exists", output).hint("pass --force to replace it, or another -o.");
  check_replaceable(output);
}

}  // namespace

std::string relabelled(const std::string& text, const std::string& inside, GptqVersion version,
                       const std::string& origin) {
  const std::string name(name_of(version));
  Json expected = parse_json(text, origin);
  if (!inside.empty() && (!expected.is_object() || !expected.contains(inside))) return text;
  Json& quantization = inside.empty() ? expected : expected[inside];
  if (!quantization.is_object()) throw bad_input("{}: {}: not an object", origin, inside);
  relabel(quantization, name);
  std::string changed = text;
  for (const std::string_view key : kVersionKeys) replace_values(changed, key, name);
  if (same(parse_json(changed, origin), expected)) return changed;
  // No version was named: one more key, before the bits.
  if (const size_t bits = text.find("\"bits\""); bits != std::string::npos) {
    changed = text;
    changed.insert(bits, "\"checkpoint_format\": \"" + name + "\", ");
    if (same(parse_json(changed, origin), expected)) return changed;
  }
  return expected.dump(2) + "\n";
}

void repair_label(const ModelDiagnosis& diagnosis, const std::string& output, bool force) {
  const GptqVersion version = diagnosis.relabel.value();
  check_output(output, diagnosis.path, force);
  PendingDirectory pending(output);
  const fs::path place = pending.path();
  copy_all(diagnosis.path, place);
  relabel_file(place / "config.json", "quantization_config", version);
  for (const char* name : {"quantize_config.json", "quant_config.json"})
    relabel_file(place / name, "", version);

  const Checkpoint repaired = Checkpoint::open(pending.path());
  const auto stated = find_stated_quantization(repaired);
  if (!stated ||
      weigh_gptq_label(repaired, read_gptq_config(*stated)).verdict != LabelVerdict::right)
    throw internal_error("{}: relabelled as {}, and the zero points still say otherwise",
                         diagnosis.path, name_of(version));
  pending.publish(force);
}

}  // namespace halftone
