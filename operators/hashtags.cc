#include "operators/hashtags.h"

#include "operators/text.h"

namespace weir {

OperatorInfo Hashtags() {
  return {"hashtags", "Uses of each hashtag", {}, [](const std::map<std::string, std::string>&) -> absl::StatusOr<Operator> {
            return Define("hashtags", "Uses of each hashtag")
                .Reads(TextList("hashtags"))
                .Key("hashtag")
                .Counts("uses")
                .Map([](const auto& batch, auto& emit) {
                  std::string buffer;
                  for (const auto& row : batch)
                    for (std::string_view tag : row.template get<0>()) emit(row, FoldCase(tag, buffer));
                });
          }};
}

}  // namespace weir
