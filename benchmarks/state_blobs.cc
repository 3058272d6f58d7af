// How fast does state become bytes for the results file, and a pane again? A pane of so many distinct keys of 12 bytes, count and
// max; the size of the blob is the input size. The limit beside it, CopyAndChecksum: the same bytes copied once, and their CRC-32.
#include <benchmark/benchmark.h>
#include <zlib.h>

#include <cstring>
#include <string>

#include "engine/window/aggregate.h"
#include "engine/window/pane_blob.h"

namespace weir {
namespace {

template <Aggregate A>
KeyTable<typename A::Partial> PaneOf(int64_t keys) {
  KeyTable<typename A::Partial> pane;
  for (int64_t i = 0; i < keys; ++i) {
    const std::string key = "user_" + std::to_string(1'000'000 + i * 7919 % 1'000'003);
    pane.FindOrAdd(key, HashKey(key), A::kIdentity).value = i % 100 == 0 ? i : i % 8;  // as counts are: most fit a byte
  }
  return pane;
}

void Processed(benchmark::State& state, size_t blob_bytes) {
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(blob_bytes));
}

template <Aggregate A>
void Encode(benchmark::State& state) {
  const auto pane = PaneOf<A>(state.range(0));
  size_t bytes = 0;
  for (auto _ : state) {
    const std::string blob = EncodePane<A>(pane, state.range(0));
    benchmark::DoNotOptimize(blob.data());
    bytes = blob.size();
  }
  Processed(state, bytes);
}

template <Aggregate A>
void Decode(benchmark::State& state) {
  const std::string blob = EncodePane<A>(PaneOf<A>(state.range(0)), state.range(0));
  for (auto _ : state) {
    KeyTable<typename A::Partial> pane;
    int64_t records = 0;
    if (!DecodePane<A>(blob, pane, records)) return state.SkipWithError("a blob did not decode");
    benchmark::DoNotOptimize(pane.size());
  }
  Processed(state, blob.size());
}

void CopyAndChecksum(benchmark::State& state) {
  const std::string blob = EncodePane<Count>(PaneOf<Count>(state.range(0)), state.range(0));
  std::string copy(blob.size(), '\0');
  for (auto _ : state) {
    std::memcpy(copy.data(), blob.data(), blob.size());
    benchmark::DoNotOptimize(crc32(0, reinterpret_cast<const Bytef*>(copy.data()), static_cast<uInt>(copy.size())));
  }
  Processed(state, blob.size());
}

#define SIZES(kernel) BENCHMARK(kernel)->ArgName("keys")->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond)
SIZES(Encode<Count>);
SIZES(Encode<Max>);
SIZES(Decode<Count>);
SIZES(Decode<Max>);
SIZES(CopyAndChecksum);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
