#include "hwnas_runtime/words.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <utility>

#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr size_t kLongest = 120, kKept = 100;
constexpr double kCutoff = 0.6;

char32_t lower(char32_t code) { return code >= U'A' && code <= U'Z' ? code + 32 : code; }

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char letter) { return static_cast<char>(lower(char32_t{letter})); });
  return result;
}

bool is_of_word(unsigned char letter) { return std::isalnum(letter) || letter == '_' || letter >= 0x80; }
bool is_space(unsigned char letter) { return std::isspace(letter) || (letter >= 0x1c && letter <= 0x1f); }

// Whether text could be an address with a password, or names a password.
bool may_hold_secret(std::string_view text) {
  const size_t colon = text.find(':');
  if (text.find("://") != text.npos) return true;
  if (colon != text.npos && text.find('@', colon) != text.npos) return true;
  const std::string folded = lower(text);
  for (const std::string_view word : {"passw", "pwd", "secret", "token"}) {
    for (size_t at = folded.find(word); at != std::string::npos; at = folded.find(word, at + 1)) {
      size_t end = at + word.size();
      while (word == "passw" && end < folded.size() && is_of_word(static_cast<unsigned char>(folded[end]))) ++end;
      while (end < folded.size() && is_space(static_cast<unsigned char>(folded[end]))) ++end;
      if (end < folded.size() && (folded[end] == '=' || folded[end] == ':')) return true;
    }
  }
  return false;
}

// How alike two texts are, 0 to 1: `ratio` of Python's difflib.SequenceMatcher.
class Matcher {
 public:
  Matcher(std::u32string a, std::u32string b) : a_(std::move(a)), b_(std::move(b)) {
    for (size_t j = 0; j < b_.size(); ++j) places_[b_[j]].push_back(j);
    if (b_.size() < 200) return;
    for (auto each = places_.begin(); each != places_.end();) {  // what is everywhere begins no match
      each = each->second.size() > b_.size() / 100 + 1 ? places_.erase(each) : std::next(each);
    }
  }

  double ratio() const {
    const size_t all = a_.size() + b_.size();
    return all ? 2.0 * static_cast<double>(matches(0, a_.size(), 0, b_.size())) / static_cast<double>(all) : 1.0;
  }

 private:
  struct Match {
    size_t a, b, size;
  };

  Match longest(size_t a_low, size_t a_high, size_t b_low, size_t b_high) const {
    Match best{a_low, b_low, 0};
    std::map<size_t, size_t> lengths;
    for (size_t i = a_low; i < a_high; ++i) {
      std::map<size_t, size_t> next;
      const auto found = places_.find(a_[i]);
      if (found != places_.end()) {
        for (size_t j : found->second) {
          if (j < b_low) continue;
          if (j >= b_high) break;
          const auto before = j ? lengths.find(j - 1) : lengths.end();
          const size_t length = (before == lengths.end() ? 0 : before->second) + 1;
          next[j] = length;
          if (length > best.size) best = {i + 1 - length, j + 1 - length, length};
        }
      }
      lengths = std::move(next);
    }
    while (best.a > a_low && best.b > b_low && a_[best.a - 1] == b_[best.b - 1]) {
      --best.a;
      --best.b;
      ++best.size;
    }
    while (best.a + best.size < a_high && best.b + best.size < b_high &&
           a_[best.a + best.size] == b_[best.b + best.size]) {
      ++best.size;
    }
    return best;
  }

  size_t matches(size_t a_low, size_t a_high, size_t b_low, size_t b_high) const {
    const Match best = longest(a_low, a_high, b_low, b_high);
    if (!best.size) return 0;
    return best.size + matches(a_low, best.a, b_low, best.b) +
           matches(best.a + best.size, a_high, best.b + best.size, b_high);
  }

  const std::u32string a_, b_;
  std::map<char32_t, std::vector<size_t>> places_;
};

// Spaces that show as such, and what joins letters: `repr` escapes them, though nothing is hidden.
bool is_harmless(uint32_t code) {
  constexpr std::array<uint32_t, 7> kSingle = {0xa0, 0x1680, 0x200c, 0x200d, 0x202f, 0x205f, 0x3000};
  return (code >= 0x2000 && code <= 0x200a) || std::find(kSingle.begin(), kSingle.end(), code) != kSingle.end();
}

std::string utf8(char32_t code) {
  const auto byte = [](char32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
  const auto more = [&](int shift) { return byte(0x80u | ((code >> shift) & 0x3fu)); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xc0u | code >> 6), more(0)};
  if (code < 0x10000) return {byte(0xe0u | code >> 12), more(6), more(0)};
  return {byte(0xf0u | code >> 18), more(12), more(6), more(0)};
}

std::string visible(const std::u32string& characters) {
  std::string result;
  for (char32_t code : characters) {
    if (code == U'\n' || code == U'\t' || !is_hidden(code) || is_harmless(code)) {
      result += utf8(code);
    } else if (code < 0x100 || (code >= 0xdc80 && code <= 0xdcff)) {  // or a byte that is no UTF-8
      result += format("\\x%02x", static_cast<unsigned>(code & 0xffu));
    } else {
      result += code < 0x10000 ? format("\\u%04x", static_cast<unsigned>(code))
                               : format("\\U%08x", static_cast<unsigned>(code));
    }
  }
  return result;
}

}  // namespace

std::string list_repr(const std::vector<std::string>& texts) {
  std::vector<std::string> parts;
  for (const std::string& text : texts) parts.push_back(repr(text));
  return "[" + joined(parts, ", ") + "]";
}

std::string shown(std::string_view text) {
  if (may_hold_secret(text)) return "an address or a password, which is not repeated here";
  const size_t length = characters_of(text).size();
  const std::string written = repr(beginning(text, kLongest));
  if (length <= kLongest) return written;
  return beginning(written, kKept) + "... (" + std::to_string(length) + " characters)";
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  std::map<std::string, std::string> spellings;
  for (const std::string& one : known) spellings[lower(one)] = one;
  const std::u32string wanted = characters_of(lower(name));
  std::optional<std::pair<double, std::string>> best;
  for (const auto& spelling : spellings) {
    const std::pair<double, std::string> found(Matcher(characters_of(spelling.first), wanted).ratio(), spelling.first);
    if (found.first >= kCutoff && (!best || found > *best)) best = found;
  }
  return best ? " Did you mean " + repr(spellings[best->second]) + "?" : "";
}

std::string visible(std::string_view text) { return visible(characters_of(text)); }

std::string shortened(std::string_view text, size_t most_characters) {
  const std::u32string characters = characters_of(text);
  const std::string kept = visible(characters.substr(0, most_characters));
  if (characters.size() <= most_characters) return kept;
  return kept + "\u2026 (" + std::to_string(characters.size() - most_characters) + " more characters)";
}

std::string with_commas(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t end = digits.size(); end > 3;) digits.insert(end -= 3, ",");
  return digits;
}

std::string counted(uint64_t count, const std::string& what) {
  return with_commas(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace hwnas::runtime
