// The table of layers, and one function a rule.
#include "rules.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string_view>

#include "outline.h"

namespace halftone::check {
namespace {

using Names = std::vector<std::string_view>;

// Who may include whom:
//
//   cli ── apps ─┬─ tune ── model ─┬─ backend ─┐
//                │                 └─ io ──────┤
//                ├─ quant ─────────── backend ─┼─ tensor ── base
//                ├─ format ────────── io ──────┘
//                └─ text ──────────── io
//
// model, quant, format and text never see each other; an implementation of the backend is seen by
// the registry alone.
const std::map<std::string_view, Names>& layers() {
  static const std::map<std::string_view, Names> table = {
      {"base", {}},
      {"tensor", {"base"}},
      {"backend", {"tensor", "base"}},
      {"backend/ref", {"backend", "tensor", "base"}},
      {"backend/cpu", {"backend", "tensor", "base"}},
      {"backend/cuda", {"backend", "tensor", "base"}},
      {"io", {"tensor", "base"}},
      {"text", {"io", "tensor", "base"}},
      {"model", {"backend", "io", "tensor", "base"}},
      {"quant", {"backend", "tensor", "base"}},
      {"format", {"io", "tensor", "base"}},
      {"tune", {"model", "backend", "io", "tensor", "base"}},
      {"apps", {"tune", "model", "quant", "format", "text", "backend", "io", "tensor", "base"}},
      {"cli",
       {"apps", "tune", "model", "quant", "format", "text", "backend", "io", "tensor", "base"}},
  };
  return table;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}
bool is_header(std::string_view path) { return ends_with(path, ".h") || ends_with(path, ".cuh"); }
bool is_test(std::string_view path) {
  return ends_with(path, "_test.cpp") || path.rfind("tests/", 0) == 0;
}
bool is_table(std::string_view path) {
  return ends_with(path, "_table.cpp") || ends_with(path, "_tables.cpp");
}
bool is_kernel(std::string_view path) {
  return path.find("/simd/") != std::string_view::npos || ends_with(path, ".cu");
}
// Also a device for tests that is made of the reference.
bool is_registry(std::string_view path) {
  return path == "src/backend/registry.cpp" || path == "src/backend/test_device.h";
}

// "backend/cpu/simd/dot.h" → "backend/cpu"; empty when the path is in no layer.
std::string_view layer_of(std::string_view path) {
  std::string_view best;
  for (const auto& [layer, below] : layers()) {
    const bool inside =
        path.substr(0, layer.size()) == layer && path.substr(layer.size(), 1) == "/";
    if (inside && layer.size() > best.size()) best = layer;
  }
  return best;
}

class Checker {
 public:
  Checker(const std::string& path, const std::string& text)
      : path_(path), outline_(outline(text)) {}

  std::vector<Finding> run() {
    names();
    head();
    lengths();
    words();
    globals();
    if (path_.rfind("src/", 0) == 0) {
      includes();
      backend_conditions();
    }
    return std::move(findings_);
  }

 private:
  void add(int line, std::string message) {
    findings_.push_back({path_, line, std::move(message)});
  }

  void names() {
    static const std::regex vague(R"((^|[/_])(utils?|helpers?|common|manager|misc)(_test)?\.\w+$)");
    if (std::regex_search(path_, vague)) add(1, "name: say what is in the file, not that it helps");
  }

  // A source that includes its own header, or the one that it tests, is introduced there.
  bool introduced_elsewhere() const {
    static const std::regex ending(R"((_test)?\.\w+$)");
    const std::string header = std::regex_replace(path_, ending, ".h");
    return !is_header(path_) && std::any_of(outline_.includes.begin(), outline_.includes.end(),
                                            [&](const Include& include) {
                                              return ends_with(header, "/" + include.path);
                                            });
  }

  void head() {
    const bool comment = !outline_.lines.empty() && outline_.lines[0].rfind("//", 0) == 0;
    if (!comment && !introduced_elsewhere()) {
      add(1, "head: the first line is a comment that says what the file is, and from where");
    }
    const auto& code = outline_.code;
    if (is_header(path_) && std::none_of(code.begin(), code.end(), [](const std::string& line) {
          return line.rfind("#pragma once", 0) == 0;
        })) {
      add(1, "head: a header has #pragma once");
    }
  }

  void lengths() {
    const size_t file_limit = is_test(path_) || is_table(path_) ? 800 : 400;
    if (outline_.lines.size() > file_limit) {
      add(static_cast<int>(file_limit) + 1, "length: " + std::to_string(outline_.lines.size()) +
                                                " lines, at most " + std::to_string(file_limit));
    }
    const int limit = is_kernel(path_) ? 150 : is_test(path_) ? 120 : 60;
    for (const Function& function : outline_.functions) {
      const int length = function.last_line - function.first_line + 1;
      if (length > limit) {
        add(function.first_line, "length: " + function.name + " has " + std::to_string(length) +
                                     " lines, at most " + std::to_string(limit));
      }
    }
    for (size_t i = 0; i < outline_.lines.size(); ++i) {
      const std::string& line = outline_.lines[i];
      const auto columns = std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // of UTF-8, the first bytes
      });
      if (columns > 120)
        add(static_cast<int>(i) + 1, "length: " + std::to_string(columns) + " columns");
    }
  }

  void words() {
    static const std::regex unfinished(R"(\b(TODO|FIXME|XXX|HACK)\b)");
    for (size_t i = 0; i < outline_.lines.size(); ++i) {
      if (path_.rfind("tools/check_layers/", 0) != 0 &&
          std::regex_search(outline_.lines[i], unfinished)) {
        add(static_cast<int>(i) + 1, "unfinished: finish it, or open an issue");
      }
    }
  }

  // A signal handler reaches nothing but a global; a thread knows nothing else of what it is doing.
  void globals() {
    if (path_ == "src/base/interrupt.cpp" || path_ == "src/base/mapped_ranges.cpp" ||
        path_ == "src/base/thread_pool.cpp")
      return;
    for (const Variable& variable : outline_.mutable_globals) {
      add(variable.line, "global: mutable state outside of any object: " + variable.declaration);
    }
  }

  void includes() {
    const std::string_view inside = std::string_view(path_).substr(4);
    const std::string_view own = layer_of(inside);
    if (own.empty()) {
      add(1, "layer: no layer is named so (tools/check_layers/rules.cpp has the table)");
      return;
    }
    const Names& below = layers().at(own);
    for (const Include& include : outline_.includes) {
      const std::string_view other = layer_of(include.path);
      if (other.empty() && include.path.find('/') != std::string::npos && !is_test(path_)) {
        add(include.line, "layer: " + include.path + " is in no layer");
      }
      const bool backends = own.rfind("backend", 0) == 0 && other.rfind("backend", 0) == 0;
      const bool allowed = other.empty() || other == own ||
                           std::find(below.begin(), below.end(), other) != below.end() ||
                           (backends && (is_registry(path_) || is_test(path_)));
      if (!allowed) add(include.line, upward(own, include.path, below));
    }
  }

  static std::string upward(std::string_view own, const std::string& path, const Names& below) {
    std::string message =
        "layer: " + std::string(own) + " may not include " + path + " (only " + std::string(own);
    for (const std::string_view name : below) message += ", " + std::string(name);
    return message + ")";
  }

  // Which backends there are is the registry's business; everyone else asks it by name.
  void backend_conditions() {
    static const std::regex condition(
        R"(^\s*#\s*(if|ifdef|ifndef|elif)\b.*(CUDA|BACKEND|HALFTONE_CPU))");
    if (is_registry(path_) || path_.rfind("src/backend/cuda/", 0) == 0) return;
    for (size_t i = 0; i < outline_.code.size(); ++i) {
      if (std::regex_search(outline_.code[i], condition)) {
        add(static_cast<int>(i) + 1,
            "backend: conditions on a backend belong to src/backend/registry.cpp");
      }
    }
  }

  const std::string path_;
  const Outline outline_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_source(const std::string& path, const std::string& text) {
  return Checker(path, text).run();
}

}  // namespace halftone::check
