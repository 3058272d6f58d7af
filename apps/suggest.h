// apps/suggest.h: "did you mean" for words that are not in a list.
#ifndef WEIR_APPS_SUGGEST_H_
#define WEIR_APPS_SUGGEST_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace weir {

// Edits that turn `a` into `b`: insert, delete or replace a byte, swap two neighbours (Damerau-Levenshtein,
// optimal string alignment). ASCII case is ignored. Cost: O(|a| |b|).
size_t EditDistance(std::string_view a, std::string_view b);

// The word of `known` that was probably meant; empty when none is near enough. Near: one edit per three
// bytes, or `word` is the beginning (three bytes at least) of exactly one of them. Of equally near ones the
// first counts.
std::string_view Nearest(std::string_view word, std::span<const std::string> known);

// ` Did you mean "x"?`, with the leading space, or nothing: to be appended to an error's sentence.
std::string DidYouMean(std::string_view word, std::span<const std::string> known);

}  // namespace weir

#endif  // WEIR_APPS_SUGGEST_H_
