// CLI11's formatter without REQUIRED in capitals, excluded options and checks in an option's head.
#include "cli/help.h"

namespace halftone {
namespace {

std::string head(const CLI::Option& option) {
  std::string text = option.get_name(false, true);
  if (option.get_type_size() == 0) return text;  // a flag
  text += " " + option.get_type_name();
  const std::string initial = option.get_default_str();
  return initial.empty() ? text : text + " (" + initial + ")";
}

class Help : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool positional) const override {
    std::stringstream out;
    CLI::detail::format_help(out, positional ? option->get_type_name() : head(*option),
                             option->get_description(), get_column_width());
    return out.str();
  }

  // What must be given stands in it: "halftone quantize MODEL --output DIR [OPTIONS]".
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string text = "Usage: " + name;
    for (const CLI::Option* option : app->get_options())
      if (option->get_positional()) text += " " + option->get_type_name();
    for (const CLI::Option* option : app->get_options())
      if (!option->get_positional() && option->get_required())
        text += " " + option->get_name() + " " + option->get_type_name();
    text += " [OPTIONS]";
    if (!app->get_subcommands([](const CLI::App*) { return true; }).empty()) text += " COMMAND";
    return text + "\n";
  }
};

}  // namespace

std::shared_ptr<CLI::Formatter> make_help() {
  auto help = std::make_shared<Help>();
  help->column_width(34);
  help->label("Positionals", "Arguments");
  help->label("Subcommands", "Commands");
  return help;
}

}  // namespace halftone
