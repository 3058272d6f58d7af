#include "apps/parse.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/window/window.h"

namespace weir {
namespace {

// The whole message, so that what a user reads is part of the specification.
template <typename T>
std::string Error(const absl::StatusOr<T>& value) {
  if (value.ok()) return "(accepted)";
  EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(value.status().message());
}

std::string DurationError(const char* text, DurationRules rules = {}) {
  return Error(ParseDuration("--window", text, rules));
}

TEST(ParseDurationTest, Accepts) {
  struct Case {
    const char* text;
    int64_t ms;
  };
  for (const Case& c : {Case{"250ms", 250},
                        {"1ms", 1},
                        {"60s", 60'000},
                        {"1m30s", 90'000},
                        {"2h", 7'200'000},
                        {"1d", 86'400'000},
                        {"1d2h3m4s5ms", 93'784'005},
                        {"1.5s", 1'500},
                        {"0.25s", 250},
                        {"1.50000000000s", 1'500},
                        {"0.5d", 43'200'000},
                        {"007s", 7'000},
                        {"0m1s", 1'000},
                        {"1152921504606846976ms", kMaxEventTime}}) {
    const auto ms = ParseDuration("--window", c.text);
    ASSERT_TRUE(ms.ok()) << ms.status();
    EXPECT_EQ(*ms, c.ms) << c.text;
  }
}

TEST(ParseDurationTest, ZeroAndInfinityOnlyWhereTheFlagAllowsThem) {
  EXPECT_EQ(ParseDuration("--allowed-lateness", "0s", {.zero = true}).value(), 0);
  EXPECT_EQ(ParseDuration("--watermark-delay", "inf", {.infinite = true}).value(), kForever);
  EXPECT_EQ(DurationError("0s"), "--window 0s is not more than zero. Write a duration like 60s.");
  EXPECT_EQ(DurationError("0"),
            "--window 0 is not more than zero, and has no unit. Write 60s for sixty seconds.");
  EXPECT_EQ(DurationError("inf"), "--window inf has to end some time: this flag takes no inf.");
}

TEST(ParseDurationTest, RefusesABareNumberWithTheHint) {
  EXPECT_EQ(DurationError("60"), "--window 60 has no unit. Write 60s for seconds, 60ms for milliseconds.");
  EXPECT_EQ(DurationError("0", {.zero = true}),
            "--window 0 has no unit. Write 0s for seconds, 0ms for milliseconds.");
  EXPECT_EQ(DurationError("1m30"),
            "--window 1m30 has a number without a unit. Write a duration like 250ms, 60s, 1m30s or 2h.");
}

TEST(ParseDurationTest, RefusesWhatIsNoDuration) {
  for (const char* text :
       {"", " ", "s", "soon", "60 s", " 60s", "60s ", "1.s", ".5s", "1..5s", "+5s", "infinity", "nan"})
    EXPECT_NE(DurationError(text).find("duration"), std::string::npos)
        << '"' << text << "\": " << DurationError(text);
  for (const char* text : {"1e3s", "0x10s", "5\xC2\xB5s", "5s!"})
    EXPECT_NE(DurationError(text), "(accepted)") << text;
  EXPECT_EQ(DurationError(""),
            "--window \"\" is no duration. Write a duration like 250ms, 60s, 1m30s or 2h.");
  EXPECT_EQ(DurationError("-5s"), "--window -5s is negative. Durations here are counted from zero up.");
  EXPECT_EQ(DurationError("5min"),
            "--window 5min has the unknown unit \"min\". Units are d, h, m, s and ms.");
  EXPECT_EQ(DurationError("5S"), "--window 5S has the unknown unit \"S\". Units are d, h, m, s and ms.");
  EXPECT_EQ(
      DurationError("30s1m"),
      "--window 30s1m has its units out of order. Each of d, h, m, s, ms comes once, the longest first.");
  EXPECT_EQ(
      DurationError("1s1s"),
      "--window 1s1s has its units out of order. Each of d, h, m, s, ms comes once, the longest first.");
}

TEST(ParseDurationTest, RefusesLessThanAMillisecond) {
  EXPECT_EQ(DurationError("1500us"),
            "--window 1500us is finer than a millisecond, the unit that weir counts in. Write whole ms.");
  EXPECT_EQ(DurationError("0.5ms"),
            "--window 0.5ms is no whole number of milliseconds, the unit that weir counts in.");
  EXPECT_EQ(DurationError("1.0005s"),
            "--window 1.0005s is no whole number of milliseconds, the unit that weir counts in.");
  EXPECT_EQ(
      DurationError("1.0000000000000000000001s"),
      "--window 1.0000000000000000000001s is no whole number of milliseconds, the unit that weir counts in.");
}

TEST(ParseDurationTest, RefusesWhatCannotBeCounted) {
  for (const char* text :
       {"1152921504606846977ms", "9223372036854775807ms", "9223372036854775808ms", "99999999999999999999d",
        "106751991167301d", "1152921504606846976ms0.9s", "13343998895d1000000000h"})
    EXPECT_NE(DurationError(text), "(accepted)") << text;
  EXPECT_EQ(DurationError("99999999999999d"),
            "--window 99999999999999d is too long: at most 1152921504606846976ms can be counted.");
}

TEST(FormatDurationTest, IsReadBack) {
  struct Case {
    int64_t ms;
    const char* text;
  };
  for (const Case& c : {Case{1, "1ms"},
                        {250, "250ms"},
                        {1'000, "1s"},
                        {60'000, "60s"},
                        {90'000, "90s"},
                        {120'000, "2m"},
                        {3'600'000, "60m"},
                        {7'200'000, "2h"},
                        {86'400'000, "24h"},
                        {172'800'000, "2d"},
                        {1'001, "1001ms"}}) {
    EXPECT_EQ(FormatDuration(c.ms), c.text);
    EXPECT_EQ(ParseDuration("", c.text).value(), c.ms);
  }
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(kForever), "inf");
}

TEST(ParseSizeTest, PowersOf1024) {
  struct Case {
    const char* text;
    int64_t bytes;
  };
  for (const Case& c : {Case{"1", 1},
                        {"4096", 4096},
                        {"64K", 65'536},
                        {"64M", 67'108'864},
                        {"2G", 2'147'483'648},
                        {"1T", int64_t{1} << 40},
                        {"64MiB", 67'108'864},
                        {"64m", 67'108'864},
                        {"8kib", 8'192},
                        {"10B", 10}}) {
    const auto bytes = ParseSize("--max-memory", c.text);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, c.bytes) << c.text;
  }
  EXPECT_EQ(FormatSize(67'108'864), "64M");
  EXPECT_EQ(FormatSize(1'000), "1000");
}

TEST(ParseSizeTest, Refuses) {
  const auto error = [](const char* text) { return Error(ParseSize("--max-memory", text)); };
  EXPECT_EQ(error(""), "--max-memory \"\" is no size. Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(error("much"), "--max-memory much is no size. Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(error("-1M"), "--max-memory -1M is no size. Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(error("0M"),
            "--max-memory 0M is not more than zero. Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(error("64MB"),
            "--max-memory 64MB has the unknown unit \"MB\". Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(
      error("1.5G"),
      "--max-memory 1.5G has the unknown unit \".5G\". Write a size like 64M or 2G, in powers of 1024.");
  EXPECT_EQ(error("9999999999T"), "--max-memory 9999999999T is more than any machine has.");
  EXPECT_EQ(error("99999999999999999999"), "--max-memory 99999999999999999999 is more than any machine has.");
}

TEST(ParseNumberTest, Range) {
  EXPECT_EQ(ParseNumber("--top", "0", 0).value(), 0);
  EXPECT_EQ(ParseNumber("--top", "9223372036854775807", 0).value(), INT64_MAX);
  EXPECT_EQ(ParseNumber("--partition", "-1", -1).value(), -1);
  const auto error = [](const char* text) { return Error(ParseNumber("--workers", text, 1, 8)); };
  EXPECT_EQ(error("0"), "--workers 0 is too small: at least 1 is needed.");
  EXPECT_EQ(error("-3"), "--workers -3 is too small: at least 1 is needed.");
  EXPECT_EQ(error("9"), "--workers 9 is too great: at most 8 is possible.");
  EXPECT_EQ(error("9223372036854775808"), "--workers 9223372036854775808 is too great a number.");
  EXPECT_EQ(error("-9223372036854775809"), "--workers -9223372036854775809 is too small a number.");
  for (const char* text : {"", "-", "two", "2x", " 2", "2 ", "+2", "2.0", "0x2"})
    EXPECT_NE(error(text).find("is no whole number."), std::string::npos) << text;
}

TEST(ParseFractionTest, ZeroToOne) {
  EXPECT_EQ(ParseFraction("--invalid", "0").value(), 0);
  EXPECT_EQ(ParseFraction("--invalid", "0.25").value(), 0.25);
  EXPECT_EQ(ParseFraction("--invalid", "1").value(), 1);
  for (const char* text : {"", "x", "-0.1", "1.01", "nan", "inf", "0,5", "1%", "1e-2"})
    EXPECT_NE(Error(ParseFraction("--invalid", text))
                  .find("is no fraction. Write a number from 0 to 1, like 0.01."),
              std::string::npos)
        << text;
}

TEST(ParseSwitchTest, OnAndOff) {
  for (const char* text : {"1", "true", "yes", "on"}) EXPECT_TRUE(ParseSwitch("WEIR_FOLLOW", text).value());
  for (const char* text : {"0", "false", "no", "off"}) EXPECT_FALSE(ParseSwitch("WEIR_FOLLOW", text).value());
  EXPECT_EQ(Error(ParseSwitch("WEIR_FOLLOW", "maybe")),
            "WEIR_FOLLOW maybe is neither on nor off. Write 1 or 0.");
}

TEST(ParseListTest, KeepsItemsAsTheyStand) {
  EXPECT_EQ(ParseList("--track", "a").value(), std::vector<std::string>({"a"}));
  EXPECT_EQ(ParseList("--track", "a, b,c d").value(), std::vector<std::string>({"a", " b", "c d"}));
  for (const char* text : {"", ",", "a,", ",a", "a,,b"})
    EXPECT_NE(Error(ParseList("--track", text)).find("has an empty item."), std::string::npos) << text;
}

TEST(ParseChoiceTest, RefusesWithTheNearestOne) {
  const std::vector<std::string> choices = {"event", "kafka", "processing"};
  EXPECT_EQ(ParseChoice("--time", "kafka", choices).value(), "kafka");
  EXPECT_EQ(Error(ParseChoice("--time", "evnet", choices)),
            "--time evnet is unknown. Did you mean \"event\"? It is one of event, kafka or processing.");
  EXPECT_EQ(Error(ParseChoice("--time", "Kafka", choices)),
            "--time Kafka is unknown. Did you mean \"kafka\"? It is one of event, kafka or processing.");
  EXPECT_EQ(Error(ParseChoice("--time", "", choices)),
            "--time \"\" is unknown. It is one of event, kafka or processing.");
}

TEST(ParseTableNameTest, SafeIdentifiersOnly) {
  for (const std::string& name :
       {std::string("a"), std::string("_x9"), std::string("Tweets"), std::string(63, 'n')})
    EXPECT_EQ(ParseTableName("--name", name).value(), name);
  for (const std::string& name :
       {std::string(), std::string("9a"), std::string("a-b"), std::string("a b"), std::string("a\"b"),
        std::string("a;drop table x"), std::string("\xC3\xA9t\xC3\xA9"), std::string("a\0b", 3),
        std::string(64, 'n')})
    EXPECT_NE(Error(ParseTableName("--name", name)).find("is no table name"), std::string::npos) << name;
  EXPECT_EQ(Error(ParseTableName("--name", "sqlite_stat1")),
            "--name sqlite_stat1 begins with sqlite_, which is kept for tables of sqlite itself. Choose "
            "another name.");
  EXPECT_EQ(
      Error(ParseTableName("--name", "Weir_windows")),
      "--name Weir_windows begins with weir_, which is kept for tables of weir itself. Choose another name.");
}

TEST(FieldPathTest, KeysArraysAndAttributes) {
  for (const char* path : {"lang", "user.location", "entities.hashtags[].text", "a[][].b",
                           "with space.\xC3\xA9", "dc:date", "a\\..b", "a\\.b[].c\\[0\\]", "\\\\", "@key", "@timestamp", "@header.trace-id"})
    EXPECT_TRUE(CheckFieldPath("--location-field", path).ok()) << path;
  for (const char* path : {"", ".", "a.", ".a", "a..b", "[]", "a.[]", "a[0]", "a[", "a]b", "[]a", "a\\...b", "a\\\\..b", "@",
                           "@header.", "@header", "@kye"})
    EXPECT_EQ(CheckFieldPath("--location-field", path).code(), absl::StatusCode::kInvalidArgument) << path;
  EXPECT_EQ(CheckFieldPath("--location-field", "@kye").message(),
            "--location-field @kye is no attribute of a message. Did you mean \"@key\"? There are @key, "
            "@topic, @partition, @offset, @timestamp "
            "and @header.NAME.");
}

TEST(ParseFieldMappingTest, NameAndPath) {
  EXPECT_EQ(ParseFieldMapping("--field", "location=user.city").value(),
            (FieldMapping{"location", "user.city"}));
  EXPECT_EQ(ParseFieldMapping("--field", "a=b=c").value(), (FieldMapping{"a", "b=c"})) << "keys may hold =";
  for (const char* text : {"", "location", "=a", "a=", "a=b..c"})
    EXPECT_FALSE(ParseFieldMapping("--field", text).ok()) << text;
}

TEST(ParseTimeFieldTest, SuffixNamesTheEncoding) {
  struct Case {
    const char *text, *path;
    TimeEncoding encoding;
  };
  for (const Case& c : {Case{"ts", "ts", TimeEncoding::kAuto},
                        {"meta.ts:s", "meta.ts", TimeEncoding::kSeconds},
                        {"ts:ms", "ts", TimeEncoding::kMillis},
                        {"ts:us", "ts", TimeEncoding::kMicros},
                        {"at:iso", "at", TimeEncoding::kIso},
                        {"at:twitter", "at", TimeEncoding::kTwitter},
                        {"dc:date:iso", "dc:date", TimeEncoding::kIso},
                        {"@timestamp", "@timestamp", TimeEncoding::kAuto}}) {
    const auto field = ParseTimeField("--time-field", c.text);
    ASSERT_TRUE(field.ok()) << field.status();
    EXPECT_EQ(field->path, c.path);
    EXPECT_EQ(field->encoding, c.encoding) << c.text;
  }
  EXPECT_EQ(Error(ParseTimeField("--time-field", "ts:mss")),
            "--time-field ts:mss ends in the unknown encoding \"mss\". Did you mean \"ms\"? There are :s, "
            ":ms, :us, :iso and :twitter.");
  for (const char* text : {"", ":ms", "a..b", "a[].ts", "ts:"})
    EXPECT_FALSE(ParseTimeField("--time-field", text).ok()) << text;
}

TEST(ParseTimePointTest, EpochOrIso) {
  EXPECT_EQ(ParseTimePoint("--start", "1430429640000").value(), 1'430'429'640'000);
  EXPECT_EQ(ParseTimePoint("--start", "-1").value(), -1);
  EXPECT_EQ(ParseTimePoint("--start", "2015-04-30T21:34:00Z").value(), 1'430'429'640'000);
  EXPECT_EQ(ParseTimePoint("--start", "2015-04-30T21:34:00.250Z").value(), 1'430'429'640'250);
  EXPECT_EQ(ParseTimePoint("--start", "2015-04-30T23:34:00+02:00").value(), 1'430'429'640'000);
  EXPECT_EQ(ParseTimePoint("--start", "2015-04-30").value(), 1'430'352'000'000);
  for (const char* text : {"", "-", "now", "2015-13-01", "2015-04-30T25:00:00Z", "2015-04-30T21:34:00",
                           "infinite-future", "99999999999999999999"})
    EXPECT_FALSE(ParseTimePoint("--start", text).ok()) << text;
}

// Values appear in messages; control characters and whole documents do not.
TEST(ErrorTest, ShowsAValueShortAndHarmless) {
  EXPECT_EQ(DurationError("\x1b[31m"),
            "--window ?[31m is no duration. Write a duration like 250ms, 60s, 1m30s or 2h.");
  EXPECT_LT(DurationError(std::string(100'000, 'x').c_str()).size(), 300u);
  EXPECT_LT(DurationError((std::string(100'000, '1') + "s").c_str()).size(), 300u);
}

}  // namespace
}  // namespace weir
