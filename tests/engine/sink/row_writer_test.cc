#include "engine/sink/row_writer.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "simdjson.h"

namespace weir {
namespace {

constexpr int64_t kStart = 1'430'429'610'000;  // 2015-04-30 21:33:30
const OperatorColumns kLocations = {"tweets_by_location", "location", "tweets"};
const OperatorColumns kMentions = {"user_mentions", "user", "mentions"};

ClosedWindow Window(const std::vector<std::pair<std::string, int64_t>>& rows) {
  ClosedWindow window = {.op = 0,
                         .start_ms = kStart,
                         .end_ms = kStart + 60'000,
                         .revision = 0,
                         .records = 0,
                         .keys = 0,
                         .rows = {}};
  for (const auto& [key, value] : rows) window.rows.Add(key, value);
  window.keys = static_cast<int64_t>(rows.size());
  return window;
}

std::string Written(const RowWriterOptions& options, const std::vector<ClosedWindow>& windows,
                    std::vector<OperatorColumns> operators = {kLocations}) {
  absl::StatusOr<RowWriter> writer = RowWriter::Make(std::move(operators), options);
  if (!writer.ok()) return writer.status().ToString();
  std::string out;
  for (const ClosedWindow& window : windows) writer->Write(window, out);
  return out;
}

TEST(RowWriterTest, TableShowsTheFirstRanksAligned) {
  EXPECT_EQ(
      Written({.format = RowFormat::kTable, .show = 4},
              {Window({{"Paris", 1023}, {"Oslo", 7}, {"東京", 12}, {"Rio 🌴", 190}, {"Ulm", 1}, {"Ûlm", 1}})}),
      "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  1,234 tweets, 6 locations\n"
      "  Paris   1,023\n"
      "  Rio 🌴    190\n"
      "  東京       12\n"
      "  Oslo        7\n"
      "  … and 2 more\n");
}

TEST(RowWriterTest, TableShowsHostileKeysAsText) {
  EXPECT_EQ(
      Written(
          {.format = RowFormat::kTable},
          {Window({{"\x1b]52;c;eA==\x07", 5}, {"a\rb", 4}, {"\u202Egnp.exe", 3}, {"\xff", 2}, {"مصر", 1}})}),
      "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  15 tweets, 5 locations\n"
      "  \\x1b]52;c;eA==\\x07  5\n"
      "  a\\x0db              4\n"
      "  \\u{202e}gnp.exe     3\n"
      "  \\xff                2\n"
      "  مصر                 1\n");
}

// Names come from strangers too, when somebody else's results file is queried.
TEST(RowWriterTest, NamesThatCouldSteerATerminalAreMadeVisible) {
  const OperatorColumns hostile = {"t\x1b[2J", "k\x1b[2J", "v\x1b[2J"};
  EXPECT_EQ(Written({.format = RowFormat::kTable, .terminal = true}, {Window({{"a", 2}})}, {hostile}),
            "t\\x1b[2J  [2015-04-30 21:33:30 .. 21:34:30) UTC  2 v\\x1b[2Js, 1 k\\x1b[2J\n"
            "  a  2\n");
  EXPECT_EQ(Written({.format = RowFormat::kCsv, .terminal = true}, {Window({{"\x1b", 2}})}, {hostile}),
            "window_start,window_end,k\\x1b[2J,v\\x1b[2J\n1430429610000,1430429670000,\\x1b,2\n");
  EXPECT_EQ(Written({.format = RowFormat::kCsv}, {Window({{"\x1b", 2}})}, {hostile}),
            "window_start,window_end,k\x1b[2J,v\x1b[2J\n1430429610000,1430429670000,\x1b,2\n")
      << "a file or a program gets them as they are";
}

// Without the isolates a terminal that orders by script would move the number to the other side of the key.
TEST(RowWriterTest, OnATerminalRightToLeftKeysAreIsolated) {
  EXPECT_EQ(Written({.format = RowFormat::kTable, .terminal = true}, {Window({{"مصر", 20}, {"Oslo", 3}})}),
            "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  23 tweets, 2 locations\n"
            "  \u2068مصر\u2069   20\n"
            "  Oslo   3\n");
}

TEST(RowWriterTest, LongKeysAreCut) {
  EXPECT_EQ(Written({.format = RowFormat::kTable}, {Window({{std::string(100, 'k'), 2}})}),
            "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  2 tweets, 1 location\n"
            "  " +
                std::string(47, 'k') + "…  2\n");
}

TEST(RowWriterTest, TitlesSayWhatIsSpecial) {
  ClosedWindow corrected = Window({{"Paris", 1}});
  corrected.revision = 2;
  corrected.start_ms = -30'000;
  corrected.end_ms = 30'000;
  ClosedWindow cut = Window({{"ana", 5}, {"bo", 4}});
  cut.op = 1;
  cut.keys = 4321;
  EXPECT_EQ(Written({.format = RowFormat::kTable}, {corrected, cut}, {kLocations, kMentions}),
            "tweets_by_location  [1969-12-31 23:59:30 .. 1970-01-01 00:00:30) UTC  1 tweet, 1 location  "
            "corrected, revision 2\n"
            "  Paris  1\n"
            "\n"
            "user_mentions  [2015-04-30 21:33:30 .. 21:34:30) UTC  9 mentions in the top 2 of 4,321 users\n"
            "  ana  5\n"
            "  bo   4\n");
}

TEST(RowWriterTest, ColourOnlyWhenAsked) {
  const std::vector<ClosedWindow> windows = {Window({{"a", 2}, {"b", 1}})};
  EXPECT_EQ(Written({.format = RowFormat::kTable, .show = 1, .terminal = true}, windows).find('\x1b'),
            std::string::npos);
  EXPECT_EQ(Written({.format = RowFormat::kTable, .show = 1, .color = true}, windows),
            "\x1b[1mtweets_by_location\x1b[0m  [2015-04-30 21:33:30 .. 21:34:30) UTC  3 tweets, 2 locations\n"
            "  a  2\n"
            "  \x1b[2m… and 1 more\x1b[0m\n");
}

TEST(RowWriterTest, TotalsThatMakeNoSenseAreLeftOut) {
  OperatorColumns maxima = {"longest", "user", "length", /*value_adds_up=*/false};
  EXPECT_EQ(Written({.format = RowFormat::kTable}, {Window({{"a", 2}, {"b", 1}})}, {maxima}),
            "longest  [2015-04-30 21:33:30 .. 21:34:30) UTC  2 users\n  a  2\n  b  1\n");
  EXPECT_EQ(Written({.format = RowFormat::kTable}, {Window({{"a", INT64_MAX}, {"b", 1}})}),
            "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  2 locations\n"
            "  a  9,223,372,036,854,775,807\n  b                          1\n");
}

TEST(RowWriterTest, JsonlHasTheColumnsOperatorAndRevision) {
  ClosedWindow mentions = Window({{"ana", -3}});
  mentions.op = 1;
  mentions.revision = 1;
  EXPECT_EQ(
      Written({.format = RowFormat::kJsonl}, {Window({{"Oslo", 1}, {"Paris", 2}}), mentions},
              {kLocations, kMentions}),
      R"({"operator":"tweets_by_location","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":0,"location":"Paris","tweets":2})"
      "\n"
      R"({"operator":"tweets_by_location","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":0,"location":"Oslo","tweets":1})"
      "\n"
      R"({"operator":"user_mentions","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":1,"user":"ana","mentions":-3})"
      "\n");
}

TEST(RowWriterTest, JsonlIsOneDocumentPerLineForAnyKey) {
  std::mt19937 random(3);
  ClosedWindow window = Window({});
  for (int i = 0; i < 500; ++i) {
    std::string key(random() % 20, '\0');
    for (char& c : key) c = static_cast<char>(random());
    window.rows.Add(key, 500 - i);
  }
  const std::string out = Written({.format = RowFormat::kJsonl}, {window});
  simdjson::dom::parser parser;
  int64_t expected = 500;
  for (size_t at = 0; at < out.size(); --expected) {
    const size_t end = out.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    int64_t tweets = 0;
    std::string_view location;
    simdjson::dom::element row;
    ASSERT_EQ(parser.parse(out.data() + at, end - at).get(row), simdjson::SUCCESS);
    ASSERT_EQ(row["tweets"].get(tweets), simdjson::SUCCESS);
    ASSERT_EQ(row["location"].get(location), simdjson::SUCCESS);
    EXPECT_EQ(tweets, expected);
    at = end + 1;
  }
  EXPECT_EQ(expected, 0);
}

TEST(RowWriterTest, CsvHasOneHeaderAndTheTablesColumns) {
  EXPECT_EQ(
      Written({.format = RowFormat::kCsv}, {Window({{"Oslo", 1}, {"Paris, TX", 2}}), Window({{"a\"b", 1}})}),
      "window_start,window_end,location,tweets\n"
      "1430429610000,1430429670000,\"Paris, TX\",2\n"
      "1430429610000,1430429670000,Oslo,1\n"
      "1430429610000,1430429670000,\"a\"\"b\",1\n");
}

// The fields of one CSV document, read by the grammar of RFC 4180 with LF.
std::vector<std::vector<std::string>> ParseCsv(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  size_t at = 0;
  while (at < text.size()) {
    rows.emplace_back();
    for (char last = ','; last == ',';) {
      std::string field;
      if (text[at] == '"') {
        for (++at;; ++at) {
          if (text[at] == '"' && text[++at] != '"') break;
          field += text[at];
        }
      } else {
        while (text[at] != ',' && text[at] != '\n') field += text[at++];
      }
      rows.back().push_back(field);
      last = text[at++];
    }
  }
  return rows;
}

TEST(RowWriterTest, CsvComesBackUnchanged) {
  std::mt19937 random(5);
  constexpr std::string_view kPieces[] = {"\"", ",", "\n", "\r", "a", " ", "東", "''", ";"};
  ClosedWindow window = Window({});
  std::vector<std::string> keys;
  for (int i = 0; i < 400; ++i) {
    std::string key = "k";
    for (size_t n = random() % 8; n > 0; --n) key += kPieces[random() % std::size(kPieces)];
    if (random() % 4 == 0) key.erase(0, 1);
    keys.push_back(key);
    window.rows.Add(key, 400 - i);
  }
  const auto rows = ParseCsv(Written({.format = RowFormat::kCsv}, {window}));
  ASSERT_EQ(rows.size(), keys.size() + 1);
  for (size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(rows[i + 1].size(), 4u);
    EXPECT_EQ(rows[i + 1][2], keys[i]);
    EXPECT_EQ(rows[i + 1][3], std::to_string(400 - i));
  }
}

TEST(RowWriterTest, CsvOfSeveralOperatorsIsRefused) {
  const absl::StatusOr<RowWriter> writer =
      RowWriter::Make({kLocations, kMentions}, {.format = RowFormat::kCsv});
  EXPECT_EQ(writer.status().code(), absl::StatusCode::kInvalidArgument);
}

// A window larger than memory should hold twice leaves in pieces, and the pieces are the whole.
TEST(RowWriterTest, LargeWindowsAreDrainedInPieces) {
  ClosedWindow window = Window({});
  for (int i = 0; i < 20'000; ++i) window.rows.Add(fmt::format("key{}", 100'000 + i), 1);
  for (const RowFormat format : {RowFormat::kTable, RowFormat::kJsonl, RowFormat::kCsv}) {
    const RowWriterOptions options = {.format = format, .show = 0};
    absl::StatusOr<RowWriter> writer = RowWriter::Make({kLocations}, options);
    ASSERT_TRUE(writer.ok());
    std::string out, whole;
    size_t pieces = 0;
    writer->Write(window, out, [&](std::string& piece) {
      EXPECT_LT(piece.size(), RowWriter::kDrainBytes + 1024);
      whole += piece;
      piece.clear();
      ++pieces;
    });
    EXPECT_GT(pieces, 3u);
    EXPECT_EQ(whole + out, Written(options, {window}));
  }
}

TEST(ParseRowFormatTest, NamesTheChoices) {
  EXPECT_EQ(*ParseRowFormat("jsonl"), RowFormat::kJsonl);
  EXPECT_EQ(*ParseRowFormat("table"), RowFormat::kTable);
  EXPECT_EQ(*ParseRowFormat("csv"), RowFormat::kCsv);
  const absl::Status status = ParseRowFormat("json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "unknown row format \"json\". Use table, jsonl or csv.");
}

}  // namespace
}  // namespace weir
