// What every part of the report shares: escaped text, figures in words, the style sheet.
#pragma once

#include <string>
#include <string_view>

namespace halftone::report {

// Text as HTML: & < > " ' escaped, control characters and bytes that are not UTF-8 replaced by
// U+FFFD.
std::string escaped(std::string_view text);

// "0.0151", "2.1e-3": three significant figures, as short as they can be read.
std::string figure(double value);
// "6.852 ± 0.041": two figures of the error, the value with as many places.
std::string with_error(double value, double error);

// The whole of <style>: screen in light and dark, narrow screens, paper.
std::string_view style_sheet();

}  // namespace halftone::report
