#include "operators/user_mentions.h"

#include <optional>

#include "operators/text.h"

namespace weir {
namespace {

constexpr char kName[] = "user_mentions";
constexpr char kSummary[] = "Mentions of each user";

int64_t Weight(std::optional<int64_t> retweet_count) {
  return retweet_count && *retweet_count > 0 ? *retweet_count : 1;
}

Operator Plain() {
  return Define(kName, kSummary).Reads(TextList("mentions")).Key("user").Counts("mentions").Map([](const auto& batch, auto& emit) {
    std::string buffer;
    for (const auto& row : batch)
      for (std::string_view user : row.template get<0>()) emit(row, FoldCase(user, buffer));
  });
}

Operator ByRetweets() {
  return Define(kName, kSummary)
      .Reads(TextList("mentions"), Int("retweet_count"))
      .Key("user")
      .Sum("mentions")
      .Map([](const auto& batch, auto& emit) {
        std::string buffer;
        for (const auto& row : batch) {
          const int64_t weight = Weight(row.template get<1>());
          for (std::string_view user : row.template get<0>()) emit(row, FoldCase(user, buffer), weight);
        }
      });
}

Operator MaxPerStatus() {
  return Define(kName, kSummary)
      .Reads(TextList("mentions"), Int("retweet_count"), Exists("retweet", FieldNeed::kOptional),
             Text("retweeted_id", FieldNeed::kOptional), Text("id", FieldNeed::kOptional))
      .Key("status", "user")
      .Max("weight")
      .Map([](const auto& batch, auto& emit) {
        std::string buffer, status;
        for (const auto& row : batch) {
          const auto users = row.template get<0>();
          if (users.empty()) continue;
          const bool retweet = row.template get<2>();
          const std::string_view id = retweet ? row.template get<3>() : row.template get<4>();
          if (id.data() != nullptr) {
            status.assign(1, 's').append(id);
          } else {  // no id: a status of its own. The first letter keeps it apart from every id.
            const auto& from = row.partition();
            status.assign(1, 'r').append(from.topic).append(1, '\0').append(std::to_string(from.partition));
            status.append(1, '\0').append(std::to_string(row.offset()));
          }
          const int64_t weight = retweet ? Weight(row.template get<1>()) : 1;
          for (std::string_view user : users) emit(row, std::string_view(status), FoldCase(user, buffer), weight);
        }
      })
      .Then(SumBy("user", "mentions"));
}

}  // namespace

OperatorInfo UserMentions() {
  return {kName,
          kSummary,
          {{"mention-weight", "what a mention counts: 1, the retweet count, or the greatest one per status and user", "one",
            {"one", "retweets", "max-per-status"}}},
          [](const std::map<std::string, std::string>& values) -> absl::StatusOr<Operator> {
            const std::string& weight = values.at("mention-weight");
            return weight == "one" ? Plain() : weight == "retweets" ? ByRetweets() : MaxPerStatus();
          }};
}

}  // namespace weir
