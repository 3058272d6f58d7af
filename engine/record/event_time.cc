#include "engine/record/event_time.h"

#include <charconv>
#include <cmath>

#include "engine/window/window.h"

namespace weir {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// `count` digits at `at`, or -1.
int Digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (!IsDigit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

int DaysInMonth(int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Milliseconds of a civil time, or nullopt if there is no such date or time of day. A leap second counts as the next one.
std::optional<int64_t> Civil(int64_t year, int month, int day, int hour, int minute, int second) {
  if (month < 1 || month > 12 || day < 1 || day > DaysInMonth(year, month)) return std::nullopt;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return std::nullopt;
  return ((DaysFromCivil(year, month, day) * 24 + hour) * 60 + minute) * 60'000 + second * 1000;
}

bool InRange(int64_t ms) { return ms <= kMaxEventTime && ms >= -kMaxEventTime; }

std::optional<int64_t> Integer(std::string_view text) {
  int64_t value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A decimal number of units of `unit_ms`. Digits below the millisecond are cut.
std::optional<int64_t> Decimal(std::string_view text, int64_t unit_ms) {
  if (const std::optional<int64_t> whole = Integer(text)) {
    int64_t ms;
    if (__builtin_mul_overflow(*whole, unit_ms, &ms) || !InRange(ms)) return std::nullopt;
    return ms;
  }
  double value;  // exact to 0.1 ms until the year 10000
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  const double ms = std::floor(value * static_cast<double>(unit_ms) + 1e-4);
  if (std::abs(ms) > static_cast<double>(kMaxEventTime)) return std::nullopt;
  return static_cast<int64_t>(ms);
}

bool AllDigits(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty()) return false;
  for (char c : text)
    if (!IsDigit(c) && c != '.') return false;
  return true;
}

}  // namespace

std::optional<int64_t> ParseTwitterTime(std::string_view text) {
  // Www Mmm DD hh:mm:ss +zzzz YYYY
  if (text.size() != 30 || text[3] != ' ' || text[7] != ' ' || text[10] != ' ' || text[13] != ':' || text[16] != ':' ||
      text[19] != ' ' || text[25] != ' ')
    return std::nullopt;
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const size_t month = kMonths.find(text.substr(4, 3));
  if (month == std::string_view::npos || month % 3 != 0) return std::nullopt;
  const int zone = Digits(text, 21, 4), year = Digits(text, 26, 4);
  if (zone < 0 || zone % 100 > 59 || year < 0 || (text[20] != '+' && text[20] != '-')) return std::nullopt;
  const std::optional<int64_t> local =
      Civil(year, static_cast<int>(month / 3) + 1, Digits(text, 8, 2), Digits(text, 11, 2), Digits(text, 14, 2),
            Digits(text, 17, 2));
  if (!local) return std::nullopt;
  const int64_t zone_ms = (zone / 100 * 60 + zone % 100) * 60'000;
  return *local - (text[20] == '-' ? -zone_ms : zone_ms);
}

std::optional<int64_t> ParseIsoTime(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int year = Digits(text, 0, 4), month = Digits(text, 5, 2), day = Digits(text, 8, 2);
  if (year < 0) return std::nullopt;
  int hour = 0, minute = 0, second = 0, millis = 0;
  size_t at = 10;
  if (at < text.size()) {
    if (text[at] != 'T' && text[at] != 't' && text[at] != ' ') return std::nullopt;
    hour = Digits(text, 11, 2);
    minute = Digits(text, 14, 2);
    if (hour < 0 || minute < 0 || text[13] != ':') return std::nullopt;
    at = 16;
    if (at < text.size() && text[at] == ':') {
      second = Digits(text, 17, 2);
      at = 19;
      if (second >= 0 && at < text.size() && (text[at] == '.' || text[at] == ',')) {
        int scale = 100;
        const size_t first = ++at;
        for (; at < text.size() && IsDigit(text[at]); ++at, scale /= 10) millis += (text[at] - '0') * scale;
        if (at == first) return std::nullopt;
      }
    }
  }
  int64_t zone_ms = 0;
  if (at < text.size()) {
    const char sign = text[at];
    if (sign == 'Z' || sign == 'z') {
      ++at;
    } else if (sign == '+' || sign == '-') {
      const int hours = Digits(text, at + 1, 2);
      int minutes = 0;
      at += 3;
      const bool colon = at < text.size() && text[at] == ':';
      if (colon) ++at;
      if (colon || at < text.size()) {
        minutes = Digits(text, at, 2);
        at += 2;
      }
      if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
      zone_ms = (hours * 60 + minutes) * 60'000 * (sign == '-' ? -1 : 1);
    }
    if (at != text.size()) return std::nullopt;
  }
  const std::optional<int64_t> local = Civil(year, month, day, hour, minute, second);
  if (!local) return std::nullopt;
  return *local + millis - zone_ms;
}

std::optional<int64_t> ParseTimeNumber(std::string_view text, TimeEncoding encoding) {
  switch (encoding) {
    case TimeEncoding::kSeconds: return Decimal(text, 1000);
    case TimeEncoding::kMillis:
    case TimeEncoding::kMicros: {
      const std::optional<int64_t> value = Integer(text);
      if (!value) return std::nullopt;
      const int64_t ms = encoding == TimeEncoding::kMillis ? *value : FloorDiv(*value, 1000);
      return InRange(ms) ? std::optional(ms) : std::nullopt;
    }
    case TimeEncoding::kAuto: {
      // Below 1e11 (March 1973 in ms, the year 5138 in seconds) it can only be seconds.
      const std::optional<int64_t> ms = Decimal(text, 1);
      if (!ms) return std::nullopt;
      return *ms < 100'000'000'000 ? Decimal(text, 1000) : ms;
    }
    case TimeEncoding::kIso:
    case TimeEncoding::kTwitter: return std::nullopt;
  }
  return std::nullopt;
}

std::optional<int64_t> ParseTimeString(std::string_view text, TimeEncoding encoding) {
  switch (encoding) {
    case TimeEncoding::kIso: return ParseIsoTime(text);
    case TimeEncoding::kTwitter: return ParseTwitterTime(text);
    case TimeEncoding::kAuto: {
      if (AllDigits(text)) return ParseTimeNumber(text, encoding);
      if (const std::optional<int64_t> iso = ParseIsoTime(text)) return iso;
      return ParseTwitterTime(text);
    }
    case TimeEncoding::kSeconds:
    case TimeEncoding::kMillis:
    case TimeEncoding::kMicros: return AllDigits(text) ? ParseTimeNumber(text, encoding) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace weir
