// How fast does a time's text become milliseconds? 100,000 distinct times of one day, in each form that records bring; input size
// is their text. Beside it the limit, ReadOnly: Twitter's texts loaded, eight bytes at a time, and added up. And what one would
// use instead, absl::ParseTime.
#include <benchmark/benchmark.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/record/event_time.h"

namespace weir {
namespace {

enum class Form { kTwitter, kIso, kIsoZone, kMillis };

struct Texts {
  explicit Texts(Form form) {
    constexpr int64_t kStart = 1'430'429'640'000;
    std::vector<size_t> ends;
    for (int64_t i = 0; i < 100'000; ++i) {
      const int64_t ms = kStart + i * 864 + i % 7;
      const absl::Time time = absl::FromUnixMillis(ms);
      const absl::TimeZone utc = absl::UTCTimeZone();
      switch (form) {
        case Form::kTwitter: bytes += absl::FormatTime("%a %b %d %H:%M:%S +0000 %Y", time, utc); break;
        case Form::kIso: bytes += absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, utc); break;
        case Form::kIsoZone: bytes += absl::FormatTime("%Y-%m-%d %H:%M:%S", time, utc) + "+02:00"; break;
        case Form::kMillis: bytes += std::to_string(ms); break;
      }
      ends.push_back(bytes.size());
    }
    for (size_t i = 0, begin = 0; i < ends.size(); begin = ends[i++]) all.emplace_back(bytes.data() + begin, ends[i] - begin);
  }
  Texts(const Texts&) = delete;

  std::string bytes;
  std::vector<std::string_view> all;
};

template <class Parse>
void EachText(benchmark::State& state, Form form, Parse&& parse) {
  const Texts texts(form);
  int64_t sum = 0;
  for (auto _ : state) {
    for (const std::string_view text : texts.all) {
      const std::optional<int64_t> ms = parse(text);
      if (!ms) return state.SkipWithError("a time did not parse");
      sum += *ms;
    }
  }
  benchmark::DoNotOptimize(sum);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(texts.bytes.size()));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(texts.all.size()));
}

void Twitter(benchmark::State& state) { EachText(state, Form::kTwitter, ParseTwitterTime); }
void Iso(benchmark::State& state) { EachText(state, Form::kIso, ParseIsoTime); }
void IsoWithZone(benchmark::State& state) { EachText(state, Form::kIsoZone, ParseIsoTime); }
void Millis(benchmark::State& state) {
  EachText(state, Form::kMillis, [](std::string_view text) { return ParseTimeNumber(text, TimeEncoding::kMillis); });
}
// kAuto has to find out which of them it is.
void AutoTwitter(benchmark::State& state) {
  EachText(state, Form::kTwitter, [](std::string_view text) { return ParseTimeString(text, TimeEncoding::kAuto); });
}
BENCHMARK(Twitter)->Unit(benchmark::kMillisecond);
BENCHMARK(Iso)->Unit(benchmark::kMillisecond);
BENCHMARK(IsoWithZone)->Unit(benchmark::kMillisecond);
BENCHMARK(Millis)->Unit(benchmark::kMillisecond);
BENCHMARK(AutoTwitter)->Unit(benchmark::kMillisecond);

void ReadOnly(benchmark::State& state) {
  EachText(state, Form::kTwitter, [](std::string_view text) -> std::optional<int64_t> {
    uint64_t sum = 0, word = 0;
    size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) {
      std::memcpy(&word, text.data() + at, 8);
      sum += word;
    }
    for (; at < text.size(); ++at) sum += static_cast<unsigned char>(text[at]);
    return static_cast<int64_t>(sum);
  });
}
BENCHMARK(ReadOnly)->Unit(benchmark::kMillisecond);

void AbslParseTime(benchmark::State& state) {
  EachText(state, Form::kIso, [](std::string_view text) -> std::optional<int64_t> {
    absl::Time time;
    if (!absl::ParseTime(absl::RFC3339_full, absl::string_view(text.data(), text.size()), &time, nullptr)) return std::nullopt;
    return absl::ToUnixMillis(time);
  });
}
BENCHMARK(AbslParseTime)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
