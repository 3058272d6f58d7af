#include "operators/registry.h"

#include "operators/hashtags.h"
#include "operators/tweets_by_location.h"
#include "operators/user_mentions.h"

namespace weir {

const std::vector<OperatorInfo>& Registry() {
  static const auto* const table = new std::vector<OperatorInfo>{
      TweetsByLocation(),
      UserMentions(),
      Hashtags(),
  };
  return *table;
}

const OperatorInfo* FindOperator(std::string_view name) {
  for (const OperatorInfo& info : Registry())
    if (info.name == name) return &info;
  return nullptr;
}

}  // namespace weir
