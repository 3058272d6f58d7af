// How fast does a keyed value go through the window kernel: folded into its pane, panes merged into the sliding total, windows
// closed? 100,000 keys, zipf 1; the window is W/S slides long. Rows are emitted for a window but not written anywhere.
//
// Records per pane are the same for all W/S, so that only the window's length differs.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "engine/window/keyed_window.h"

namespace weir {
namespace {

constexpr size_t kKeys = 100'000;
constexpr size_t kRecords = 4'000'000;
constexpr size_t kRecordsPerBatch = 65'536;
constexpr size_t kRecordsPerPane = 200'000;

const std::vector<std::string>& Keys() {
  static const auto* const keys = [] {
    auto* made = new std::vector<std::string>;
    for (size_t i = 0; i < kKeys; ++i) made->push_back("user_" + std::to_string(i * 7919 % 1'000'003));
    return made;
  }();
  return *keys;
}

// Zipf with exponent 1 by inversion of its cumulative distribution.
const std::vector<uint32_t>& Draws() {
  static const auto* const draws = [] {
    std::vector<double> cumulative(kKeys);
    double sum = 0;
    for (size_t i = 0; i < kKeys; ++i) cumulative[i] = sum += 1.0 / static_cast<double>(i + 1);
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, sum);
    auto* made = new std::vector<uint32_t>(kRecords);
    for (uint32_t& draw : *made)
      draw = static_cast<uint32_t>(std::lower_bound(cumulative.begin(), cumulative.end(), uniform(random)) - cumulative.begin());
    return made;
  }();
  return *draws;
}

template <Aggregate A>
void Kernel(benchmark::State& state) {
  const int64_t ratio = state.range(0);
  const auto& keys = Keys();
  const auto& draws = Draws();
  int64_t rows = 0, windows = 0;
  for (auto _ : state) {
    KeyedWindow<A> window({.spec = {.window_ms = ratio * 1000, .slide_ms = 1000}});
    PaneDeltas<A> deltas;
    std::vector<WindowRows> closed;
    std::vector<PaneBlob> blobs;
    for (size_t at = 0; at < kRecords;) {
      const size_t end = std::min(at + kRecordsPerBatch, kRecords);
      for (; at < end; ++at) deltas.Add(static_cast<int64_t>(at / kRecordsPerPane), keys[draws[at]], 1);
      window.Merge(deltas, blobs);
      deltas.Clear();
      const int64_t watermark = static_cast<int64_t>(at / kRecordsPerPane) * 1000;
      window.Close(watermark, false, closed, blobs);
      window.Release(watermark);
      for (const WindowRows& w : closed) {
        rows += static_cast<int64_t>(w.rows.size());
        ++windows;
      }
      closed.clear();
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecords));
  state.counters["rows/window"] = windows == 0 ? 0 : static_cast<double>(rows) / static_cast<double>(windows);
}

BENCHMARK(Kernel<Count>)->ArgName("W/S")->Arg(1)->Arg(60)->Arg(600)->Unit(benchmark::kMillisecond);
BENCHMARK(Kernel<Max>)->ArgName("W/S")->Arg(1)->Arg(60)->Arg(600)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
