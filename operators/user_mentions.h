// operators/user_mentions.h: how often each user is mentioned.
//
// Reads:   mentions (a list of UTF-8 strings); retweet_count, retweet, retweeted_id and id, as the weight asks for them.
// Output:  user_mentions(user TEXT, mentions INTEGER), names folded to lower case (ASCII). A name that is mentioned twice in
//          one tweet counts twice.
// Weight:  one             1 for each mention
//          retweets        the retweeted status' retweet count, or 1 where that is absent or not positive
//          max-per-status  for each (status, user) the greatest such weight in the window, then summed by user: a chain of
//                          two window operators
// Cost:    O(mentions) a record; state is one number for each user (max-per-status: each status and user) in each open pane.
#ifndef WEIR_OPERATORS_USER_MENTIONS_H_
#define WEIR_OPERATORS_USER_MENTIONS_H_

#include "operators/registry.h"

namespace weir {

OperatorInfo UserMentions();

}  // namespace weir

#endif  // WEIR_OPERATORS_USER_MENTIONS_H_
