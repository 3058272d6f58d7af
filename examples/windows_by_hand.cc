// examples/windows_by_hand.cc: the window kernel alone, driven with integers: no JSON, no threads, no clock.
//
// Windows of 10 s every 5 s over (time in ms, key, value), with the greatest value per key; a value that comes late corrects
// the windows that are already closed, one revision higher.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/window/aggregate.h"
#include "engine/window/keyed_window.h"
#include "engine/window/window.h"

namespace {

constexpr weir::WindowSpec kSpec{.window_ms = 10'000, .slide_ms = 5'000};
using Windows = weir::KeyedWindow<weir::Max>;

struct Reading {
  int64_t time_ms;
  const char* sensor;
  int64_t value;
};

// One micro-batch: fold, merge, and close what the watermark has reached.
void Step(Windows& windows, const std::vector<Reading>& batch, int64_t watermark_ms) {
  weir::PaneDeltas<weir::Max> delta;  // each worker has one of its own; any split of a batch gives the same windows
  for (const Reading& r : batch) delta.Add(kSpec.PaneOf(r.time_ms), r.sensor, r.value);

  std::vector<weir::PaneBlob> state;  // what a commit would store; this program stores nothing
  std::vector<weir::WindowRows> closed;
  windows.Merge(delta, state);
  windows.Close(watermark_ms, /*final=*/false, closed, state);
  windows.Release(watermark_ms);

  std::printf("watermark %5.1f s\n", static_cast<double>(watermark_ms) / 1000);
  for (const weir::WindowRows& window : closed) {
    std::printf("  [%3lld,%3lld) s, revision %lld:", static_cast<long long>((window.end_ms - kSpec.window_ms) / 1000),
                static_cast<long long>(window.end_ms / 1000), static_cast<long long>(window.revision));
    for (size_t i = 0; i < window.rows.size(); ++i)
      std::printf(" %s=%lld", std::string(window.rows.key(i)).c_str(), static_cast<long long>(window.rows.value(i)));
    std::printf("\n");
  }
}

}  // namespace

int main() {
  Windows windows({.spec = kSpec, .allowed_lateness_ms = 10'000});
  Step(windows, {{1'000, "a", 3}, {4'000, "b", 7}}, 4'000);
  Step(windows, {{9'999, "a", 9}, {10'000, "a", 4}}, 10'000);   // an edge belongs to the window that it opens
  Step(windows, {{2'000, "b", 12}}, 12'000);                    // late: both windows over 2 s come again
  Step(windows, {{31'000, "b", 1}}, 60'000);                    // silence costs nothing
  return 0;
}
