#include "engine/window/watermark.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

// docs/reference.md, "Windows and time", word by word, from scratch for each prefix.
std::optional<int64_t> FirstRule(std::vector<int64_t> times, int64_t max_jump) {
  std::sort(times.begin(), times.end());
  const int64_t m = times[(times.size() + 1) / 2 - 1];  // the ⌈n/2⌉-th smallest: of 16 the 8th
  std::optional<int64_t> top;
  for (int64_t t : times)
    if (max_jump == kForever || t <= m + max_jump) top = t;
  return top;
}

std::optional<int64_t> Top(const std::vector<int64_t>& times, int64_t max_jump) {
  if (times.size() < 16) return std::nullopt;
  int64_t top = *FirstRule({times.begin(), times.begin() + 16}, max_jump);
  std::vector<int64_t> candidates;
  for (size_t i = 16; i < times.size(); ++i) {
    if (max_jump == kForever || times[i] <= top + max_jump) {
      top = std::max(top, times[i]);
      candidates.clear();
      continue;
    }
    candidates.push_back(times[i]);
    if (candidates.size() == 16) {
      top = *std::min_element(candidates.begin(), candidates.end());
      candidates.clear();
    }
  }
  return top;
}

void Feed(PartitionWatermark& watermark, int64_t time, int count) {
  for (int i = 0; i < count; ++i) watermark.Observe(time);
}

TEST(PartitionWatermarkTest, NoneBeforeTheSixteenthRecord) {
  PartitionWatermark watermark(10, 1000);
  Feed(watermark, 500, 15);
  EXPECT_EQ(watermark.watermark(), kNoWatermark);
  watermark.Observe(500);
  EXPECT_EQ(watermark.watermark(), 490);
}

// One absurd date among the first sixteen must not make all honest records late.
TEST(PartitionWatermarkTest, AnOutlierAmongTheFirstDoesNotCount) {
  PartitionWatermark watermark(0, 1000);
  Feed(watermark, 100, 14);
  watermark.Observe(1'000'000);  // beyond the 8th smallest + max jump
  watermark.Observe(1'100);      // exactly at it
  EXPECT_EQ(watermark.watermark(), 1'100);
}

TEST(PartitionWatermarkTest, ALeapIsFollowedAfterSixteenCandidatesInARow) {
  PartitionWatermark watermark(0, 1000);
  Feed(watermark, 100, 16);
  Feed(watermark, 50'000, 15);
  EXPECT_EQ(watermark.watermark(), 100) << "fifteen do not confirm it";
  watermark.Observe(101);  // an honest one in between: all candidates are forgotten
  Feed(watermark, 50'000, 15);
  EXPECT_EQ(watermark.watermark(), 101);
  watermark.Observe(49'000);
  EXPECT_EQ(watermark.watermark(), 49'000) << "the least of the sixteen";
}

TEST(PartitionWatermarkTest, AJumpOfExactlyMaxJumpIsTakenAtOnce) {
  PartitionWatermark watermark(0, 1000);
  Feed(watermark, 100, 16);
  watermark.Observe(1'101);
  EXPECT_EQ(watermark.watermark(), 100);
  watermark.Observe(1'100);
  EXPECT_EQ(watermark.watermark(), 1'100);
}

TEST(PartitionWatermarkTest, OlderRecordsNeverTakeItBack) {
  PartitionWatermark watermark(0, 1000);
  Feed(watermark, 5'000, 16);
  Feed(watermark, -5'000, 100);
  EXPECT_EQ(watermark.watermark(), 5'000);
}

// A partition that falls silent with fewer than sixteen records has come somewhere all the same.
TEST(PartitionWatermarkTest, SilentWithFewRecordsTheMedianRuleHolds) {
  PartitionWatermark watermark(5, 10);
  EXPECT_EQ(watermark.SilentWatermark(), kNoWatermark);
  watermark.Observe(100);
  EXPECT_EQ(watermark.SilentWatermark(), 95);
  watermark.Observe(105);  // m = 100, so up to 110
  EXPECT_EQ(watermark.SilentWatermark(), 100);
  watermark.Observe(900);  // m = 105, so up to 115
  EXPECT_EQ(watermark.SilentWatermark(), 100);
  EXPECT_EQ(watermark.watermark(), kNoWatermark);
}

TEST(PartitionWatermarkTest, AnInfiniteDelayNeverHasAWatermark) {
  PartitionWatermark watermark(kForever, kForever);
  Feed(watermark, 100, 40);
  EXPECT_EQ(watermark.watermark(), kNoWatermark);
  EXPECT_EQ(watermark.SilentWatermark(), kNoWatermark);
}

TEST(PartitionWatermarkTest, TheGreatestTimesDoNotOverflow) {
  PartitionWatermark watermark(kForever - 1, kForever - 1);
  Feed(watermark, -kMaxEventTime, 16);
  Feed(watermark, kMaxEventTime, 16);
  EXPECT_LE(watermark.watermark(), kMaxEventTime);
}

TEST(PartitionWatermarkTest, RestoreRefusesWhatSaveDidNotWrite) {
  PartitionWatermark watermark(0, 1000);
  Feed(watermark, 100, 16);
  const std::string saved = watermark.Save();
  EXPECT_FALSE(watermark.Restore(""));
  EXPECT_FALSE(watermark.Restore(saved.substr(1)));
  EXPECT_FALSE(watermark.Restore(saved + "x"));
  EXPECT_FALSE(watermark.Restore(std::string(saved.size(), '\xff')));
  EXPECT_EQ(watermark.watermark(), 100) << "a refused restore changes nothing";
  EXPECT_EQ(watermark.Save(), saved);
}

// Against the transcription above, on streams with outliers, true leaps, leaps back and equal times. At every step the state
// goes through Save and Restore into another instance that goes on in step.
TEST(PartitionWatermarkTest, AgreesWithTheRuleOnRandomStreams) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const int64_t delay = random() % 50;
    const int64_t max_jump = random() % 8 == 0 ? kForever : random() % 4 == 0 ? 0 : random() % 500;
    PartitionWatermark watermark(delay, max_jump);
    std::vector<int64_t> times;
    int64_t base = static_cast<int64_t>(random() % 2000) - 1000;
    for (size_t n = random() % 150; times.size() < n;) {
      if (random() % 40 == 0) base += static_cast<int64_t>(random() % 4000) - 1000;
      int64_t time = base + static_cast<int64_t>(random() % 60);
      if (random() % 10 == 0) time += static_cast<int64_t>(random() % 100'000) - 50'000;
      base += random() % 5;
      times.push_back(time);

      watermark.Observe(time);
      PartitionWatermark copy(delay, max_jump);
      ASSERT_TRUE(copy.Restore(watermark.Save()));
      const std::optional<int64_t> top = Top(times, max_jump);
      const int64_t expected = top ? *top - delay : kNoWatermark;
      const int64_t silent = top ? expected : *FirstRule(times, max_jump) - delay;
      ASSERT_EQ(watermark.watermark(), expected) << "after " << times.size();
      ASSERT_EQ(watermark.SilentWatermark(), silent);
      ASSERT_EQ(copy.watermark(), expected);
      ASSERT_EQ(copy.SilentWatermark(), silent);
      ASSERT_EQ(copy.Save(), watermark.Save());
      if (random() % 2 == 0) {
        ASSERT_TRUE(watermark.Restore(copy.Save()));
      }
    }
  }
}

}  // namespace
}  // namespace weir
