// Values and texts in words, as the Python package writes them: for programs that refuse in the same words.

#ifndef HWNAS_RUNTIME_WORDS_HPP_
#define HWNAS_RUNTIME_WORDS_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas::runtime {

/// `repr` of a text in UTF-8; what is not printable is escaped.
std::string repr(std::string_view text);
inline std::string repr(const std::string& text) { return repr(std::string_view(text)); }
inline std::string repr(const char* text) { return repr(std::string_view(text)); }
/// `repr` of a float: the shortest text that reads back as the same number.
std::string repr(double value);
/// `repr` of a list of texts.
std::string list_repr(const std::vector<std::string>& texts);

/// A text from outside for a message: short, and without what could be a password.
std::string shown(std::string_view text);
/// ` Did you mean 'NAME'?` with the nearest known name, for the end of a message; or nothing. Capital letters beyond
/// ASCII count as other letters.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);
/// A text with what a terminal would obey, or nobody would see, written as escapes.
std::string visible(std::string_view text);
/// A visible text with what stands behind so many characters left out, which is said.
std::string shortened(std::string_view text, size_t most_characters);
/// A whole number with commas: 2,000.
std::string with_commas(uint64_t number);
/// A number and a noun in the number that goes with it: `1 scan`, `2,000 scans`.
std::string counted(uint64_t count, const std::string& what);

/// printf for a few numbers: `format("%.3g", 1.0)`.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);
std::string joined(const std::vector<std::string>& parts, std::string_view between);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_WORDS_HPP_
