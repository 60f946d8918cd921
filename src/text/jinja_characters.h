// Strings as Python counts and changes them: by character, with Unicode's white space and cases.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halftone::jinja {

int64_t count_characters(std::string_view text);
std::vector<std::string_view> characters_of(std::string_view text);

bool is_space(char32_t character);  // Python's str.isspace()
// Without white space, or the characters `of`, at its ends.
std::string_view strip_left(std::string_view text, std::optional<std::string_view> of = {});
std::string_view strip_right(std::string_view text, std::optional<std::string_view> of = {});

// Fail for a character whose other case is not one character or depends on its neighbours.
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
// As Python's str.title(): a letter behind none begins a word.
std::string title(std::string_view text);
// As Jinja's filter: words begin behind white space and - ( { [ <.
std::string title_of_words(std::string_view text);

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t most);  // most < 0: all
// Python's str.split(): without `by`, at runs of white space.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> by,
                                    int64_t most);
std::vector<std::string_view> split_lines(std::string_view text);

// Python's repr() of a string, json.dumps() of one.
std::string python_quoted(std::string_view text);
std::string json_quoted(std::string_view text, bool ascii);

}  // namespace halftone::jinja
