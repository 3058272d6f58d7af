// tests/tools/mock_broker.cc: the embedded broker as a process of its own, for tests that start and kill
// `weir`.
//
//   mock_broker [--brokers N] NAME:PARTITIONS…
//
// Prints the bootstrap address as its first line on stdout. Then it obeys lines on stdin, and answers each
// with "ok" or "error: why": down BROKER, up BROKER, leader TOPIC PARTITION BROKER, topic NAME PARTITIONS,
// quit. It ends with stdin.
#include <charconv>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/source/embedded_broker.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

absl::StatusOr<int> Number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return absl::InvalidArgumentError("\"" + std::string(text) + "\" is not a number");
  }
  return value;
}

absl::Status Obey(const std::vector<std::string>& words, EmbeddedBroker& broker) {
  const std::string& verb = words[0];
  if ((verb == "down" || verb == "up") && words.size() == 2) {
    WEIR_ASSIGN_OR_RETURN(const int id, Number(words[1]));
    return verb == "down" ? broker.TakeDown(id) : broker.BringUp(id);
  }
  if (verb == "leader" && words.size() == 4) {
    WEIR_ASSIGN_OR_RETURN(const int partition, Number(words[2]));
    WEIR_ASSIGN_OR_RETURN(const int id, Number(words[3]));
    return broker.MoveLeader(words[1], partition, id);
  }
  if (verb == "topic" && words.size() == 3) {
    WEIR_ASSIGN_OR_RETURN(const int partitions, Number(words[2]));
    return broker.CreateTopic(words[1], partitions);
  }
  return absl::InvalidArgumentError("unknown command; down B, up B, leader TOPIC P B, topic NAME N, quit");
}

absl::Status Run(std::vector<std::string> args) {
  int brokers = 1;
  if (args.size() >= 2 && args[0] == "--brokers") {
    WEIR_ASSIGN_OR_RETURN(brokers, Number(args[1]));
    args.erase(args.begin(), args.begin() + 2);
  }
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<EmbeddedBroker> broker, EmbeddedBroker::Start(brokers));
  for (const std::string& arg : args) {
    const size_t colon = arg.rfind(':');
    if (colon == std::string::npos)
      return absl::InvalidArgumentError("\"" + arg + "\" is not NAME:PARTITIONS");
    WEIR_ASSIGN_OR_RETURN(const int partitions, Number(std::string_view(arg).substr(colon + 1)));
    WEIR_RETURN_IF_ERROR(broker->CreateTopic(arg.substr(0, colon), partitions));
  }
  std::cout << broker->bootstrap() << std::endl;

  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) continue;
    if (words[0] == "quit") break;
    const absl::Status status = Obey(words, *broker);
    std::cout << (status.ok() ? "ok" : "error: " + std::string(status.message())) << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  const absl::Status status = weir::Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << "mock_broker: " << status.message() << "\n";
  return status.ok() ? 0 : 2;
}
