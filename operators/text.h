// operators/text.h: small functions on text that operators share. ASCII only; other bytes are kept as they are.
#ifndef WEIR_OPERATORS_TEXT_H_
#define WEIR_OPERATORS_TEXT_H_

#include <string>
#include <string_view>

namespace weir {

// Without surrounding ASCII white space (space, tab, LF, VT, FF, CR).
inline std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// A-Z folded to a-z. The result lives in `buffer`, or is `text` itself where there is nothing to fold.
inline std::string_view FoldCase(std::string_view text, std::string& buffer) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  size_t i = 0;
  while (i < text.size() && !upper(text[i])) ++i;
  if (i == text.size()) return text;
  buffer.assign(text);
  for (; i < buffer.size(); ++i)
    if (upper(buffer[i])) buffer[i] = static_cast<char>(buffer[i] + ('a' - 'A'));
  return buffer;
}

}  // namespace weir

#endif  // WEIR_OPERATORS_TEXT_H_
