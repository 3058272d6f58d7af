#include "operators/hashtags.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/operators/harness.h"

namespace weir {
namespace {

constexpr WindowSpec kTen{.window_ms = 10, .slide_ms = 10};

TEST(HashtagsTest, EachOccurrenceCountsFoldedToLowerCase) {
  OperatorHarness job(Hashtags(), {}, kTen);
  job.Feed({R"({"timestamp_ms":1,"entities":{"hashtags":[{"text":"Rain"},{"text":"rain"},{"text":"ÅR"}]}})",
            R"({"timestamp_ms":2,"entities":{"hashtags":[{"text":"RAIN"}]}})", R"({"timestamp_ms":3,"entities":{"hashtags":[]}})",
            R"({"timestamp_ms":3})"});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  hashtag  uses
[0,10)  rain     3
[0,10)  År      1
)");
}

// A long tweet repeats its first 140 characters' entities in `entities`: only one of the two may count.
TEST(HashtagsTest, TheExtendedTweetsListReplacesTheOther) {
  OperatorHarness job(Hashtags(), {}, kTen);
  job.Feed({R"({"timestamp_ms":1,"entities":{"hashtags":[{"text":"a"}]},"extended_tweet":{"entities":{"hashtags":[{"text":"a"},{"text":"b"}]}}})",
            R"({"timestamp_ms":1,"entities":{"hashtags":[{"text":"c"}]},"extended_tweet":{"entities":{"hashtags":[]}}})",
            R"({"timestamp_ms":1,"entities":{"hashtags":[{"text":"d"}]},"extended_tweet":{"entities":{}}})"});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  hashtag  uses
[0,10)  a        1
[0,10)  b        1
[0,10)  d        1
)");
}

}  // namespace
}  // namespace weir
