// engine/source/kafka_config.h: what a user may say about a Kafka client, and where to start and end reading.
//
// Secrets may come from the environment, a file or a property file, never from the command line itself: every process
// of the machine can read that. Nothing here prints; RedactSecrets and DescribeKafkaConfig keep secrets out of texts.
#ifndef WEIR_ENGINE_SOURCE_KAFKA_CONFIG_H_
#define WEIR_ENGINE_SOURCE_KAFKA_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

struct KafkaProperty {
  std::string name;     // librdkafka's
  std::string value;    // resolved: what `env:` or `file:` led to
  bool secret = false;  // by its name, or because it came by `env:` or `file:`
};

struct KafkaConfig {
  std::string brokers;                    // host:port, comma-separated
  std::vector<KafkaProperty> properties;  // of equal names the last counts
};

// Adds the property `item` = "KEY=VALUE", "KEY=env:NAME" or "KEY=file:PATH" (one newline at the file's end is cut).
// Errors: kInvalidArgument for an unknown name or value, a secret given literally, a property that the engine sets
// itself, and one that would load or run foreign code.
absl::Status AddKafkaProperty(std::string_view item, KafkaConfig& config);

// Adds the properties of a file with lines as above; blank lines and those that begin with # or ! are skipped. Secrets
// may stand in it literally. Errors: as above with path and line; kInvalidArgument when it cannot be read.
absl::Status AddKafkaPropertyFile(const std::string& path, KafkaConfig& config);

// "name=value" lines, sorted, secrets as "****".
std::vector<std::string> DescribeKafkaConfig(const KafkaConfig& config);

// What the user should hear about before the run: switched-off checks of certificates, and the like.
std::vector<std::string> KafkaConfigWarnings(const KafkaConfig& config);

// `text` with every value of a secret replaced by "****".
std::string RedactSecrets(std::string text, const KafkaConfig& config);

// Where reading of a partition starts (--from) or ends (--to).
struct StartPoint {
  enum class Kind {
    kEarliest,
    kLatest,
    kCommitted,    // the group's
    kOffset,       // value: an offset
    kBeforeEnd,    // value: records before the end
    kTime,         // value: epoch ms; the first record at or after it
    kAgo,          // value: ms before the start of the run
  };
  Kind kind = Kind::kEarliest;
  int64_t value = 0;

  friend bool operator==(const StartPoint&, const StartPoint&) = default;
};

// earliest|beginning, latest|end, committed|stored, N, -N, @2015-04-30T21:34:00Z (UTC), @EPOCH_MS, -15m.
absl::StatusOr<StartPoint> ParseStartPoint(std::string_view text);

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_KAFKA_CONFIG_H_
