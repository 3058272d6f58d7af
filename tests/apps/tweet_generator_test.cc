#include "apps/tweet_generator.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace weir {
namespace {

using Size = TweetGeneratorOptions::Size;

std::vector<std::string> Generate(const TweetGeneratorOptions& options,
                                  TweetGenerator::Counts* counts = nullptr) {
  auto generator = TweetGenerator::Create(options);
  EXPECT_TRUE(generator.ok()) << generator.status();
  std::vector<std::string> lines;
  if (!generator.ok()) return lines;
  for (std::string line; (*generator)->Next(line);) lines.push_back(line);
  if (counts != nullptr) *counts = (*generator)->counts();
  return lines;
}

TweetGeneratorOptions Thousand(Size size) {
  TweetGeneratorOptions options;
  options.seed = 7;
  options.count = 1'000;
  options.size = size;
  return options;
}

TweetGeneratorOptions WithEverything(Size size) {
  TweetGeneratorOptions options = Thousand(size);
  options.disorder_ms = 2'000;
  options.invalid = options.notices = options.late = 0.05;
  options.outliers = options.future = 0.02;
  return options;
}

// FNV-1a over the lines and their ends.
uint64_t Hash(const std::vector<std::string>& lines) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](char c) { hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3; };
  for (const std::string& line : lines) {
    for (char c : line) add(c);
    add('\n');
  }
  return hash;
}

class Json {  // one parsed line
 public:
  explicit Json(const std::string& line) { error_ = parser_.parse(line).get(root_); }
  bool valid() const { return error_ == simdjson::SUCCESS; }
  std::string Text(std::string_view pointer) const {
    std::string_view text;
    return root_.at_pointer(pointer).get(text) == simdjson::SUCCESS ? std::string(text) : "(absent)";
  }
  bool Has(std::string_view pointer) const { return root_.at_pointer(pointer).error() == simdjson::SUCCESS; }
  int64_t Number(std::string_view pointer) const {
    int64_t value = -1;
    return root_.at_pointer(pointer).get(value) == simdjson::SUCCESS ? value : -1;
  }
  std::vector<simdjson::dom::element> Items(std::string_view pointer) const {
    simdjson::dom::array array;
    std::vector<simdjson::dom::element> items;
    if (root_.at_pointer(pointer).get(array) != simdjson::SUCCESS) return items;
    for (simdjson::dom::element item : array) items.push_back(item);
    return items;
  }
  int64_t TimeMs() const { return Has("/timestamp_ms") ? std::stoll(Text("/timestamp_ms")) : -1; }

 private:
  simdjson::dom::parser parser_;
  simdjson::dom::element root_;
  simdjson::error_code error_;
};

// ---- the same bytes

// A change of these numbers changes every corpus that anybody has generated: say so in the release notes.
TEST(TweetGeneratorTest, TheSameOptionsGiveTheSameBytesOnEveryMachine) {
  EXPECT_EQ(Hash(Generate(WithEverything(Size::kFull))), 17080634964889314147u);
  EXPECT_EQ(Hash(Generate(WithEverything(Size::kSmall))), 14214756866123401138u);
}

TEST(TweetGeneratorTest, AnotherSeedGivesOtherTweets) {
  TweetGeneratorOptions other = Thousand(Size::kSmall);
  other.seed = 8;
  EXPECT_NE(Generate(Thousand(Size::kSmall)), Generate(other));
}

// So a corpus can be made longer without changing what is there.
TEST(TweetGeneratorTest, ALongerRunBeginsWithTheShorterOne) {
  TweetGeneratorOptions longer = WithEverything(Size::kSmall);
  longer.count = 1'500;
  std::vector<std::string> lines = Generate(longer);
  ASSERT_EQ(lines.size(), 1'500u);
  lines.resize(1'000);
  EXPECT_EQ(lines, Generate(WithEverything(Size::kSmall)));
}

// Counts over the small corpus are those over the full one.
TEST(TweetGeneratorTest, BothSizesTellOfTheSameEvents) {
  const std::vector<std::string> full = Generate(WithEverything(Size::kFull));
  const std::vector<std::string> small = Generate(WithEverything(Size::kSmall));
  ASSERT_EQ(full.size(), small.size());
  for (size_t i = 0; i < full.size(); ++i) {
    const Json a(full[i]), b(small[i]);
    ASSERT_EQ(a.valid(), b.valid());
    if (!a.valid()) continue;
    for (const char* field : {"/timestamp_ms", "/id_str", "/text", "/user/screen_name", "/user/location",
                              "/lang", "/entities/user_mentions/0/screen_name", "/entities/hashtags/0/text",
                              "/extended_tweet/full_text", "/retweeted_status/id_str"}) {
      ASSERT_EQ(a.Text(field), b.Text(field)) << field << " of\n" << full[i] << "\n" << small[i];
    }
    ASSERT_EQ(a.Number("/retweeted_status/retweet_count"), b.Number("/retweeted_status/retweet_count"));
  }
}

TEST(TweetGeneratorTest, ACountOfNothingIsEmptyAndANegativeOneHasNoEnd) {
  TweetGeneratorOptions options;
  options.count = 0;
  EXPECT_TRUE(Generate(options).empty());
  options.count = -1;
  auto generator = *TweetGenerator::Create(options);
  std::string line;
  for (int i = 0; i < 5'000; ++i) ASSERT_TRUE(generator->Next(line));
}

// ---- kinds of lines

TEST(TweetGeneratorTest, ByDefaultEveryLineIsATweetWithATime) {
  for (Size size : {Size::kFull, Size::kSmall}) {
    for (const std::string& line : Generate(Thousand(size))) {
      const Json json(line);
      ASSERT_TRUE(json.valid()) << line;
      ASSERT_GE(json.TimeMs(), 0) << line;
      ASSERT_TRUE(json.Has("/user/screen_name")) << line;
      ASSERT_EQ(line.find('\n'), std::string::npos);
    }
  }
}

TEST(TweetGeneratorTest, TheSharesAreKeptAndCounted) {
  TweetGeneratorOptions options = WithEverything(Size::kSmall);
  options.count = 20'000;
  TweetGenerator::Counts counts;
  const std::vector<std::string> lines = Generate(options, &counts);
  TweetGenerator::Counts found;
  int64_t top = options.start_ms;
  for (const std::string& line : lines) {
    const Json json(line);
    if (!json.valid()) {
      ++found.invalid;
    } else if (json.TimeMs() < 0) {
      ++found.notices;
      EXPECT_TRUE(json.Has("/delete") || json.Has("/limit")) << line;
    } else if (json.TimeMs() >= 4'070'908'800'000) {
      ++found.future;
    } else if (json.TimeMs() >= options.start_ms + 365LL * 86'400'000) {
      ++found.outliers;
    } else if (json.TimeMs() < top - options.disorder_ms) {
      ++found.late;
    } else {
      ++found.tweets;
      top = std::max(top, json.TimeMs());
    }
  }
  EXPECT_EQ(found.invalid, counts.invalid);
  EXPECT_EQ(found.notices, counts.notices);
  EXPECT_EQ(found.future, counts.future);
  EXPECT_EQ(found.outliers, counts.outliers);
  EXPECT_EQ(found.late, counts.late);
  EXPECT_EQ(found.tweets, counts.tweets);
  EXPECT_NEAR(counts.invalid, 1'000, 150);
  EXPECT_NEAR(counts.notices, 1'000, 150);
  EXPECT_NEAR(counts.late, 1'000, 150);
  EXPECT_NEAR(counts.outliers, 400, 100);
  EXPECT_NEAR(counts.future, 400, 100);
}

TEST(TweetGeneratorTest, EveryDamagedLineIsInvalid) {
  for (Size size : {Size::kFull, Size::kSmall}) {
    TweetGeneratorOptions options = Thousand(size);
    options.invalid = 1;
    for (const std::string& line : Generate(options)) ASSERT_FALSE(Json(line).valid()) << line;
  }
}

// ---- time

TEST(TweetGeneratorTest, WithoutDisorderTimesFollowTheRate) {
  TweetGeneratorOptions options = Thousand(Size::kSmall);
  options.rate = 3;
  options.start_ms = -5'000;  // before the epoch, too
  const std::vector<std::string> lines = Generate(options);
  for (size_t i = 0; i < lines.size(); ++i) {
    ASSERT_EQ(Json(lines[i]).Text("/timestamp_ms"),
              std::to_string(-5'000 + static_cast<int64_t>(i) * 1'000 / 3))
        << i;
  }
}

TEST(TweetGeneratorTest, NoTweetIsFurtherBehindThanTheDisorder) {
  TweetGeneratorOptions options = Thousand(Size::kSmall);
  options.count = 20'000;
  options.disorder_ms = 3'000;
  int64_t top = INT64_MIN, furthest = 0;
  for (const std::string& line : Generate(options)) {
    const int64_t time_ms = Json(line).TimeMs();
    furthest = std::max(furthest, top == INT64_MIN ? 0 : top - time_ms);
    top = std::max(top, time_ms);
    ASSERT_LE(furthest, 3'000) << line;
    ASSERT_GE(time_ms, options.start_ms);
  }
  EXPECT_GT(furthest, 2'000) << "there should be disorder, when asked for";
}

TEST(TweetGeneratorTest, CreatedAtIsTheSecondOfTimestampMs) {
  const auto created_at = [](int64_t start_ms) {
    TweetGeneratorOptions options = Thousand(Size::kSmall);
    options.count = 1;
    options.start_ms = start_ms;
    return Json(Generate(options).at(0)).Text("/created_at");
  };
  EXPECT_EQ(created_at(0), "Thu Jan 01 00:00:00 +0000 1970");
  EXPECT_EQ(created_at(-1), "Wed Dec 31 23:59:59 +0000 1969");
  EXPECT_EQ(created_at(1'219'842'525'999), "Wed Aug 27 13:08:45 +0000 2008");
  EXPECT_EQ(created_at(951'827'696'000), "Tue Feb 29 12:34:56 +0000 2000");
  EXPECT_EQ(created_at(4'107'542'400'000), "Mon Mar 01 00:00:00 +0000 2100");  // 2100 is no leap year
}

// ---- what is in a tweet

TEST(TweetGeneratorTest, SizesAreThoseOfRealTweets) {
  const auto mean = [](Size size) {
    size_t bytes = 0;
    for (const std::string& line : Generate(Thousand(size))) bytes += line.size();
    return bytes / 1'000;
  };
  EXPECT_GE(mean(Size::kFull), 2'500u);
  EXPECT_LE(mean(Size::kFull), 3'500u);
  EXPECT_GE(mean(Size::kSmall), 250u);
  EXPECT_LE(mean(Size::kSmall), 400u);
}

TEST(TweetGeneratorTest, IdsAreUniqueAndBeyondDoubles) {
  std::set<std::string> ids;
  for (const std::string& line : Generate(Thousand(Size::kFull))) {
    const Json json(line);
    EXPECT_EQ(std::to_string(json.Number("/id")), json.Text("/id_str"));
    EXPECT_GT(json.Number("/id"), int64_t{1} << 53);
    EXPECT_TRUE(ids.insert(json.Text("/id_str")).second) << line;
  }
}

// Code points [begin, end) of UTF-8.
std::string Slice(std::string_view text, int64_t begin, int64_t end) {
  std::string slice;
  int64_t at = -1;
  for (char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++at;
    if (at >= begin && at < end) slice += c;
  }
  return slice;
}

// Entities point at what they name, in code points, also behind emoji and in the long form of a truncated
// tweet.
TEST(TweetGeneratorTest, EntitiesAreWhereTheTextHasThem) {
  TweetGeneratorOptions options = Thousand(Size::kFull);
  options.count = 5'000;
  int mentions = 0, hashtags = 0, urls = 0, extended = 0;
  for (const std::string& line : Generate(options)) {
    const Json json(line);
    const auto check = [&](const std::string& entities, const std::string& text, const char* list,
                           const char* field, const std::string& sign, int& count) {
      for (simdjson::dom::element item : json.Items(entities + list)) {
        std::string_view name;
        ASSERT_EQ(item[field].get(name), simdjson::SUCCESS);
        ASSERT_EQ(Slice(text, int64_t(item["indices"].at(0)), int64_t(item["indices"].at(1))),
                  sign + std::string(name))
            << line;
        ++count;
      }
    };
    for (const auto& [entities, text] : {std::pair<std::string, std::string>{"/entities", "/text"},
                                         {"/extended_tweet/entities", "/extended_tweet/full_text"},
                                         {"/retweeted_status/entities", "/retweeted_status/text"}}) {
      if (!json.Has(text)) continue;
      check(entities, json.Text(text), "/user_mentions", "screen_name", "@", mentions);
      check(entities, json.Text(text), "/hashtags", "text", "#", hashtags);
      check(entities, json.Text(text), "/urls", "url", "", urls);
    }
    extended += json.Has("/extended_tweet");
  }
  EXPECT_GT(mentions, 3'000);
  EXPECT_GT(hashtags, 1'000);
  EXPECT_GT(urls, 1'000);
  EXPECT_GT(extended, 50);
}

// What user_mentions weighs: a retweet names the retweeted author, and its count never goes back.
TEST(TweetGeneratorTest, RetweetsNameTheirAuthorAndCountOn) {
  TweetGeneratorOptions options = Thousand(Size::kFull);
  options.count = 10'000;
  std::map<std::string, int64_t> counts;
  std::map<std::string, std::string> texts;
  int retweets = 0, seen_again = 0, fresh = 0;
  for (const std::string& line : Generate(options)) {
    const Json json(line);
    if (!json.Has("/retweeted_status")) continue;
    ++retweets;
    EXPECT_EQ(json.Text("/entities/user_mentions/0/screen_name"),
              json.Text("/retweeted_status/user/screen_name"));
    const std::string status = json.Text("/retweeted_status/id_str");
    const int64_t count = json.Number("/retweeted_status/retweet_count");
    fresh += count == 0;
    if (auto it = counts.find(status); it != counts.end()) {
      ++seen_again;
      EXPECT_GT(count, it->second) << line;
      EXPECT_EQ(json.Text("/retweeted_status/text"), texts[status]) << line;
    }
    counts[status] = count;
    texts[status] = json.Text("/retweeted_status/text");
  }
  EXPECT_NEAR(retweets, 2'700, 300);
  EXPECT_GT(seen_again, 500);
  EXPECT_GT(fresh, 50) << "a count of 0 weighs 1: it must occur";
}

// The quirks that make keys hard are there, and frequent keys dominate.
TEST(TweetGeneratorTest, KeysAreSkewedAndQuirky) {
  TweetGeneratorOptions options = Thousand(Size::kSmall);
  options.count = 50'000;
  std::map<std::string, int> locations;
  std::set<std::string> users, folded;
  int null_location = 0, escaped = 0, raw = 0, user_last = 0;
  for (const std::string& line : Generate(options)) {
    const Json json(line);
    if (json.Has("/user/location") && json.Text("/user/location") == "(absent)") ++null_location;
    ++locations[json.Text("/user/location")];
    escaped += line.find("\\u") != std::string::npos;
    raw +=
        std::any_of(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    user_last += line.find("\"user\"") > line.find("\"lang\"");
    for (simdjson::dom::element item : json.Items("/entities/user_mentions")) {
      std::string name{std::string_view(item["screen_name"])};
      users.insert(name);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      folded.insert(name);
    }
  }
  EXPECT_GT(null_location, 4'000);
  EXPECT_GT(locations[""], 10'000);
  EXPECT_GT(locations["  Paris "], 100) << "white space to trim";
  EXPECT_GT(locations["東京"], 100);
  EXPECT_GT(locations["London, UK"], 2 * locations["Los Angeles, CA"]) << "rank 1 against rank 8";
  EXPECT_GT(locations.size(), 3'000u);
  EXPECT_GT(escaped, 10'000);
  EXPECT_GT(raw, 5'000);
  EXPECT_NEAR(user_last, 5'000, 500);
  EXPECT_GT(folded.size(), 5'000u);
  EXPECT_GT(users.size(), folded.size() + 300) << "one user in several spellings";
}

TEST(TweetGeneratorTest, ValuesOutOfRangeAreNamed) {
  const auto error = [](auto change) {
    TweetGeneratorOptions options;
    change(options);
    const absl::Status status = TweetGenerator::Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(error([](auto& o) { o.rate = 0; }).find("--rate 0"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.disorder_ms = -1; }).find("--disorder -1"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.invalid = 1.5; }).find("invalid 1.5"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.late = o.future = 0.6; }).find("1.2"), std::string::npos);
}

}  // namespace
}  // namespace weir
