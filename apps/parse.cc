#include "apps/parse.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "apps/suggest.h"
#include "engine/status_macros.h"
#include "engine/window/window.h"

namespace weir {
namespace {

constexpr std::string_view kDurationHint = "Write a duration like 250ms, 60s, 1m30s or 2h.";
constexpr int64_t kMaxSize = int64_t{1} << 62;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Values appear in error messages; a pasted document must not.
std::string Shown(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string shown;
  for (char c : text.substr(0, kMost)) shown += (c >= 0 && c < ' ') || c == 127 ? '?' : c;
  if (text.size() > kMost) shown += "...";
  return shown;
}

// "--window 60" as the user wrote it, with quotes where it would not be seen otherwise.
std::string Given(std::string_view flag, std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" \t\r\n\"'") == text.npos;
  return plain ? fmt::format("{} {}", flag, Shown(text)) : fmt::format("{} \"{}\"", flag, Shown(text));
}

absl::Status Refused(std::string_view flag, std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} {}", Given(flag, text), why));
}

struct Unit {
  std::string_view name;
  int64_t size;
};
constexpr Unit kDurationUnits[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr Unit kSizeUnits[] = {
    {"T", int64_t{1} << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}};

std::string_view TakeDigits(std::string_view& rest) {
  const size_t n = static_cast<size_t>(std::find_if_not(rest.begin(), rest.end(), IsDigit) - rest.begin());
  const std::string_view digits = rest.substr(0, n);
  rest.remove_prefix(n);
  return digits;
}

std::string_view TakeLetters(std::string_view& rest) {
  const size_t n = static_cast<size_t>(std::find_if_not(rest.begin(), rest.end(), IsLetter) - rest.begin());
  const std::string_view letters = rest.substr(0, n);
  rest.remove_prefix(n);
  return letters;
}

// Nothing: does not fit.
std::optional<int64_t> ToInteger(std::string_view digits) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

absl::StatusOr<int64_t> ParseDuration(std::string_view flag, std::string_view text, DurationRules rules) {
  if (text == "inf") {
    if (rules.infinite) return kForever;
    return Refused(flag, text, "has to end some time: this flag takes no inf.");
  }
  if (!text.empty() && text.front() == '-' && text.size() > 1 && IsDigit(text[1]))
    return Refused(flag, text, "is negative. Durations here are counted from zero up.");

  int64_t total = 0;
  size_t next_unit = 0;  // units come in descending order, each at most once
  const absl::Status too_long = Refused(
      flag, text, fmt::format("is too long: at most {} can be counted.", FormatDuration(kMaxEventTime)));
  for (std::string_view rest = text; !rest.empty() || text.empty();) {
    const std::string_view digits = TakeDigits(rest);
    std::string_view fraction;
    if (!digits.empty() && !rest.empty() && rest.front() == '.') {
      rest.remove_prefix(1);
      fraction = TakeDigits(rest);
      if (fraction.empty()) return Refused(flag, text, fmt::format("is no duration. {}", kDurationHint));
    }
    const std::string_view name = TakeLetters(rest);
    if (digits.empty()) return Refused(flag, text, fmt::format("is no duration. {}", kDurationHint));
    if (name.empty()) {
      if (digits.size() == text.size() && ToInteger(digits) == 0 && !rules.zero)
        return Refused(flag, text, "is not more than zero, and has no unit. Write 60s for sixty seconds.");
      if (digits.size() == text.size())
        return Refused(flag, text,
                       fmt::format("has no unit. Write {}s for seconds, {}ms for milliseconds.",
                                   Shown(digits), Shown(digits)));
      return Refused(flag, text, fmt::format("has a number without a unit. {}", kDurationHint));
    }
    if (name == "us" || name == "ns")
      return Refused(flag, text,
                     "is finer than a millisecond, the unit that weir counts in. Write whole ms.");
    size_t unit = 0;
    while (unit < std::size(kDurationUnits) && kDurationUnits[unit].name != name) ++unit;
    if (unit == std::size(kDurationUnits))
      return Refused(flag, text,
                     fmt::format("has the unknown unit \"{}\". Units are d, h, m, s and ms.", Shown(name)));
    if (unit < next_unit)
      return Refused(flag, text,
                     "has its units out of order. Each of d, h, m, s, ms comes once, the longest first.");
    next_unit = unit + 1;

    const int64_t unit_ms = kDurationUnits[unit].size;
    const std::optional<int64_t> whole = ToInteger(digits);
    int64_t part;
    if (!whole || __builtin_mul_overflow(*whole, unit_ms, &part) ||
        __builtin_add_overflow(total, part, &total) || total > kMaxEventTime)
      return too_long;
    fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
    if (!fraction.empty()) {
      // No fraction with more digits than this is a whole number of milliseconds: a day has 8 decimal places
      // at most.
      constexpr size_t kMostDigits = 9;
      int64_t denominator = 1;
      for (size_t i = 0; i < std::min(fraction.size(), kMostDigits); ++i) denominator *= 10;
      const int64_t numerator = ToInteger(fraction.substr(0, kMostDigits)).value_or(0) * unit_ms;
      if (fraction.size() > kMostDigits || numerator % denominator != 0)
        return Refused(flag, text, "is no whole number of milliseconds, the unit that weir counts in.");
      total += numerator / denominator;
    }
    if (rest.empty()) break;
  }
  if (total > kMaxEventTime) return too_long;
  if (total == 0 && !rules.zero)
    return Refused(flag, text, "is not more than zero. Write a duration like 60s.");
  return total;
}

std::string FormatDuration(int64_t ms) {
  if (ms == kForever) return "inf";
  if (ms == 0) return "0s";
  // "60s" and "90s" rather than "1m": from two units on the longer one reads better.
  for (const Unit& unit : kDurationUnits)
    if (ms % unit.size == 0 && (ms / unit.size >= 2 || unit.size <= 1'000))
      return fmt::format("{}{}", ms / unit.size, unit.name);
  return fmt::format("{}ms", ms);
}

absl::StatusOr<int64_t> ParseSize(std::string_view flag, std::string_view text) {
  constexpr std::string_view kHint = "Write a size like 64M or 2G, in powers of 1024.";
  std::string_view rest = text;
  const std::string_view digits = TakeDigits(rest);
  if (digits.empty()) return Refused(flag, text, fmt::format("is no size. {}", kHint));
  std::string name;
  for (char c : rest) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (name.size() == 3 && name.ends_with("IB")) name.resize(1);
  if (name == "B") name.clear();
  for (const Unit& unit : kSizeUnits) {
    if (unit.name != name) continue;
    const std::optional<int64_t> count = ToInteger(digits);
    int64_t bytes;
    if (!count || __builtin_mul_overflow(*count, unit.size, &bytes) || bytes > kMaxSize)
      return Refused(flag, text, "is more than any machine has.");
    if (bytes == 0) return Refused(flag, text, fmt::format("is not more than zero. {}", kHint));
    return bytes;
  }
  return Refused(flag, text, fmt::format("has the unknown unit \"{}\". {}", Shown(rest), kHint));
}

std::string FormatSize(int64_t bytes) {
  for (const Unit& unit : kSizeUnits)
    if (bytes >= unit.size && bytes % unit.size == 0)
      return fmt::format("{}{}", bytes / unit.size, unit.name);
  return fmt::format("{}", bytes);
}

absl::StatusOr<int64_t> ParseNumber(std::string_view flag, std::string_view text, int64_t least,
                                    int64_t greatest) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), IsDigit))
    return Refused(flag, text, "is no whole number.");
  const std::optional<int64_t> value = ToInteger(text);
  if (!value) return Refused(flag, text, negative ? "is too small a number." : "is too great a number.");
  if (*value < least) return Refused(flag, text, fmt::format("is too small: at least {} is needed.", least));
  if (*value > greatest)
    return Refused(flag, text, fmt::format("is too great: at most {} is possible.", greatest));
  return *value;
}

absl::StatusOr<double> ParseFraction(std::string_view flag, std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value <= 1))
    return Refused(flag, text, "is no fraction. Write a number from 0 to 1, like 0.01.");
  return value;
}

absl::StatusOr<bool> ParseSwitch(std::string_view name, std::string_view text) {
  for (std::string_view yes : {"1", "true", "yes", "on"})
    if (text == yes) return true;
  for (std::string_view no : {"0", "false", "no", "off"})
    if (text == no) return false;
  return Refused(name, text, "is neither on nor off. Write 1 or 0.");
}

absl::StatusOr<std::vector<std::string>> ParseList(std::string_view flag, std::string_view text) {
  std::vector<std::string> items;
  for (size_t begin = 0;;) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    if (comma == begin) return Refused(flag, text, "has an empty item. Write items between commas: a,b,c.");
    items.emplace_back(text.substr(begin, comma - begin));
    if (comma == text.size()) return items;
    begin = comma + 1;
  }
}

absl::StatusOr<std::string> ParseChoice(std::string_view flag, std::string_view text,
                                        std::span<const std::string> choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::string(text);
  std::string all;
  for (size_t i = 0; i < choices.size(); ++i)
    all += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
  return Refused(flag, text, fmt::format("is unknown.{} It is one of {}.", DidYouMean(text, choices), all));
}

absl::StatusOr<std::string> ParseTableName(std::string_view flag, std::string_view text) {
  constexpr size_t kLongest = 63;
  const auto allowed = [](char c) { return IsLetter(c) || IsDigit(c) || c == '_'; };
  if (text.empty() || text.size() > kLongest || IsDigit(text.front()) ||
      !std::all_of(text.begin(), text.end(), allowed))
    return Refused(flag, text,
                   "is no table name: letters, digits and _ (no digit first), at most 63 of them.");
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (std::string_view reserved : {"sqlite_", "weir_"})
    if (lower.starts_with(reserved))
      return Refused(
          flag, text,
          fmt::format("begins with {}, which is kept for tables of {} itself. Choose another name.", reserved,
                      reserved.substr(0, reserved.size() - 1)));
  return std::string(text);
}

absl::Status CheckFieldPath(std::string_view flag, std::string_view path) {
  if (path.empty())
    return Refused(flag, path, "is an empty path. Write keys with dots between: user.location.");
  if (path.front() == '@') {
    constexpr std::string_view kHeader = "@header.";
    if (path.starts_with(kHeader) && path.size() > kHeader.size()) return absl::OkStatus();
    const std::vector<std::string> attributes = {"@key", "@topic", "@partition", "@offset", "@timestamp"};
    if (std::find(attributes.begin(), attributes.end(), path) != attributes.end()) return absl::OkStatus();
    return Refused(flag, path,
                   fmt::format("is no attribute of a message.{} There are @key, @topic, @partition, @offset, "
                               "@timestamp and @header.NAME.",
                               DidYouMean(path, attributes)));
  }
  for (size_t at = 0;;) {
    const size_t begin = at;
    // What a backslash precedes belongs to the key.
    while (at < path.size() && path.find_first_of(".[]", at) != at) at += path[at] == '\\' && at + 1 < path.size() ? 2 : 1;
    if (at == begin && path.substr(at, 1) != "]")
      return Refused(flag, path, "has an empty key. Write keys with dots between: user.location.");
    while (path.substr(at, 2) == "[]") at += 2;
    if (at == path.size()) return absl::OkStatus();
    if (path[at] != '.')
      return Refused(flag, path,
                     "holds a bracket that is not [] behind a key; [] stands for every element of an array.");
    ++at;
  }
}

absl::StatusOr<FieldMapping> ParseFieldMapping(std::string_view flag, std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0)
    return Refused(flag, text, "is not NAME=PATH. Write for example --field location=user.city.");
  FieldMapping mapping{.name = std::string(text.substr(0, equals)),
                       .path = std::string(text.substr(equals + 1))};
  WEIR_RETURN_IF_ERROR(CheckFieldPath(flag, mapping.path));
  return mapping;
}

absl::StatusOr<TimeField> ParseTimeField(std::string_view flag, std::string_view text) {
  struct Suffix {
    std::string_view name;
    TimeEncoding encoding;
  };
  constexpr Suffix kSuffixes[] = {{"s", TimeEncoding::kSeconds},
                                  {"ms", TimeEncoding::kMillis},
                                  {"us", TimeEncoding::kMicros},
                                  {"iso", TimeEncoding::kIso},
                                  {"twitter", TimeEncoding::kTwitter}};
  TimeField field{.path = std::string(text)};
  if (const size_t colon = text.rfind(':'); colon != text.npos) {
    const std::string_view name = text.substr(colon + 1);
    const auto* suffix = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                      [&](const Suffix& s) { return s.name == name; });
    // A misspelt suffix taken as a part of the key would make every record lack a time.
    if (suffix == std::end(kSuffixes)) {
      const std::vector<std::string> names = {"s", "ms", "us", "iso", "twitter"};
      return Refused(
          flag, text,
          fmt::format("ends in the unknown encoding \"{}\".{} There are :s, :ms, :us, :iso and :twitter.",
                      Shown(name), DidYouMean(name, names)));
    }
    field = {.path = std::string(text.substr(0, colon)), .encoding = suffix->encoding};
  }
  WEIR_RETURN_IF_ERROR(CheckFieldPath(flag, field.path));
  if (field.path.find("[]") != std::string::npos)
    return Refused(flag, text, "names many values: a record has one time.");
  return field;
}

absl::StatusOr<int64_t> ParseTimePoint(std::string_view flag, std::string_view text) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (!digits.empty() && std::all_of(digits.begin(), digits.end(), IsDigit))
    return ParseNumber(flag, text, -kMaxEventTime, kMaxEventTime);
  absl::Time time;
  std::string error;
  const std::string copy(text);
  for (const char* form : {"%Y-%m-%d%ET%H:%M:%E*S%Ez", "%Y-%m-%d%ET%H:%M%Ez", "%Y-%m-%d"})
    if (absl::ParseTime(form, copy, &time, &error) &&
        absl::AbsDuration(time - absl::UnixEpoch()) < absl::Milliseconds(kMaxEventTime))
      return absl::ToUnixMillis(time);
  return Refused(flag, text, "is no point of time. Write 2015-04-30T21:34:00Z, or milliseconds since 1970.");
}

}  // namespace weir
