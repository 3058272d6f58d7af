#include "operators/formats.h"

namespace weir {

const Format& TwitterV1() {
  static const Format* const format = new Format{
      "twitter-v1",
      {
          {"location", {"user.location"}},
          {"mentions", {"extended_tweet.entities.user_mentions[].screen_name", "entities.user_mentions[].screen_name"}},
          {"hashtags", {"extended_tweet.entities.hashtags[].text", "entities.hashtags[].text"}},
          {"text", {"extended_tweet.full_text", "full_text", "text"}},
          {"lang", {"lang"}},
          {"id", {"id_str"}},
          {"retweet", {"retweeted_status"}},
          {"retweeted_id", {"retweeted_status.id_str"}},
          {"retweet_count", {"retweeted_status.retweet_count"}},
      },
      {{"timestamp_ms", TimeEncoding::kMillis}, {"created_at", TimeEncoding::kTwitter}},
  };
  return *format;
}

const Format& Json() {
  static const Format* const format = new Format{"json", {}, {}};
  return *format;
}

const std::vector<std::string>& FormatNames() {
  static const auto* const names = new std::vector<std::string>{TwitterV1().name, Json().name};
  return *names;
}

const Format* FindFormat(std::string_view name) {
  for (const Format* format : {&TwitterV1(), &Json()})
    if (format->name == name) return format;
  return nullptr;
}

}  // namespace weir
