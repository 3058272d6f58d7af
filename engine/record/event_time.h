// engine/record/event_time.h: times as text, in and out. All times are milliseconds since the epoch, UTC.
#ifndef WEIR_ENGINE_RECORD_EVENT_TIME_H_
#define WEIR_ENGINE_RECORD_EVENT_TIME_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/record/format.h"

namespace weir {

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, any year.
// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
constexpr int64_t DaysFromCivil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

// "Wed Aug 27 13:08:45 +0000 2008", as Twitter's created_at.
std::optional<int64_t> ParseTwitterTime(std::string_view text);

// "2015-04-30T21:34:00.123Z": date, then optionally `T` or a space, hh:mm, :ss, a fraction, and Z or ±hh[:mm]; without a zone
// it is UTC. Digits beyond the millisecond are cut.
std::optional<int64_t> ParseIsoTime(std::string_view text);

// A JSON number's text or the content of a JSON string, read as `encoding` says. nullopt: no usable time, also when it lies
// beyond ±kMaxEventTime.
std::optional<int64_t> ParseTimeNumber(std::string_view text, TimeEncoding encoding);
std::optional<int64_t> ParseTimeString(std::string_view text, TimeEncoding encoding);

}  // namespace weir

#endif  // WEIR_ENGINE_RECORD_EVENT_TIME_H_
