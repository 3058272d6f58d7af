#include "operators/tweets_by_location.h"

#include "operators/text.h"

namespace weir {

OperatorInfo TweetsByLocation() {
  return {
      "tweets_by_location",
      "Tweets per location given in the author's profile",
      {{"location-field", "field or JSON path that holds the place (place.country_code, lang, …)", "location", {}},
       {"normalize", "casefold folds ASCII letters to lower case", "none", {"none", "casefold"}}},
      [](const std::map<std::string, std::string>& values) -> absl::StatusOr<Operator> {
        const std::string& field = values.at("location-field");
        return Define("tweets_by_location", "Tweets per location given in the author's profile")
            .Reads(Text(field, field == "location" ? FieldNeed::kRequired : FieldNeed::kPath))
            .Key("location")
            .Counts("tweets")
            .Map([fold = values.at("normalize") == "casefold"](const auto& batch, auto& emit) {
              std::string buffer;
              for (const auto& row : batch) {
                const std::string_view place = Trim(row.template get<0>());
                if (!place.empty()) emit(row, fold ? FoldCase(place, buffer) : place);
              }
            });
      }};
}

}  // namespace weir
