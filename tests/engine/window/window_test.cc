#include "engine/window/window.h"

#include <random>
#include <set>

#include "gtest/gtest.h"

namespace weir {
namespace {

static_assert(FloorDiv(7, 5) == 1 && FloorDiv(-1, 5) == -1 && FloorDiv(-5, 5) == -1 && FloorDiv(-6, 5) == -2);
static_assert(SaturatingAdd(1, 2) == 3);
static_assert(SaturatingAdd(kForever, -5) == kForever && SaturatingAdd(5, kForever) == kForever);
static_assert(SaturatingAdd(kNoWatermark, 5) == kNoWatermark, "no watermark plus anything is no watermark");
static_assert(SaturatingAdd(INT64_MAX - 1, 5) == kForever && SaturatingAdd(INT64_MIN + 1, -5) == kNoWatermark);

// The contract's own example: 60 s windows every 30 s.
constexpr WindowSpec kMinute{.window_ms = 60'000, .slide_ms = 30'000};
static_assert(kMinute.pane_ms() == 30'000);
static_assert(kMinute.PaneOf(2'000) == 0 && kMinute.PaneOf(-1) == -1 && kMinute.PaneOf(30'000) == 1);
static_assert(kMinute.FirstWindowEnd(0) == 30'000 && kMinute.LastWindowEnd(0) == 60'000, "[-30,30) and [0,60)");
static_assert(kMinute.FirstPane(60'000) == 0 && kMinute.LastPane(60'000) == 1);
static_assert(kMinute.WindowEndAtOrBefore(59'999) == 30'000 && kMinute.WindowEndAtOrBefore(60'000) == 60'000);
static_assert(kMinute.WindowEndAtOrBefore(-1) == -30'000);

// A length that is no multiple of the slide: windows [0,50), [30,80), [60,110) …; panes of 10.
constexpr WindowSpec kUneven{.window_ms = 50, .slide_ms = 30};
static_assert(kUneven.pane_ms() == 10);
static_assert(kUneven.FirstWindowEnd(2) == 50 && kUneven.LastWindowEnd(2) == 50, "20 lies in [0,50) alone");
static_assert(kUneven.FirstWindowEnd(3) == 50 && kUneven.LastWindowEnd(3) == 80, "30 opens [30,80)");
static_assert(kUneven.FirstWindowEnd(-1) == 20 && kUneven.LastWindowEnd(-1) == 20, "-10 lies in [-30,20) alone");

// Windows are [start, end): a time on an edge belongs to the pane that it opens.
TEST(WindowSpecTest, ATimeOnAnEdgeBelongsToTheLaterPane) {
  const WindowSpec tumbling{.window_ms = 10, .slide_ms = 10};
  EXPECT_EQ(tumbling.PaneOf(9), 0);
  EXPECT_EQ(tumbling.PaneOf(10), 1);
  EXPECT_EQ(tumbling.PaneStart(1), 10);
  EXPECT_EQ(tumbling.PaneEnd(1), 20);
}

// Oracle: try every k around the time. Covers negative times and lengths that are no multiple of the slide.
TEST(WindowSpecTest, WindowsOfAPaneAreThoseThatHoldItsTimes) {
  for (uint32_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    WindowSpec spec;
    spec.window_ms = 1 + random() % 60;
    spec.slide_ms = 1 + random() % spec.window_ms;
    const int64_t time = static_cast<int64_t>(random() % 1000) - 500;
    SCOPED_TRACE(testing::Message() << "window " << spec.window_ms << " slide " << spec.slide_ms << " time " << time);

    std::set<int64_t> expected, got;
    for (int64_t k = -700; k <= 700; ++k) {
      const int64_t start = k * spec.slide_ms, end = start + spec.window_ms;
      if (start <= time && time < end) expected.insert(end);
    }
    const int64_t pane = spec.PaneOf(time);
    ASSERT_LE(spec.PaneStart(pane), time);
    ASSERT_GT(spec.PaneEnd(pane), time);
    for (int64_t end = spec.FirstWindowEnd(pane); end <= spec.LastWindowEnd(pane); end += spec.slide_ms) got.insert(end);
    ASSERT_EQ(got, expected);
    for (int64_t end : expected) {
      ASSERT_LE(spec.FirstPane(end), pane);
      ASSERT_GE(spec.LastPane(end), pane);
      ASSERT_EQ(spec.PaneStart(spec.FirstPane(end)), end - spec.window_ms) << "a window is a run of whole panes";
      ASSERT_EQ(spec.PaneEnd(spec.LastPane(end)), end);
    }

    int64_t newest = INT64_MIN;
    for (int64_t k = -700; k <= 700; ++k)
      if (const int64_t end = k * spec.slide_ms + spec.window_ms; end <= time) newest = std::max(newest, end);
    ASSERT_EQ(spec.WindowEndAtOrBefore(time), newest);
  }
}

// At the ends of what an event time may be, nothing overflows (the sanitizer builds look).
TEST(WindowSpecTest, TheGreatestTimesDoNotOverflow) {
  const WindowSpec spec{.window_ms = int64_t{366} * 24 * 3600 * 1000, .slide_ms = 7};
  for (const int64_t time : {kMaxEventTime, -kMaxEventTime}) {
    const int64_t pane = spec.PaneOf(time);
    EXPECT_LE(spec.PaneStart(pane), time);
    EXPECT_GT(spec.FirstWindowEnd(pane), time);
    EXPECT_GE(spec.LastWindowEnd(pane), spec.FirstWindowEnd(pane));
  }
}

}  // namespace
}  // namespace weir
