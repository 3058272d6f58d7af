// operators/tweets_by_location.h: how many tweets come from each place.
//
// Reads:   location (twitter-v1: user.location), or the field that --location-field names.
// Output:  tweets_by_location(location TEXT, tweets INTEGER). Surrounding ASCII white space is trimmed, UTF-8 kept as it is;
//          a tweet without a location, or with an empty one, counts for no key.
// Cost:    O(1) a record; state is one 8-byte count for each place in each open pane.
#ifndef WEIR_OPERATORS_TWEETS_BY_LOCATION_H_
#define WEIR_OPERATORS_TWEETS_BY_LOCATION_H_

#include "operators/registry.h"

namespace weir {

OperatorInfo TweetsByLocation();

}  // namespace weir

#endif  // WEIR_OPERATORS_TWEETS_BY_LOCATION_H_
