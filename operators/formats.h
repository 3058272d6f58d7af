// operators/formats.h: the formats by name: canonical field -> JSON paths, and where the event time is.
#ifndef WEIR_OPERATORS_FORMATS_H_
#define WEIR_OPERATORS_FORMATS_H_

#include <string>
#include <string_view>
#include <vector>

#include "engine/record/format.h"

namespace weir {

// Twitter's classic (v1.1) status object.
//   location       user.location
//   mentions       user_mentions[].screen_name of extended_tweet.entities, else of entities
//   hashtags       hashtags[].text, likewise
//   text           extended_tweet.full_text, full_text, text
//   lang           lang
//   id             id_str
//   retweet        retweeted_status (an object: the tweet is a retweet)
//   retweeted_id   retweeted_status.id_str
//   retweet_count  retweeted_status.retweet_count
// Event time: timestamp_ms (digits as a string, or an integer), else created_at.
const Format& TwitterV1();

// Any JSON: fields are named by the user, and so is the event time.
const Format& Json();

const std::vector<std::string>& FormatNames();
// nullptr: no such format.
const Format* FindFormat(std::string_view name);

}  // namespace weir

#endif  // WEIR_OPERATORS_FORMATS_H_
