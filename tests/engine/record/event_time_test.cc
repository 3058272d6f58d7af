#include "engine/record/event_time.h"

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "engine/window/window.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

static_assert(DaysFromCivil(1970, 1, 1) == 0 && DaysFromCivil(1969, 12, 31) == -1 && DaysFromCivil(2000, 3, 1) == 11'017);
static_assert(DaysFromCivil(0, 3, 1) == -719'468, "the origin of the algorithm");

constexpr std::optional<int64_t> kNone = std::nullopt;

TEST(TwitterTimeTest, ReadsCreatedAt) {
  EXPECT_EQ(ParseTwitterTime("Wed Aug 27 13:08:45 +0000 2008"), 1'219'842'525'000);
  EXPECT_EQ(ParseTwitterTime("Thu Jan 01 00:00:00 +0000 1970"), 0);
  EXPECT_EQ(ParseTwitterTime("Wed Dec 31 23:59:59 +0000 1969"), -1'000);
  EXPECT_EQ(ParseTwitterTime("Mon Feb 29 12:00:00 +0000 2016"), 1'456'747'200'000);
  EXPECT_EQ(ParseTwitterTime("Wed Aug 27 15:08:45 +0200 2008"), 1'219'842'525'000);
  EXPECT_EQ(ParseTwitterTime("Wed Aug 27 07:38:45 -0530 2008"), 1'219'842'525'000);
}

TEST(TwitterTimeTest, WhatIsNoTimeIsNone) {
  for (const char* text : {"", "Wed Aug 27 13:08:45 +0000 200", "Wed Aug 27 13:08:45 +0000 20081", "Wed Aug 27 24:08:45 +0000 2008",
                           "Wed Aug 27 13:60:45 +0000 2008", "Wed Aug 32 13:08:45 +0000 2008", "Sun Feb 29 12:00:00 +0000 2015",
                           "Wed AUG 27 13:08:45 +0000 2008", "Wed ugS 27 13:08:45 +0000 2008", "Wed Aug 27 13:08:45 00000 2008",
                           "Wed Aug 27 13:08:45 +0060 2008", "Wed Aug 00 13:08:45 +0000 2008", "Wed Aug  7 13:08:45 +0000 2008",
                           "Wed Aug 27 13-08-45 +0000 2008"})
    EXPECT_EQ(ParseTwitterTime(text), kNone) << text;
}

TEST(IsoTimeTest, ReadsDatesTimesFractionsAndZones) {
  const struct {
    const char* text;
    int64_t ms;
  } cases[] = {
      {"2015-04-30T21:34:00.000Z", 1'430'429'640'000}, {"2015-04-30T21:34:00.123Z", 1'430'429'640'123},
      {"2015-04-30T21:34:00.1Z", 1'430'429'640'100},   {"2015-04-30T21:34:00.123999Z", 1'430'429'640'123},
      {"2015-04-30T21:34:00Z", 1'430'429'640'000},     {"2015-04-30T21:34Z", 1'430'429'640'000},
      {"2015-04-30 21:34:00", 1'430'429'640'000},      {"2015-04-30t21:34:00z", 1'430'429'640'000},
      {"2015-04-30", 1'430'352'000'000},               {"2015-04-30T23:34:00+02:00", 1'430'429'640'000},
      {"2015-04-30T23:34:00+0200", 1'430'429'640'000}, {"2015-04-30T16:34:00-05", 1'430'429'640'000},
      {"2015-04-30T21:34:00,5Z", 1'430'429'640'500},   {"1969-12-31T23:59:59.999Z", -1},
      {"2016-12-31T23:59:60Z", 1'483'228'800'000},  // a leap second counts as the next one
      {"0000-01-01T00:00:00Z", -62'167'219'200'000},
  };
  for (const auto& c : cases) EXPECT_EQ(ParseIsoTime(c.text), c.ms) << c.text;
}

TEST(IsoTimeTest, WhatIsNoTimeIsNone) {
  for (const char* text : {"", "2015", "2015-04", "2015-4-30", "2015-02-30", "2015-13-01", "2015-00-01", "2015-04-00", "2015-04-30T",
                           "2015-04-30T2", "2015-04-30T21", "2015-04-30T21:", "2015-04-30T21:3", "2015-04-30T25:00Z",
                           "2015-04-30T21:34:", "2015-04-30T21:34:5", "2015-04-30T21:34:61Z", "2015-04-30T21:34:00.Z",
                           "2015-04-30T21:34:00+", "2015-04-30T21:34:00+2", "2015-04-30T21:34:00+24:00", "2015-04-30T21:34:00+02:60",
                           "2015-04-30T21:34:00Zulu", "2015-04-30X21:34:00Z", "2015-04-30T21:34:00 Z", "15-04-30T21:34:00Z",
                           "2015-04-30T21:34:00+02:"})
    EXPECT_EQ(ParseIsoTime(text), kNone) << text;
}

// Oracle: Abseil's calendar, over years with and without leap days, before and after the epoch.
TEST(IsoTimeTest, AgreesWithAbseilOnEveryDay) {
  for (int64_t day = -800'000; day <= 800'000; day += 73) {
    const absl::Time time = absl::FromUnixSeconds(day * 86'400 + (day % 86'400 + 86'400) % 86'400);
    const std::string text(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()));
    if (text.size() != 20 || text[0] == '-') continue;  // beyond the years 0 to 9999
    ASSERT_EQ(ParseIsoTime(text), absl::ToUnixMillis(time)) << text;
  }
}

TEST(TimeNumberTest, ReadsAsTheSuffixSays) {
  EXPECT_EQ(ParseTimeNumber("1430429640", TimeEncoding::kSeconds), 1'430'429'640'000);
  EXPECT_EQ(ParseTimeNumber("1430429640.25", TimeEncoding::kSeconds), 1'430'429'640'250);
  EXPECT_EQ(ParseTimeNumber("-1.5", TimeEncoding::kSeconds), -1'500);
  EXPECT_EQ(ParseTimeNumber("1430429640123", TimeEncoding::kMillis), 1'430'429'640'123);
  EXPECT_EQ(ParseTimeNumber("1430429640123.5", TimeEncoding::kMillis), kNone) << "an integer is wanted";
  EXPECT_EQ(ParseTimeNumber("1430429640123456", TimeEncoding::kMicros), 1'430'429'640'123);
  EXPECT_EQ(ParseTimeNumber("-1", TimeEncoding::kMicros), -1) << "down, also below zero";
  EXPECT_EQ(ParseTimeNumber("1430429640", TimeEncoding::kIso), kNone);
  EXPECT_EQ(ParseTimeNumber("1430429640", TimeEncoding::kTwitter), kNone);
}

// Without a suffix a number below 1e11 is seconds, else milliseconds.
TEST(TimeNumberTest, WithoutASuffixTheSizeDecides) {
  EXPECT_EQ(ParseTimeNumber("99999999999", TimeEncoding::kAuto), 99'999'999'999'000);
  EXPECT_EQ(ParseTimeNumber("100000000000", TimeEncoding::kAuto), 100'000'000'000);
  EXPECT_EQ(ParseTimeNumber("1430429640", TimeEncoding::kAuto), 1'430'429'640'000);
  EXPECT_EQ(ParseTimeNumber("1430429640.5", TimeEncoding::kAuto), 1'430'429'640'500);
  EXPECT_EQ(ParseTimeNumber("1.43042964e9", TimeEncoding::kAuto), 1'430'429'640'000);
}

TEST(TimeStringTest, WithoutASuffixDigitsIsoAndTwitterAreTried) {
  EXPECT_EQ(ParseTimeString("1430429640", TimeEncoding::kAuto), 1'430'429'640'000);
  EXPECT_EQ(ParseTimeString("1430429640123", TimeEncoding::kAuto), 1'430'429'640'123);
  EXPECT_EQ(ParseTimeString("2015-04-30T21:34:00Z", TimeEncoding::kAuto), 1'430'429'640'000);
  EXPECT_EQ(ParseTimeString("Wed Aug 27 13:08:45 +0000 2008", TimeEncoding::kAuto), 1'219'842'525'000);
  EXPECT_EQ(ParseTimeString("yesterday", TimeEncoding::kAuto), kNone);
  EXPECT_EQ(ParseTimeString("", TimeEncoding::kAuto), kNone);
  EXPECT_EQ(ParseTimeString("1e12", TimeEncoding::kMillis), kNone);
  EXPECT_EQ(ParseTimeString(" 1430429640123", TimeEncoding::kMillis), kNone);
  EXPECT_EQ(ParseTimeString("+5", TimeEncoding::kMillis), kNone);
  EXPECT_EQ(ParseTimeString("-", TimeEncoding::kMillis), kNone);
  EXPECT_EQ(ParseTimeString("1.2.3", TimeEncoding::kSeconds), kNone);
}

// Beyond ±kMaxEventTime window arithmetic could overflow: such a time is no usable time, however it is written.
TEST(TimeRangeTest, TimesBeyondTheRangeAreNone) {
  const std::string edge = std::to_string(kMaxEventTime), beyond = std::to_string(kMaxEventTime + 1);
  EXPECT_EQ(ParseTimeNumber(edge, TimeEncoding::kMillis), kMaxEventTime);
  EXPECT_EQ(ParseTimeNumber("-" + edge, TimeEncoding::kMillis), -kMaxEventTime);
  for (TimeEncoding encoding : {TimeEncoding::kMillis, TimeEncoding::kSeconds, TimeEncoding::kAuto}) {
    EXPECT_EQ(ParseTimeNumber(beyond, encoding), kNone);
    EXPECT_EQ(ParseTimeNumber("-" + beyond, encoding), kNone);
    EXPECT_EQ(ParseTimeNumber("99999999999999999999999", encoding), kNone);
    EXPECT_EQ(ParseTimeString(beyond, encoding), kNone);
  }
  EXPECT_EQ(ParseTimeNumber("1e300", TimeEncoding::kSeconds), kNone);
  EXPECT_EQ(ParseTimeNumber("1e999", TimeEncoding::kSeconds), kNone);
}

}  // namespace
}  // namespace weir
