// tests/tools/kafka_put.cc: what `weir produce` does not do and tests need: timestamps, headers, transactions.
//
//   kafka_put BROKERS [--transactional ID] [--compression NAME]
//
// Obeys lines on stdin, their fields separated by tabs, and ends with stdin:
//
//   put TOPIC PARTITION TIMESTAMP KEY HEADERS PAYLOAD    PARTITION -1: by key; TIMESTAMP in ms, 0: now; KEY -: none;
//                                                        HEADERS a=1,b=2, or -
//   begin, commit, abort                                 a transaction
//   flush                                                wait until all was delivered
//
// Answers begin, commit, abort and flush with "ok". Ends with 1, and says why, at the first thing that fails.
#include <charconv>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/source/kafka_producer.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr size_t kPutFields = 7;

std::vector<std::string_view> Split(std::string_view line, char separator, size_t at_most) {
  std::vector<std::string_view> fields;
  while (fields.size() + 1 < at_most) {
    const size_t end = line.find(separator);
    if (end == line.npos) break;
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end + 1);
  }
  fields.push_back(line);
  return fields;
}

absl::StatusOr<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return absl::InvalidArgumentError("\"" + std::string(text) + "\" is not a number");
  return value;
}

absl::Status Put(const std::vector<std::string_view>& fields, KafkaProducer& producer) {
  WEIR_ASSIGN_OR_RETURN(const int64_t partition, Number(fields[2]));
  WEIR_ASSIGN_OR_RETURN(const int64_t timestamp_ms, Number(fields[3]));
  KafkaProducer::Message message{
      .payload = fields[6], .partition = static_cast<int32_t>(partition), .timestamp_ms = timestamp_ms};
  if (fields[4] != "-") message.key = fields[4];
  if (fields[5] != "-") {
    for (const std::string_view header : Split(fields[5], ',', SIZE_MAX)) {
      const auto parts = Split(header, '=', 2);
      message.headers.emplace_back(parts[0], parts.size() > 1 ? parts[1] : "");
    }
  }
  return producer.Produce(std::string(fields[1]), message);
}

absl::Status Obey(std::string_view line, KafkaProducer& producer) {
  constexpr absl::Duration kPatience = absl::Seconds(60);
  const std::vector<std::string_view> fields = Split(line, '\t', kPutFields);
  if (fields[0] == "put" && fields.size() == kPutFields) return Put(fields, producer);
  if (line == "begin") return producer.BeginTransaction();
  if (line == "commit") return producer.CommitTransaction(kPatience);
  if (line == "abort") return producer.AbortTransaction(kPatience);
  if (line == "flush") return producer.Flush(kPatience);
  return absl::InvalidArgumentError("unknown command: " + std::string(line));
}

absl::Status Run(const std::vector<std::string>& args) {
  KafkaProducer::Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--transactional" && i + 1 < args.size()) options.transactional_id = args[++i];
    else if (args[i] == "--compression" && i + 1 < args.size()) options.properties.emplace_back("compression.type", args[++i]);
    else if (options.brokers.empty()) options.brokers = args[i];
    else return absl::InvalidArgumentError("unknown argument: " + args[i]);
  }
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<KafkaProducer> producer, KafkaProducer::Create(options));
  for (std::string line; std::getline(std::cin, line);) {
    WEIR_RETURN_IF_ERROR(Obey(line, *producer));
    if (!line.starts_with("put")) std::cout << "ok" << std::endl;
  }
  return options.transactional_id.empty() ? producer->Flush(absl::Seconds(60)) : absl::OkStatus();
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  const absl::Status status = weir::Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << "kafka_put: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
