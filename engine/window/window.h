// engine/window/window.h: window and pane arithmetic. No I/O, threads or clock.
//
// Windows are [k*slide, k*slide + window) for integer k, aligned to 1970-01-01T00:00:00Z, also for negative times and
// for lengths that are no multiple of the slide. Panes are [j*g, j*g + g) with g = gcd(window, slide): every window is
// a run of whole panes, and overlapping windows share them.
#ifndef WEIR_ENGINE_WINDOW_WINDOW_H_
#define WEIR_ENGINE_WINDOW_WINDOW_H_

#include <cstdint>
#include <numeric>

namespace weir {

// No watermark yet, below every event time; and a length or time that is never reached.
inline constexpr int64_t kNoWatermark = INT64_MIN;
inline constexpr int64_t kForever = INT64_MAX;
// Event times are kept within ±kMaxEventTime ms, so that adding window, delay and lateness cannot overflow.
inline constexpr int64_t kMaxEventTime = int64_t{1} << 60;

// Rounds towards negative infinity. REQUIRES: b > 0.
constexpr int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// a + b, where kForever absorbs and kNoWatermark stays.
constexpr int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  if (a == kNoWatermark || a == kForever) return a;
  if (b == kForever) return kForever;
  return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? kForever : kNoWatermark) : sum;
}

struct WindowSpec {
  int64_t window_ms = 60'000;
  int64_t slide_ms = 60'000;  // 0 < slide <= window

  constexpr int64_t pane_ms() const { return std::gcd(window_ms, slide_ms); }
  constexpr int64_t PaneOf(int64_t time_ms) const { return FloorDiv(time_ms, pane_ms()); }
  constexpr int64_t PaneStart(int64_t pane) const { return pane * pane_ms(); }
  constexpr int64_t PaneEnd(int64_t pane) const { return (pane + 1) * pane_ms(); }

  // Ends of the first and the last window that hold the pane; ends step by slide_ms. The gcd divides both lengths, so
  // a window holds all of a pane or nothing of it.
  constexpr int64_t FirstWindowEnd(int64_t pane) const {
    // Smallest k with k*slide + window > start of the pane.
    return (FloorDiv(PaneStart(pane) - window_ms, slide_ms) + 1) * slide_ms + window_ms;
  }
  constexpr int64_t LastWindowEnd(int64_t pane) const {
    return FloorDiv(PaneStart(pane), slide_ms) * slide_ms + window_ms;
  }
  // Panes [FirstPane, LastPane] of the window that ends at `end_ms`.
  constexpr int64_t FirstPane(int64_t end_ms) const { return FloorDiv(end_ms - window_ms, pane_ms()); }
  constexpr int64_t LastPane(int64_t end_ms) const { return FloorDiv(end_ms, pane_ms()) - 1; }
  // The greatest window end that is <= time.
  constexpr int64_t WindowEndAtOrBefore(int64_t time_ms) const {
    return FloorDiv(time_ms - window_ms, slide_ms) * slide_ms + window_ms;
  }
};

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_WINDOW_H_
