// apps/tweet_generator.h: synthetic tweets, as Twitter's v1.1 stream would have sent them; `weir generate`,
// demos, tests.
//
// The same options give the same bytes on every machine: integers and a generator of our own, no library
// distribution, no locale, no clock. Tweets have what makes real ones hard: keys with commas, quotes, emoji
// and four scripts, surrounding white space, null and empty locations, the same user in several spellings, \u
// escapes or raw UTF-8, ids beyond 2^53, retweets whose count runs on, truncated tweets, several orders of
// the fields. Keys are zipf-distributed: 5,000 locations, 100,000 users, 6,000 hashtags.
#ifndef WEIR_APPS_TWEET_GENERATOR_H_
#define WEIR_APPS_TWEET_GENERATOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace weir {

struct TweetGeneratorOptions {
  enum class Size {
    kFull,   // every field of a real tweet: 2.5 kB, a retweet 4.5 kB
    kSmall,  // only fields that operators read: 300 bytes
  };

  uint64_t seed = 1;
  int64_t count = 100'000;               // lines of every kind; negative: without end
  double rate = 1'000;                   // lines per second of event time
  int64_t start_ms = 1'430'429'640'000;  // event time of the first tweet: 2015-04-30T21:34:00Z
  int64_t disorder_ms = 0;               // how far a tweet may be behind the newest one before it
  Size size = Size::kFull;

  // Shares of the lines, 0..1, together at most 1; the rest are tweets in time.
  double invalid = 0;   // damaged: cut, unbalanced, two objects, not UTF-8, …
  double notices = 0;   // delete and limit notices: valid JSON without an event time
  double late = 0;      // tweets that are late_by_ms behind
  double outliers = 0;  // tweets dated one to three years ahead of the stream
  double future = 0;    // tweets dated 2099
  int64_t late_by_ms = 600'000;
};

// Thread: one at a time.
class TweetGenerator {
 public:
  // What has been generated so far, by kind. Their sum is the number of lines.
  struct Counts {
    int64_t tweets = 0;  // in time
    int64_t invalid = 0;
    int64_t notices = 0;
    int64_t late = 0;
    int64_t outliers = 0;
    int64_t future = 0;
  };

  // Errors: kInvalidArgument (a value out of its range).
  static absl::StatusOr<std::unique_ptr<TweetGenerator>> Create(const TweetGeneratorOptions& options);
  ~TweetGenerator();

  TweetGenerator(const TweetGenerator&) = delete;
  TweetGenerator& operator=(const TweetGenerator&) = delete;

  // Replaces `line` by the next one, without its line end. False after the last. About 3 µs.
  bool Next(std::string& line);

  const Counts& counts() const;

 private:
  class Writer;
  explicit TweetGenerator(const TweetGeneratorOptions& options);
  std::unique_ptr<Writer> writer_;
};

}  // namespace weir

#endif  // WEIR_APPS_TWEET_GENERATOR_H_
