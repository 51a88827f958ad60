// Values in words, as the Python package writes them, so that both say the same.

#ifndef HWNAS_RUNTIME_SRC_TEXT_H_
#define HWNAS_RUNTIME_SRC_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas::runtime {

// `repr` of a text in UTF-8; what is not printable is escaped.
std::string repr(std::string_view text);
inline std::string repr(const std::string& text) { return repr(std::string_view(text)); }
inline std::string repr(const char* text) { return repr(std::string_view(text)); }
// `repr` of a float: the shortest text that reads back as the same number.
std::string repr(double value);
std::string repr(const std::vector<int64_t>& tuple);
std::string list_repr(const std::vector<double>& values);

// printf for a few numbers: `format("%.3g", 1.0)`.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

std::string joined(const std::vector<std::string>& parts, std::string_view between);

// Whether every character of a text in UTF-8 is printable, as `str.isprintable` has it. Code points that Unicode
// has not assigned count as printable here.
bool is_printable(std::string_view text);

// Unlike with strchr, a zero byte is no letter of every text.
inline bool is_one_of(char letter, std::string_view letters) { return letters.find(letter) != letters.npos; }

// The first so many characters of a text in UTF-8.
std::string beginning(std::string_view text, size_t characters);

// What `bytes.decode("utf-8")` says about bytes that are no UTF-8; empty for UTF-8.
std::string utf8_problem(std::string_view bytes);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_TEXT_H_
