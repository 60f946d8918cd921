// Edit distance over the names that the command knows.
#include "cli/suggest.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <numeric>

namespace halftone {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

const CLI::App& parsed_command(const CLI::App& app) {
  const auto commands = app.get_subcommands();  // those that were given
  return commands.empty() ? app : parsed_command(*commands.front());
}

// "bench quantize "; empty for the program itself.
std::string words_of(const CLI::App& command) {
  return command.get_parent() ? words_of(*command.get_parent()) + command.get_name() + " " : "";
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* level = &app; level; level = level->get_parent())
    for (const CLI::Option* option : level->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

Complaint unknown_word(const CLI::App& app, const std::string& word) {
  const CLI::App& command = parsed_command(app);
  if (word.rfind("-", 0) == 0) {
    const std::string name = word.substr(0, word.find('='));
    const std::string close = nearest(name, option_names(command));
    return {fmt::format("unknown option {}{}", name,
                        close.empty() ? "" : fmt::format("; did you mean {}?", close)),
            fmt::format("halftone {}--help lists the options.", words_of(command))};
  }
  std::vector<std::string> commands;
  for (const CLI::App* sub : command.get_subcommands({})) commands.push_back(sub->get_name());
  if (!commands.empty()) {
    const std::string close = nearest(word, commands);
    return {fmt::format("unknown command {}{}", word,
                        close.empty() ? "" : fmt::format("; did you mean {}?", close)),
            fmt::format("halftone {}--help lists the commands.", words_of(command))};
  }
  return {fmt::format("unexpected argument {}", word),
          fmt::format("halftone {}--help shows what it takes.", words_of(command))};
}

// "MODEL", "--bits".
std::string shown_name(const CLI::Option& option) {
  return option.get_name(option.get_positional());
}

// "a directory to make": what an option's line of --help says, within a sentence.
std::string expectation(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return option.get_positional() ? "a " + text : option.get_type_name() + " (" + text + ")";
}

Complaint missing(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw(name);
  if (!option)
    return {fmt::format("no command given, expected one of those that halftone {}--help lists",
                        words_of(command)),
            command.get_parent() ? command.get_footer() : "for a first try: halftone demo"};
  return {fmt::format("{}: not given, expected {}", shown_name(*option), expectation(*option)),
          command.get_footer()};
}

// CLI11's exceptions carry no more than a sentence: its parts are taken out of it and put in ours.
// The checks of our own options complain in our words already, with a hint on a second line.
Complaint in_our_words(const CLI::App& command, const CLI::ParseError& error) {
  const std::string text = error.what(), kind = error.get_name();
  const auto before = [&](const std::string& part) { return text.substr(0, text.find(part)); };
  const auto after = [&](const std::string& part) {
    const size_t at = text.find(part);
    return at == std::string::npos ? "" : text.substr(at + part.size());
  };
  if (kind == "RequiredError") return missing(command, before(" is required"));
  if (kind == "ArgumentMismatch") {
    const CLI::Option* option = command.get_option_no_throw(before(":"));
    if (option && option->count() > 1)
      return {fmt::format("{}: given {} times, expected once", before(":"), option->count()), ""};
    if (option)
      return {fmt::format("{}: got nothing, expected {}", before(":"), expectation(*option)), ""};
  }
  if (kind == "ExcludesError")
    return {fmt::format("{} and {}: got both, expected one of them", before(" excludes "),
                        after(" excludes ")),
            ""};
  if (kind == "RequiresError")
    return {fmt::format("{}: got it alone, expected {} with it", before(" requires "),
                        after(" requires ")),
            ""};
  if (kind == "ConversionError" && text.find(" = ") != std::string::npos) {
    const std::string name = before(" = ").substr(before(" = ").rfind(' ') + 1);
    return {fmt::format("{}: got {}, expected no value", name, after(" = ")), ""};
  }
  return {before("\n"), after("\n")};
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

// An item of a configuration file that no option has: "quantize.bitz", or "quantise.++" for a
// section.
Complaint unknown_item(const CLI::App& app, const CLI::ConfigError& error) {
  std::string item = error.what();
  item = item.substr(item.rfind(' ') + 1);
  const bool section = item.ends_with(".++") || item.ends_with(".--");
  if (section) item.resize(item.size() - 3);
  return {fmt::format("{}: {} {} is not known", app.get_config_ptr()->as<std::string>(),
                      section ? "section" : "option", item),
          "sections are named like commands, and hold their options without --."};
}

Complaint explain(const CLI::App& app, const CLI::ParseError& error) {
  if (const auto* config = dynamic_cast<const CLI::ConfigError*>(&error))
    return unknown_item(app, *config);
  // A slip in a name explains the rest: what is "required" may be what was misspelt.
  for (const std::string& word : parsed_command(app).remaining()) return unknown_word(app, word);
  for (const std::string& word : app.remaining(true)) return unknown_word(app, word);
  const CLI::App& command = parsed_command(app);
  Complaint complaint = in_our_words(command, error);
  if (complaint.hint.empty())
    complaint.hint = fmt::format("halftone {}--help shows what it takes.", words_of(command));
  return complaint;
}

}  // namespace halftone
