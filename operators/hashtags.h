// operators/hashtags.h: how often each hashtag is used.
//
// Reads:   hashtags (a list of UTF-8 strings, without '#').
// Output:  hashtags(hashtag TEXT, uses INTEGER), folded to lower case (ASCII). Each occurrence counts.
// Cost:    O(hashtags) a record; state is one 8-byte count for each tag in each open pane.
#ifndef WEIR_OPERATORS_HASHTAGS_H_
#define WEIR_OPERATORS_HASHTAGS_H_

#include "operators/registry.h"

namespace weir {

OperatorInfo Hashtags();

}  // namespace weir

#endif  // WEIR_OPERATORS_HASHTAGS_H_
