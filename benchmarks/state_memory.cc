// How much memory does state take? One million live keys of 12 bytes, held by four panes each with all of them. Bytes beyond the
// key's own bytes:
//
//   open_entry    an entry of a pane that takes values, mean over the pane's growth to a million keys; open_entry_max: the worst
//                 size from 1,000 keys on (right after a vector or the index has grown)
//   sealed_entry  of a pane that has entered a window: table, and what the sliding total keeps for it (bytes - total_bytes)
//   total_key     a key of the sliding total itself (total_bytes), in steady state: after rows have been emitted
//   heap_entry    all of it once more, seen from outside: malloc's bytes in use, per entry, with keys and bookkeeping
//   limit_entry   the least that an entry could be: an 8-byte value and the 32-bit number of its key
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <deque>
#include <string>
#include <string_view>

#include "engine/window/aggregate.h"
#include "engine/window/key_table.h"
#include "engine/window/sliding.h"

namespace weir {
namespace {

constexpr int64_t kKeys = 1'000'000;
constexpr size_t kKeyBytes = 12;
constexpr int kPanes = 4;

double InUse() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

template <Aggregate A>
void Memory(benchmark::State& state) {
  std::string keys;
  for (int64_t i = 0; i < kKeys; ++i) keys += "user_" + std::to_string(1'000'000 + i * 7919 % kKeys);
  const auto key = [&keys](int64_t i) { return std::string_view(keys).substr(static_cast<size_t>(i) * kKeyBytes, kKeyBytes); };
  double open_mean = 0, open_max = 0, sealed = 0, total = 0, heap = 0;
  for (auto _ : state) {
    const double before = InUse();
    std::deque<KeyTable<typename A::Partial>> panes;
    typename SlidingOf<A>::type sliding(kPanes);
    for (int p = 0; p < kPanes; ++p) {
      auto& pane = panes.emplace_back();
      double sum = 0;
      int64_t samples = 0;
      for (int64_t i = 0; i < kKeys; ++i) {
        pane.FindOrAdd(key(i), HashKey(key(i)), A::kIdentity).value = i;
        if (p > 0 || i < 1'000 || i % 100 != 0) continue;
        const auto entries = static_cast<double>(i + 1);
        const double bytes = (static_cast<double>(pane.bytes()) - entries * kKeyBytes) / entries;
        open_max = std::max(open_max, bytes);
        sum += bytes;
        ++samples;
      }
      if (p == 0) open_mean = sum / static_cast<double>(samples);
      sliding.Enter(pane);
      pane.Seal();
      sliding.ForEach(true, [](std::string_view, const auto&) {});
    }
    constexpr double kEntries = double{kPanes} * kKeys;
    heap = (InUse() - before) / kEntries;
    double pane_bytes = static_cast<double>(sliding.bytes() - sliding.total_bytes());
    for (const auto& pane : panes) pane_bytes += static_cast<double>(pane.bytes());
    sealed = pane_bytes / kEntries - kKeyBytes;
    total = static_cast<double>(sliding.total_bytes()) / kKeys - kKeyBytes;
  }
  state.SetItemsProcessed(state.iterations() * kPanes * kKeys);
  state.counters["open_entry"] = open_mean;
  state.counters["open_entry_max"] = open_max;
  state.counters["sealed_entry"] = sealed;
  state.counters["total_key"] = total;
  state.counters["heap_entry"] = heap;
  state.counters["limit_entry"] = sizeof(typename A::Partial) + sizeof(uint32_t);
}
BENCHMARK(Memory<Count>)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(Memory<Max>)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
