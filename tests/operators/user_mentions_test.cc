#include "operators/user_mentions.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/operators/harness.h"

namespace weir {
namespace {

constexpr WindowSpec kTen{.window_ms = 10, .slide_ms = 10};

std::string Mentions(const std::vector<std::string>& users) {
  std::string list;
  for (const std::string& user : users) list += (list.empty() ? R"({"screen_name":")" : R"(,{"screen_name":")") + user + "\"}";
  return R"("entities":{"user_mentions":[)" + list + "]}";
}
std::string Tweet(int64_t ms, const std::vector<std::string>& users, const std::string& more = "") {
  return R"({"timestamp_ms":)" + std::to_string(ms) + "," + Mentions(users) + (more.empty() ? "" : "," + more) + "}";
}
std::string Retweet(int64_t ms, const std::vector<std::string>& users, const std::string& status) {
  return Tweet(ms, users, R"("id_str":"own","retweeted_status":{)" + status + "}");
}
std::string Rows(const std::string& weight, const std::vector<std::string>& documents, const WindowSpec& window = kTen) {
  OperatorHarness job(UserMentions(), {{"mention-weight", weight}}, window);
  for (const std::string& document : documents) job.Feed({document});
  job.Finish();
  return job.TakeRows();
}

TEST(UserMentionsTest, ANameMentionedTwiceInOneTweetCountsTwice) {
  EXPECT_EQ(Rows("one", {Tweet(1, {"ana", "Bob", "ANA"}), Tweet(2, {"bob"}), Tweet(3, {})}), R"(
window  user  mentions
[0,10)  ana   2
[0,10)  bob   2
)");
}

TEST(UserMentionsTest, WeightOneIgnoresRetweetCounts) {
  EXPECT_EQ(Rows("one", {Retweet(1, {"ana"}, R"("id_str":"7","retweet_count":10)")}), "\nwindow  user  mentions\n[0,10)  ana   1\n");
}

// What the Spark job does: the running counter is added up again for every retweet seen.
TEST(UserMentionsTest, WeightRetweetsIsTheRetweetCountOrOne) {
  EXPECT_EQ(Rows("retweets", {Retweet(1, {"ana"}, R"("retweet_count":10)"), Retweet(2, {"ana"}, R"("retweet_count":11)"),
                              Retweet(1, {"zero"}, R"("retweet_count":0)"), Retweet(1, {"negative"}, R"("retweet_count":-5)"),
                              Retweet(1, {"text"}, R"("retweet_count":"9")"), Retweet(1, {"fraction"}, R"("retweet_count":9.5)"),
                              Retweet(1, {"huge"}, R"("retweet_count":9223372036854775808)"), Retweet(1, {"none"}, ""),
                              Tweet(1, {"plain"}, R"("retweet_count":9)")}),
            R"(
window  user      mentions
[0,10)  ana       21
[0,10)  fraction  1
[0,10)  huge      1
[0,10)  negative  1
[0,10)  none      1
[0,10)  plain     1
[0,10)  text      1
[0,10)  zero      1
)");
}

TEST(UserMentionsTest, ConformanceTable) {
  EXPECT_EQ(Rows("retweets",
                 {Tweet(2'000, {"a"}), Retweet(7'000, {"b", "c"}, R"("retweet_count":10)"),
                  Retweet(33'000, {"a"}, R"("retweet_count":0)"), Tweet(64'000, {})},
                 {.window_ms = 60'000, .slide_ms = 30'000}),
            R"(
window          user  mentions
[-30000,30000)  a     1
[-30000,30000)  b     10
[-30000,30000)  c     10
[0,60000)       a     2
[0,60000)       b     10
[0,60000)       c     10
[30000,90000)   a     1
)");
}

// The sound "effective mentions": a status counts once, with the greatest counter seen, however often it is retweeted.
TEST(UserMentionsTest, MaxPerStatusTakesTheGreatestCounterOfEachStatusAndUser) {
  EXPECT_EQ(Rows("max-per-status", {Retweet(1, {"ana", "bob"}, R"("id_str":"7","retweet_count":10)"),
                                    Retweet(2, {"ana", "bob"}, R"("id_str":"7","retweet_count":12)"),
                                    Retweet(3, {"ana"}, R"("id_str":"7","retweet_count":11)"),
                                    Retweet(4, {"ana"}, R"("id_str":"8","retweet_count":5)")}),
            R"(
window  user  mentions
[0,10)  ana   17
[0,10)  bob   12
)");
}

// A tweet that is no retweet is its own status, with weight 1; that it comes twice (a redelivery) changes nothing.
TEST(UserMentionsTest, MaxPerStatusOfAPlainTweetIsOnePerStatus) {
  EXPECT_EQ(Rows("max-per-status", {Tweet(1, {"ana", "Ana"}, R"("id_str":"1","retweet_count":9)"), Tweet(1, {"ana"}, R"("id_str":"1")"),
                                    Tweet(2, {"ana"}, R"("id_str":"2")")}),
            "\nwindow  user  mentions\n[0,10)  ana   2\n");
}

// Where the id is missing the record itself is the status; an id that looks like such a name is another.
TEST(UserMentionsTest, MaxPerStatusWithoutAnIdTakesTheRecordItself) {
  EXPECT_EQ(Rows("max-per-status", {Tweet(1, {"ana"}), Tweet(1, {"ana"}), Retweet(1, {"ana"}, R"("retweet_count":5)"),
                                    Tweet(1, {"ana"}, R"("id_str":null)"), Tweet(1, {"ana"}, R"("id_str":"tweets\u00000\u00000")")}),
            "\nwindow  user  mentions\n[0,10)  ana   9\n");
}

// The tweet that was retweeted and its retweets are one status.
TEST(UserMentionsTest, MaxPerStatusJoinsATweetAndItsRetweets) {
  EXPECT_EQ(Rows("max-per-status", {Tweet(1, {"ana"}, R"("id_str":"7")"), Retweet(2, {"ana"}, R"("id_str":"7","retweet_count":3)")}),
            "\nwindow  user  mentions\n[0,10)  ana   3\n");
}

TEST(UserMentionsTest, TheGreatestCounterIsTakenWindowByWindow) {
  EXPECT_EQ(Rows("max-per-status",
                 {Retweet(1, {"ana"}, R"("id_str":"7","retweet_count":30)"), Retweet(6, {"ana"}, R"("id_str":"7","retweet_count":12)"),
                  Retweet(11, {"ana"}, R"("id_str":"7","retweet_count":4)")},
                 {.window_ms = 10, .slide_ms = 5}),
            R"(
window   user  mentions
[-5,5)   ana   30
[0,10)   ana   30
[5,15)   ana   12
[10,20)  ana   4
)");
}

TEST(UserMentionsTest, TheExtendedTweetsListReplacesTheOther) {
  EXPECT_EQ(Rows("one", {Tweet(1, {"ana"}, R"("extended_tweet":{)" + Mentions({"ana", "bob"}) + "}"),
                         Tweet(1, {"carl"}, R"("extended_tweet":{})")}),
            R"(
window  user  mentions
[0,10)  ana   1
[0,10)  bob   1
[0,10)  carl  1
)");
}

}  // namespace
}  // namespace weir
