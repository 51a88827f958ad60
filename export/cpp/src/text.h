// Values in words, as the Python package writes them, so that both say the same.

#ifndef HWNAS_RUNTIME_SRC_TEXT_H_
#define HWNAS_RUNTIME_SRC_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hwnas_runtime/words.hpp"

namespace hwnas::runtime {

std::string repr(const std::vector<int64_t>& tuple);
std::string list_repr(const std::vector<double>& values);

// Whether every character of a text in UTF-8 is printable, as `str.isprintable` has it. Code points that Unicode
// has not assigned count as printable here.
bool is_printable(std::string_view text);

// Unlike with strchr, a zero byte is no letter of every text.
inline bool is_one_of(char letter, std::string_view letters) { return letters.find(letter) != letters.npos; }

// The first so many characters of a text in UTF-8.
std::string beginning(std::string_view text, size_t characters);

// Its characters. A byte that is no part of one is taken alone, as Python's surrogateescape does.
std::u32string characters_of(std::string_view text);
// Whether `repr` escapes a character.
bool is_hidden(uint32_t code);

// What `bytes.decode("utf-8")` says about bytes that are no UTF-8; empty for UTF-8.
std::string utf8_problem(std::string_view bytes);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_TEXT_H_
