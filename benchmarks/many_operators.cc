// What does one more operator in a job cost? N counts by N different fields of the same tweets, over one read and one parse.
//
//   many_operators FILE N [WORKERS]
//
// W = 60 s, S = 30 s; rows go nowhere. Prints records and seconds.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/runtime/job.h"
#include "engine/source/file_source.h"
#include "operators/formats.h"

namespace {

constexpr const char* kFields[] = {"user.location",    "lang",          "source",         "user.lang",        "user.time_zone", "user.screen_name",
                                   "user.name",        "user.id_str",   "id_str",         "text",             "created_at",     "in_reply_to_screen_name",
                                   "place.full_name",  "place.country", "filter_level",   "user.description"};
constexpr int kMost = sizeof kFields / sizeof kFields[0];

weir::Operator CountBy(int number) {
  return weir::Define("by_" + std::to_string(number), "Tweets per " + std::string(kFields[number]))
      .Reads(weir::Text(kFields[number], weir::FieldNeed::kPath))
      .Key("key")
      .Counts("tweets")
      .Map([](const auto& batch, auto& emit) {
        for (const auto& row : batch)
          if (const auto key = row.template get<0>(); !key.empty()) emit(row, key);
      });
}

struct Nowhere final : weir::Sink {
  absl::Status Write(const weir::Commit&) override { return absl::OkStatus(); }
};

}  // namespace

int main(int argc, char** argv) {
  const int operators = argc > 2 ? std::atoi(argv[2]) : 0;
  if (operators < 1 || operators > kMost) {
    std::fprintf(stderr, "usage: many_operators FILE N [WORKERS]   (N from 1 to %d)\n", kMost);
    return 2;
  }
  weir::Job::Parts parts;
  for (int i = 0; i < operators; ++i) parts.operators.push_back(CountBy(i));
  parts.options.format = weir::TwitterV1();
  parts.options.window = {.window_ms = 60'000, .slide_ms = 30'000};
  parts.options.workers = argc > 3 ? std::atoi(argv[3]) : 1;
  parts.sinks.push_back(std::make_unique<Nowhere>());
  auto source = weir::FileSource::Create({.paths = {argv[1]}});
  absl::Status status = source.status();
  const auto start = std::chrono::steady_clock::now();
  if (status.ok()) {
    parts.source = *std::move(source);
    auto job = weir::Job::Create(std::move(parts));
    status = job.status();
    if (status.ok()) status = (*job)->Run();
    if (status.ok())
      std::printf("{\"records\":%lld,\"seconds\":%.4f}\n", static_cast<long long>((*job)->report().counts.consumed),
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  if (!status.ok()) std::fprintf(stderr, "many_operators: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
