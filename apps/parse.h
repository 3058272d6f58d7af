// apps/parse.h: values of flags, from text.
//
// Each function takes the name that the user gave the value under ("--window", or the environment variable),
// so that its error is a whole sentence: what, value, way out. Every error is kInvalidArgument. Nothing
// depends on the locale.
#ifndef WEIR_APPS_PARSE_H_
#define WEIR_APPS_PARSE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/record/format.h"

namespace weir {

struct DurationRules {
  bool zero = false;      // "0s" is a value
  bool infinite = false;  // "inf" is a value: kForever
};

// Milliseconds of "250ms", "60s", "1m30s", "1.5h", "1d": units d, h, m, s, ms in this order, each at most
// once. Refused: a number without a unit, a negative one, a fraction of a millisecond, more than
// kMaxEventTime.
absl::StatusOr<int64_t> ParseDuration(std::string_view flag, std::string_view text, DurationRules rules = {});

// The shortest text that ParseDuration reads back, in one unit: "250ms", "90s", "60s", "2h"; "inf" for
// kForever.
std::string FormatDuration(int64_t ms);

// Bytes of "4096", "64K", "64M", "2G", "1T", "64MiB": powers of 1024. Refused: zero, more than 2^62.
absl::StatusOr<int64_t> ParseSize(std::string_view flag, std::string_view text);
std::string FormatSize(int64_t bytes);

// A whole decimal number in [least, greatest].
absl::StatusOr<int64_t> ParseNumber(std::string_view flag, std::string_view text, int64_t least,
                                    int64_t greatest = INT64_MAX);

// A number like "0.01" in [0, 1].
absl::StatusOr<double> ParseFraction(std::string_view flag, std::string_view text);

// 1/true/yes/on or 0/false/no/off: what a switch may be in the environment.
absl::StatusOr<bool> ParseSwitch(std::string_view name, std::string_view text);

// The items between commas, as they stand: white space is part of an item. Refused: an empty one.
absl::StatusOr<std::vector<std::string>> ParseList(std::string_view flag, std::string_view text);

// `text`, if it is one of `choices`.
absl::StatusOr<std::string> ParseChoice(std::string_view flag, std::string_view text,
                                        std::span<const std::string> choices);

// A table's name: [A-Za-z_][A-Za-z0-9_]{0,62}, and none that SQLite or weir itself uses.
absl::StatusOr<std::string> ParseTableName(std::string_view flag, std::string_view text);

// A field path as in engine/record/format.h.
absl::Status CheckFieldPath(std::string_view flag, std::string_view path);

// NAME=PATH.
struct FieldMapping {
  std::string name, path;
  bool operator==(const FieldMapping&) const = default;
};
absl::StatusOr<FieldMapping> ParseFieldMapping(std::string_view flag, std::string_view text);

// PATH[:s|ms|us|iso|twitter]. A key that holds a colon needs the suffix: "dc:date:iso".
absl::StatusOr<TimeField> ParseTimeField(std::string_view flag, std::string_view text);

// A point of time in epoch milliseconds: a number, or ISO 8601 in UTC, "2015-04-30T21:34:00Z".
absl::StatusOr<int64_t> ParseTimePoint(std::string_view flag, std::string_view text);

}  // namespace weir

#endif  // WEIR_APPS_PARSE_H_
