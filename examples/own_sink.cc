// examples/own_sink.cc: a sink of one's own: closed windows go to code instead of a table.
//
//   own_sink < tweets.ndjson
//
// Says which hashtags are used at least three times as often as in the window before.
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/runtime/job.h"
#include "engine/sink/sink.h"
#include "engine/source/file_source.h"
#include "operators/formats.h"
#include "operators/registry.h"

namespace {

class RisingHashtags final : public weir::Sink {
 public:
  // Windows come by operator, oldest first; corrections of earlier ones before the new ones.
  absl::Status Write(const weir::Commit& commit) override {
    for (const weir::ClosedWindow& window : commit.windows) {
      std::map<std::string, int64_t> now;
      for (size_t i = 0; i < window.rows.size(); ++i) now.emplace(window.rows.key(i), window.rows.value(i));
      const bool follows = window.start_ms == before_end_ms_;
      for (const auto& [hashtag, uses] : now) {
        const auto earlier = before_.find(hashtag);
        if (follows && earlier != before_.end() && uses >= 3 * earlier->second)
          std::printf("%s  #%s: %lld uses after %lld\n",
                      absl::FormatTime("%H:%M:%S", absl::FromUnixMillis(window.end_ms), absl::UTCTimeZone()).c_str(),
                      hashtag.c_str(), static_cast<long long>(uses), static_cast<long long>(earlier->second));
      }
      before_ = std::move(now);
      before_end_ms_ = window.end_ms;
    }
    return absl::OkStatus();
  }

 private:
  std::map<std::string, int64_t> before_;
  int64_t before_end_ms_ = weir::kNoWatermark;
};

absl::Status Run() {
  weir::Job::Parts parts;
  absl::StatusOr<weir::Operator> hashtags = weir::FindOperator("hashtags")->make({});
  if (!hashtags.ok()) return hashtags.status();
  parts.operators.push_back(*std::move(hashtags));
  parts.options.format = weir::TwitterV1();
  parts.options.window = {.window_ms = 60'000, .slide_ms = 60'000};

  auto source = weir::FileSource::Create({.paths = {"-"}});
  if (!source.ok()) return source.status();
  parts.source = *std::move(source);
  parts.sinks.push_back(std::make_unique<RisingHashtags>());

  auto job = weir::Job::Create(std::move(parts));
  if (!job.ok()) return job.status();
  return (*job)->Run();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
