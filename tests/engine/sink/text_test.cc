#include "engine/sink/text.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "simdjson.h"

namespace weir {
namespace {

std::string Json(std::string_view text) {
  std::string out;
  AppendJsonString(text, out);
  return out;
}

std::string Csv(std::string_view text) {
  std::string out;
  AppendCsvField(text, out);
  return out;
}

TEST(DisplayWidthTest, CountsColumnsNotBytes) {
  const struct {
    std::string_view text;
    size_t columns;
  } kCases[] = {
      {"", 0},
      {"Paris", 5},
      {"São Paulo", 9},
      {"Sa\u0303o", 3},  // a combining tilde takes none
      {"東京", 4},
      {"ﾄｳｷｮｳ", 5},  // half-width kana
      {"ＡＢ", 4},   // full-width Latin
      {"서울", 4},
      {"\u1109\u1165\u110B\u116E\u11AF", 4},  // the same from single jamo
      {"مرحبا", 5},
      {"שָׁלוֹם", 4},  // points take none
      {"กรุงเทพ", 6},
      {"🗼", 2},
      {"👍🏽", 2},            // with a skin tone
      {"👨‍👩‍👧", 2},  // joined
      {"🇫🇷", 2},
      {"🇫🇷🇩🇪", 4},
      {"❤", 1},
      {"❤️", 2},  // U+FE0F: as a picture
      {"1️⃣", 2},
      {"a\u200Bb", 2},  // zero-width space
      {"a\u00ADb", 3},  // soft hyphens are drawn by terminals
      {"\u2068مر\u2069", 2},
      {"€½—", 3},
  };
  for (const auto& c : kCases) EXPECT_EQ(DisplayWidth(c.text), c.columns) << c.text;
}

TEST(PrintableTest, MakesVisibleWhatSteersATerminal) {
  const struct {
    std::string_view text, shown;
  } kCases[] = {
      {"Paris, France", "Paris, France"},
      {"\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"},  // OSC 52: sets the clipboard
      {"\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"},
      {"good\rbad", "good\\x0dbad"},  // overwrites the line
      {"a\tb\nc", "a\\x09b\\x0ac"},
      {std::string_view("a\0b", 3), "a\\x00b"},
      {"\x7f", "\\x7f"},
      {"\u009b31m", "\\u{009b}31m"},  // CSI as one C1 character
      {"\u202Etxt.exe\u202C", "\\u{202e}txt.exe\\u{202c}"},
      {"\u2066a\u2069\u200E\u200F\u061C", "\\u{2066}a\\u{2069}\\u{200e}\\u{200f}\\u{061c}"},
      {"a\u2028b\u2029", "a\\u{2028}b\\u{2029}"},
      {"\xff", "\\xff"},
      {"\x9b", "\\x9b"},                             // a bare C1 byte is no UTF-8
      {"\xc0\xaf", "\\xc0\\xaf"},                    // overlong
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // beyond U+10FFFF
      {"ab\xe6\x9d", "ab\\xe6\\x9d"},                // cut off
      {"C:\\x1b", "C:\\x1b"},                        // to be read, not decoded
      {"東京 مرحبا 🗼 می\u200Cخواهم", "東京 مرحبا 🗼 می\u200Cخواهم"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Printable(c.text), c.shown);
}

// Whatever comes in, what goes out is UTF-8 without controls, and text without them is left alone.
TEST(PrintableTest, RandomBytesLeaveNothingThatSteers) {
  std::mt19937 random(7);
  simdjson::dom::parser parser;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 == 0 ? 0xC2 + random() % 0x32 : random());
    const std::string shown = Printable(bytes);
    for (const char c : shown) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f);
    EXPECT_TRUE(simdjson::validate_utf8(shown));
    for (const std::string_view steering : {"\u0080", "\u009b", "\u202e", "\u2067", "\u2028", "\u200f"}) {
      EXPECT_EQ(shown.find(steering), std::string::npos);
    }
    EXPECT_EQ(Printable(shown), shown);
  }
}

TEST(TruncatedTest, EndsInAnEllipsisThatFits) {
  EXPECT_EQ(Truncated("Paris", 5), "Paris");
  EXPECT_EQ(Truncated("Paris", 4), "Par…");
  EXPECT_EQ(Truncated("Paris", 1), "…");
  EXPECT_EQ(Truncated("東京都", 6), "東京都");
  EXPECT_EQ(Truncated("東京都", 5), "東京…");
  EXPECT_EQ(Truncated("東京都", 4), "東…");                  // a half character is none
  EXPECT_EQ(Truncated("ab👨‍👩‍👧cd", 4), "ab…");  // a joined emoji stays whole
  EXPECT_EQ(Truncated("e\u0301e\u0301e\u0301", 2), "e\u0301…");
  EXPECT_EQ(Truncated("", 3), "");
}

TEST(TruncatedTest, NeverIsWiderThanAsked) {
  std::mt19937 random(11);
  constexpr std::string_view kPieces[] = {"a",      "東", "👍🏽", "❤️", "e\u0301", "🇫🇷",
                                          "\u200d", "م",  "\xff",     "\uFE0F", "🇩"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t n = random() % 12; n > 0; --n) text += kPieces[random() % std::size(kPieces)];
    const size_t columns = 1 + random() % 14;
    const std::string cut = Truncated(text, columns);
    EXPECT_LE(DisplayWidth(cut), columns) << text;
    if (DisplayWidth(text) <= columns) {
      EXPECT_EQ(cut, text);
    }
  }
}

TEST(HasRightToLeftTest, KnowsTheScripts) {
  EXPECT_TRUE(HasRightToLeft("in القاهرة"));
  EXPECT_TRUE(HasRightToLeft("תל אביב"));
  EXPECT_FALSE(HasRightToLeft("Αθήνα, 東京, Москва 🗼"));
}

TEST(JsonStringTest, EscapesWhatJsonForbidsAndWhatSteers) {
  EXPECT_EQ(Json("Paris"), R"("Paris")");
  EXPECT_EQ(Json("a\"b\\c/"), R"("a\"b\\c/")");
  EXPECT_EQ(Json(std::string_view("\0\n\r\t\x1b", 5)), R"("\u0000\n\r\t\u001b")");
  EXPECT_EQ(Json("\x7f\u009b\u202e\u2028"), R"("\u007f\u009b\u202e\u2028")");
  EXPECT_EQ(Json("東京🗼"), R"("東京🗼")");
  EXPECT_EQ(Json("a\xff\xe6\x9d"
                 "b\xed\xa0\x80"),
            "\"a\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFD\"");
}

// Valid JSON for any bytes; and what was UTF-8 comes back unchanged.
TEST(JsonStringTest, RandomBytesParseAgain) {
  std::mt19937 random(13);
  simdjson::dom::parser parser;
  size_t unchanged = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string bytes(random() % 30, '\0');
    for (char& c : bytes) c = static_cast<char>(round % 2 == 0 ? random() % 128 : random());
    std::string_view parsed;
    ASSERT_EQ(parser.parse("{\"k\":" + Json(bytes) + "}").at_key("k").get(parsed), simdjson::SUCCESS)
        << Json(bytes);
    if (!simdjson::validate_utf8(bytes)) continue;
    EXPECT_EQ(parsed, bytes);
    ++unchanged;
  }
  EXPECT_GT(unchanged, 2000u);
}

TEST(CsvFieldTest, QuotesOnlyWhereNeeded) {
  EXPECT_EQ(Csv("Paris"), "Paris");
  EXPECT_EQ(Csv(" a;b\t'c' "), " a;b\t'c' ");
  EXPECT_EQ(Csv("Paris, France"), "\"Paris, France\"");
  EXPECT_EQ(Csv("the \"City\""), "\"the \"\"City\"\"\"");
  EXPECT_EQ(Csv("a\nb"), "\"a\nb\"");
  EXPECT_EQ(Csv("a\rb"), "\"a\rb\"");
  EXPECT_EQ(Csv(""), "");
}

TEST(IsoTimeTest, AnyMillisecondOfInt64) {
  EXPECT_EQ(IsoTime(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(IsoTime(1'430'429'640'000), "2015-04-30T21:34:00.000Z");
  EXPECT_EQ(IsoTime(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(IsoTime(-30'000), "1969-12-31T23:59:30.000Z");
  EXPECT_EQ(IsoTime(951'782'400'000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(IsoTime(4'107'542'400'000), "2100-03-01T00:00:00.000Z");  // 2100 is no leap year
  EXPECT_EQ(IsoTime(253'402'300'799'999), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(IsoTime(253'402'300'800'000), "+010000-01-01T00:00:00.000Z");
  EXPECT_EQ(IsoTime(-62'167'219'200'000), "0000-01-01T00:00:00.000Z");
  EXPECT_EQ(IsoTime(-62'167'219'200'001), "-000001-12-31T23:59:59.999Z");
  EXPECT_EQ(IsoTime(std::numeric_limits<int64_t>::max()), "+292278994-08-17T07:12:55.807Z");
  EXPECT_EQ(IsoTime(std::numeric_limits<int64_t>::min()), "-292275055-05-16T16:47:04.192Z");
}

// Every day of 800 years follows the one before, by the rules a school-child knows.
TEST(IsoTimeTest, DaysFollowEachOther) {
  int year = 1600, month = 1, day = 1;
  for (int64_t n = -135'140; n < -135'140 + 292'194; ++n) {
    ASSERT_EQ(IsoTime(n * 86'400'000), fmt::format("{:04}-{:02}-{:02}T00:00:00.000Z", year, month, day));
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int days = month == 2                                                ? (leap ? 29 : 28)
                     : (month == 4 || month == 6 || month == 9 || month == 11) ? 30
                                                                               : 31;
    if (++day > days) day = 1, ++month;
    if (month > 12) month = 1, ++year;
  }
  EXPECT_EQ(year, 2400);
}

TEST(ReadableTimeTest, LeavesOutWholeSeconds) {
  EXPECT_EQ(ReadableTime(1'430'429'640'000), "2015-04-30 21:34:00");
  EXPECT_EQ(ReadableTime(1'430'429'640'250), "2015-04-30 21:34:00.250");
}

TEST(WithThousandsTest, Groups) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1000), "1,000");
  EXPECT_EQ(WithThousands(-123), "-123");
  EXPECT_EQ(WithThousands(-1234567), "-1,234,567");
  EXPECT_EQ(WithThousands(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace weir
