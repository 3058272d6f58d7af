#include "operators/tweets_by_location.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/operators/harness.h"

namespace weir {
namespace {

constexpr WindowSpec kTenByFive{.window_ms = 10'000, .slide_ms = 5'000};
constexpr WindowSpec kTen{.window_ms = 10, .slide_ms = 10};

std::string At(int64_t ms, const std::string& location) {
  return R"({"timestamp_ms":")" + std::to_string(ms) + R"(","user":{"location":)" + location + "}}";
}

// Windows are [start, end): a record on an edge belongs to the window it opens, not to the one it closes.
TEST(TweetsByLocationTest, RecordOnTheEdgeCountsInTheLaterWindow) {
  OperatorHarness job(TweetsByLocation(), {}, kTenByFive);
  job.Feed({At(9'999, R"("Oslo")"), At(10'000, R"("Oslo")")});
  job.AdvanceWatermark(15'000);
  EXPECT_EQ(job.TakeRows(), R"(
window        location  tweets
[0,10000)     Oslo      1
[5000,15000)  Oslo      2
)");
}

TEST(TweetsByLocationTest, ATweetWithoutAPlaceCountsForNoKey) {
  OperatorHarness job(TweetsByLocation(), {}, kTen);
  job.Feed({At(1, "null"), At(1, R"("")"), At(1, R"("  \t\r\n ")"), At(1, "7"), At(1, R"(["Oslo"])"), R"({"timestamp_ms":1})",
            R"({"timestamp_ms":1,"user":null})", At(1, R"("Oslo")")});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  location  tweets
[0,10)  Oslo      1
)");
}

// Only ASCII white space around the place goes: U+00A0 and inner blanks are part of it, and so is the case of letters.
TEST(TweetsByLocationTest, SurroundingAsciiWhiteSpaceIsTrimmedAndAllElseKept) {
  OperatorHarness job(TweetsByLocation(), {}, kTen);
  job.Feed({At(1, R"(" Oslo ")"), At(1, R"("\tOslo\n\f\u000b")"), At(1, R"("oslo")"), At(1, R"("New  York")"),
            At(1, R"("\u00a0Oslo")"), At(1, R"("東京")"), At(1, R"("\u6771\u4eac")")});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), "\n"
                            "window  location   tweets\n"
                            "[0,10)  New  York  1\n"
                            "[0,10)  Oslo       2\n"
                            "[0,10)  oslo       1\n"
                            "[0,10)  \u00a0Oslo     1\n"
                            "[0,10)  東京     2\n");
}

TEST(TweetsByLocationTest, CasefoldFoldsAsciiOnly) {
  OperatorHarness job(TweetsByLocation(), {{"normalize", "casefold"}}, kTen);
  job.Feed({At(1, R"("OSLO")"), At(1, R"("Oslo")"), At(1, R"("ÅRHUS")")});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  location  tweets
[0,10)  oslo      2
[0,10)  Århus    1
)");
}

TEST(TweetsByLocationTest, AnotherFieldOrPathMayHoldThePlace) {
  const std::string doc = R"({"timestamp_ms":1,"lang":"no","place":{"country_code":"NO"},"user":{"location":"Oslo"}})";
  OperatorHarness by_path(TweetsByLocation(), {{"location-field", "place.country_code"}}, kTen);
  by_path.Feed({doc});
  by_path.Finish();
  EXPECT_EQ(by_path.TakeRows(), "\nwindow  location  tweets\n[0,10)  NO        1\n");
  OperatorHarness by_field(TweetsByLocation(), {{"location-field", "lang"}}, kTen);
  by_field.Feed({doc});
  by_field.Finish();
  EXPECT_EQ(by_field.TakeRows(), "\nwindow  location  tweets\n[0,10)  no        1\n");
}

// docs/reference.md, conformance: window 60 s, slide 30 s, two workers' shares and negative window starts.
TEST(TweetsByLocationTest, ConformanceTable) {
  OperatorHarness job(TweetsByLocation(), {}, {.window_ms = 60'000, .slide_ms = 30'000});
  job.Feed({At(2'000, R"("Paris")")});
  job.Feed({At(7'000, R"("Paris")"), At(33'000, "null")});
  job.Feed({At(64'000, R"("Oslo")")});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window          location  tweets
[-30000,30000)  Paris     2
[0,60000)       Paris     2
[30000,90000)   Oslo      1
[60000,120000)  Oslo      1
)");
}

TEST(TweetsByLocationTest, AFormatWithoutThePlaceIsRefusedByName) {
  JobOptions options;
  options.format = Json();
  options.format.times = {{"t", TimeEncoding::kAuto}};
  const auto op = TweetsByLocation().make({{"location-field", "location"}, {"normalize", "none"}});
  ASSERT_TRUE(op.ok());
  const auto plan = PlanColumns(options, {*op});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(plan.status().message()).find("\"location\""), std::string::npos) << plan.status();
}

}  // namespace
}  // namespace weir
