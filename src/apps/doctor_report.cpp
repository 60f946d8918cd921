// A diagnosis as text of 80 columns, and as JSON.
#include <fmt/core.h>

#include <algorithm>

#include "apps/doctor_foreign.h"
#include "apps/doctor_model.h"

namespace halftone {
namespace {

constexpr size_t kSubject = 15, kRuntime = 14, kCell = 9;

std::string_view mark_of(Health health) {
  return health == Health::good ? "  " : health == Health::note ? "! " : "✗ ";
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return lower;
}

// "Turing, Ampere", "GPUs", or nothing when it holds everywhere that the runtime runs.
std::string where_text(const RuntimeRow& row, const std::string& why) {
  std::string list;
  size_t gpus = 0, here = 0, present = 0;
  for (size_t i = 0; i < kProcessorCount; ++i) {
    const auto processor = static_cast<Processor>(i);
    present += row.cells[i].opening != Opening::absent || !row.cells[i].why.empty() ? 1 : 0;
    if (row.cells[i].why != why) continue;
    ++here;
    if (processor <= Processor::blackwell)
      ++gpus;
    else
      list += (list.empty() ? "" : ", ") + std::string(name_of(processor));
  }
  if (here == present) return "";
  if (gpus == 5) return list.empty() ? "GPUs" : "GPUs, " + list;
  std::string names;
  for (size_t i = 0; i < 5; ++i)
    if (row.cells[i].why == why)
      names += (names.empty() ? "" : ", ") + std::string(name_of(static_cast<Processor>(i)));
  if (names.empty()) return list;
  return list.empty() ? names : names + ", " + list;
}

std::string reasons_text(const RuntimeRow& row) {
  std::string text;
  std::vector<std::string> said;
  for (const RuntimeCell& cell : row.cells) {
    if (cell.why.empty() || std::find(said.begin(), said.end(), cell.why) != said.end()) continue;
    said.push_back(cell.why);
    const std::string where = where_text(row, cell.why);
    text += wrapped(padded(text.empty() ? row.runtime : "", kRuntime),
                    where.empty() ? cell.why : where + ": " + cell.why);
  }
  return text;
}

std::string runtimes_text(const std::vector<RuntimeRow>& rows) {
  std::string text = padded("runtime", kRuntime), reasons;
  for (size_t i = 0; i < kProcessorCount; ++i)
    text += padded(name_of(static_cast<Processor>(i)), i == 4 ? kCell + 2 : kCell);
  while (text.back() == ' ') text.pop_back();
  text += '\n';
  for (const RuntimeRow& row : rows) {
    std::string line = padded(row.runtime, kRuntime);
    for (size_t i = 0; i < kProcessorCount; ++i) {
      const Opening opening = row.cells[i].opening;
      line +=
          padded(opening == Opening::absent ? "–" : name_of(opening), i == 4 ? kCell + 2 : kCell);
    }
    while (line.back() == ' ') line.pop_back();
    text += line + '\n';
    reasons += reasons_text(row);
  }
  return text + "\n" + reasons;
}

}  // namespace

std::string diagnosis_text(const ModelDiagnosis& diagnosis) {
  std::string text = diagnosis.path.empty() ? diagnosis.name : diagnosis.path;
  text += '\n';
  int64_t broken = 0;
  for (const Finding& finding : diagnosis.findings) {
    broken += finding.health == Health::broken ? 1 : 0;
    const std::string lead =
        std::string(mark_of(finding.health)) + padded(finding.subject, kSubject);
    text += wrapped(lead, finding.text);
    if (!finding.hint.empty()) text += wrapped(std::string(2 + kSubject, ' '), finding.hint);
  }
  if (!diagnosis.runtimes.empty())
    text += "\n" + runtimes_text(diagnosis.runtimes);
  else if (broken > 0)
    text += "\n" + wrapped(padded("runtimes", kRuntime), "not told while that (✗) is broken");
  text += "\n" + wrapped(padded("not ours", kRuntime), kNotWrittenHere);
  if (broken == 0) return text + "Nothing is broken.\n";
  return text + fmt::format("{} broken.\n",
                            broken == 1 ? "One thing is" : fmt::format("{} things are", broken));
}

Json diagnosis_json(const ModelDiagnosis& diagnosis) {
  constexpr const char* kHealth[] = {"good", "note", "broken"};
  Json json;
  json["name"] = diagnosis.name;
  json["path"] = diagnosis.path;
  json["healthy"] = diagnosis.healthy();
  json["findings"] = Json::array();
  for (const Finding& finding : diagnosis.findings) {
    Json entry;
    entry["subject"] = finding.subject;
    entry["health"] = kHealth[static_cast<size_t>(finding.health)];
    entry["text"] = finding.text;
    entry["hint"] = finding.hint.empty() ? Json(nullptr) : Json(finding.hint);
    json["findings"].push_back(std::move(entry));
  }
  json["relabel"] =
      diagnosis.relabel ? Json(std::string(name_of(*diagnosis.relabel))) : Json(nullptr);
  json["runtimes"] = Json::object();
  for (const RuntimeRow& row : diagnosis.runtimes) {
    Json& cells = json["runtimes"][std::string(row.runtime)];
    for (size_t i = 0; i < kProcessorCount; ++i) {
      const RuntimeCell& cell = row.cells[i];
      cells[lower_case(name_of(static_cast<Processor>(i)))] = {
          {"opens", name_of(cell.opening)},
          {"why", cell.why.empty() ? Json(nullptr) : Json(cell.why)}};
    }
  }
  return json;
}

}  // namespace halftone
