// Values as text: Python's str(), repr() and json.dumps().
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_characters.h"
#include "text/jinja_value.h"

namespace halftone::jinja {
namespace {

const Dict* mapping_of(const Value& value) {
  const auto* dict = get<const Dict*>(value);
  return dict ? *dict : nullptr;
}

void append_repr(std::string& out, const Value& value);

void append_items(std::string& out, const Sequence& sequence) {
  const bool list = sequence.form == Sequence::Form::list;
  if (!list && sequence.form != Sequence::Form::tuple)
    fail("an iterator as text (make a list of it first)");
  out += list ? '[' : '(';
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(out, sequence.items[i]);
  }
  if (!list && sequence.items.size() == 1) out += ',';
  out += list ? ']' : ')';
}

void append_repr(std::string& out, const Value& value) {
  if (out.size() > Heap::kMostBytes) fail("text of more than {} bytes", Heap::kMostBytes);
  if (const auto* text = get<std::string_view>(value)) {
    out += python_quoted(*text);
  } else if (const Sequence* sequence = sequence_of(value)) {
    append_items(out, *sequence);
  } else if (const Dict* dict = mapping_of(value)) {
    out += '{';
    for (const auto& [key, each] : dict->entries) {
      if (&key != &dict->entries.front().first) out += ", ";
      out += python_quoted(key) + ": ";
      append_repr(out, each);
    }
    out += '}';
  } else if (is<Undefined>(value)) {
    out += "Undefined";
  } else {
    out += text_of(value);
  }
}

class JsonText {
 public:
  explicit JsonText(const JsonStyle& style) : style_(style) {}

  void append(const Value& value, int64_t depth) {
    if (out_.size() > Heap::kMostBytes) fail("tojson: more than {} bytes", Heap::kMostBytes);
    if (const auto* text = get<std::string_view>(value)) {
      out_ += json_quoted(*text, style_.ascii);
    } else if (const Sequence* sequence = sequence_of(value)) {
      if (sequence->form == Sequence::Form::view || sequence->form == Sequence::Form::generator)
        fail("tojson: got an iterator (make a list of it first)");
      append_list(*sequence, depth);
    } else if (const Dict* dict = mapping_of(value)) {
      append_dict(*dict, depth);
    } else if (is<None>(value)) {
      out_ += "null";
    } else if (const auto* flag = get<bool>(value)) {
      out_ += *flag ? "true" : "false";
    } else if (const auto* integer = get<int64_t>(value)) {
      out_ += fmt::format("{}", *integer);
    } else if (const auto* number = get<double>(value)) {
      out_ += std::isnan(*number)   ? "NaN"
              : std::isinf(*number) ? (*number > 0 ? "Infinity" : "-Infinity")
                                    : number_text(*number);
    } else {
      fail("tojson: got {}", kind_of(value));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void append_list(const Sequence& list, int64_t depth) {
    if (list.items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      separate(i > 0, depth + 1);
      append(list.items[i], depth + 1);
    }
    new_line(depth);
    out_ += ']';
  }
  void append_dict(const Dict& dict, int64_t depth) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const Entries::value_type*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys)
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto* a, const auto* b) { return a->first < b->first; });
    out_ += '{';
    for (const auto* entry : entries) {
      separate(entry != entries.front(), depth + 1);
      out_ += json_quoted(entry->first, style_.ascii) + style_.behind_key;
      append(entry->second, depth + 1);
    }
    new_line(depth);
    out_ += '}';
  }
  void separate(bool follows, int64_t depth) {
    if (follows)
      out_ += !style_.between_items.empty() ? style_.between_items : style_.indent ? "," : ", ";
    new_line(depth);
  }
  void new_line(int64_t depth) {
    if (!style_.indent) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(*style_.indent * depth), ' ');
  }

  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string number_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  const std::string shortest(buffer, end);  // "-1.25e-07"
  const size_t e = shortest.find('e');
  const int exponent = std::stoi(shortest.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return shortest;
  const std::string sign = shortest.front() == '-' ? "-" : "";
  std::string digits = shortest.substr(sign.size(), e - sign.size());
  std::erase(digits, '.');
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  const std::string fraction = digits.substr(whole);
  return sign + digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
}

std::string text_of(const Value& value) {
  if (is<Undefined>(value)) return "";
  if (is<None>(value)) return "None";
  if (const auto* flag = get<bool>(value)) return *flag ? "True" : "False";
  if (const auto* integer = get<int64_t>(value)) return fmt::format("{}", *integer);
  if (const auto* number = get<double>(value)) return number_text(*number);
  if (const auto* text = get<std::string_view>(value)) return std::string(*text);
  if (sequence_of(value) || mapping_of(value)) return repr_of(value);
  fail("{} as text", kind_of(value));
}

std::string repr_of(const Value& value) {
  std::string out;
  append_repr(out, value);
  return out;
}

std::string json_of(const Value& value, const JsonStyle& style) {
  JsonText text(style);
  text.append(value, 0);
  return text.take();
}

}  // namespace halftone::jinja
