#include "text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace hwnas::runtime {
namespace {

struct Range {
  uint32_t first, last;
};

// Control and format characters, separators but the space, surrogates and private use.
constexpr std::array<Range, 24> kHidden = {
    {{0x0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x1680, 0x1680},
     {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},
     {0xd800, 0xf8ff},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
     {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff}}};

// Next code point of a text in UTF-8. A byte that is not part of one is taken alone, as Python's surrogateescape does:
// whatever follows it, such as an escape, must not be taken for its continuation.
uint32_t next_code(std::string_view text, size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at++]);
  if (byte < 0x80) return byte;
  const uint32_t alone = 0xdc00u + byte;
  const size_t more = byte >= 0xf8 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
  if (more == 0 || more > text.size() - at) return alone;
  uint32_t code = byte & (0x3fu >> more);
  for (size_t i = 0; i < more; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xc0u) != 0x80u) return alone;
    code = code << 6 | (next & 0x3fu);
  }
  const uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return alone;
  at += more;
  return code;
}

std::string escape(uint32_t code) {
  switch (code) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\\': return "\\\\";
    default: break;
  }
  if (code < 0x100) return format("\\x%02x", code);
  return code < 0x10000 ? format("\\u%04x", code) : format("\\U%08x", code);
}

}  // namespace

bool is_hidden(uint32_t code) {
  return std::any_of(kHidden.begin(), kHidden.end(),
                     [=](Range range) { return range.first <= code && code <= range.last; });
}

std::u32string characters_of(std::string_view text) {
  std::u32string characters;
  for (size_t at = 0; at < text.size();) characters.push_back(next_code(text, at));
  return characters;
}

std::string repr(std::string_view text) {
  const bool is_single = text.find('\'') == text.npos || text.find('"') != text.npos;
  const char quote = is_single ? '\'' : '"';
  std::string result(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const uint32_t code = next_code(text, at);
    if (code == '\\' || is_hidden(code)) {
      result += escape(code);
    } else if (code == static_cast<uint32_t>(quote)) {
      result += '\\';
      result += quote;
    } else {
      result += text.substr(start, at - start);
    }
  }
  return result + quote;
}

std::string repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string text(buffer.data(), end.ptr);
  const size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) {
    return text.substr(0, mark) + format("e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  const auto plain = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  std::string result(buffer.data(), plain.ptr);
  return result.find('.') == std::string::npos ? result + ".0" : result;
}

std::string repr(const std::vector<int64_t>& tuple) {
  std::vector<std::string> parts;
  for (int64_t value : tuple) parts.push_back(std::to_string(value));
  return "(" + joined(parts, ", ") + (parts.size() == 1 ? ",)" : ")");
}

std::string list_repr(const std::vector<double>& values) {
  std::vector<std::string> parts;
  for (double value : values) parts.push_back(repr(value));
  return "[" + joined(parts, ", ") + "]";
}

std::string format(const char* pattern, ...) {
  va_list values, again;
  va_start(values, pattern);
  va_copy(again, values);
  const int size = std::vsnprintf(nullptr, 0, pattern, values);
  va_end(values);
  std::string result(static_cast<size_t>(std::max(size, 0)), '\0');
  std::vsnprintf(result.data(), result.size() + 1, pattern, again);
  va_end(again);
  return result;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string result;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i) result += between;
    result += parts[i];
  }
  return result;
}

bool is_printable(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (is_hidden(next_code(text, at))) return false;
  }
  return true;
}

std::string beginning(std::string_view text, size_t characters) {
  size_t at = 0;
  for (size_t i = 0; i < characters && at < text.size(); ++i) next_code(text, at);
  return std::string(text.substr(0, at));
}

std::string utf8_problem(std::string_view bytes) {
  const auto at = [&](size_t place) { return static_cast<unsigned char>(bytes[place]); };
  const auto say = [&](size_t first, size_t after, const char* why) {
    if (after == first + 1) {
      return format("'utf-8' codec can't decode byte 0x%02x in position %zu: %s", at(first), first, why);
    }
    return format("'utf-8' codec can't decode bytes in position %zu-%zu: %s", first, after - 1, why);
  };
  size_t i = 0;
  while (i < bytes.size()) {
    const unsigned first = at(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    if (first < 0xc2 || first > 0xf4) return say(i, i + 1, "invalid start byte");
    const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    // The second byte may not make an overlong form, a surrogate, or a number beyond Unicode.
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (size_t k = 1; k < length; ++k) {
      if (i + k >= bytes.size()) return say(i, bytes.size(), "unexpected end of data");
      const unsigned byte = at(i + k);
      if (byte < (k == 1 ? low : 0x80) || byte > (k == 1 ? high : 0xbf)) {
        return say(i, i + k, "invalid continuation byte");
      }
    }
    i += length;
  }
  return "";
}

}  // namespace hwnas::runtime
