// engine/source/embedded_broker.h: a Kafka broker inside this process, for tests and for `weir demo`.
//
// It is librdkafka's own, behind real sockets on loopback: any client of the protocol can talk to it, also
// from another process. Its limits:
// - it keeps about 5 MiB or 100,000 message sets per partition; then the oldest go, and the log's start moves
// - no look-up of offsets by time (it answers with the end), no deletion of topics, no adding of partitions
// - it takes part in the transaction protocol but keeps no markers: aborted records are visible to all
// - a client that asks for an unknown topic and lets brokers create it (any plain producer) gets it
#ifndef WEIR_ENGINE_SOURCE_EMBEDDED_BROKER_H_
#define WEIR_ENGINE_SOURCE_EMBEDDED_BROKER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

// Thread: any. The brokers run on a thread of their own until the object goes.
class EmbeddedBroker {
 public:
  // Starts brokers 1..broker_count on ports that the system chooses. Errors: kInvalidArgument, kInternal.
  static absl::StatusOr<std::unique_ptr<EmbeddedBroker>> Start(int broker_count = 1);
  ~EmbeddedBroker();

  EmbeddedBroker(const EmbeddedBroker&) = delete;
  EmbeddedBroker& operator=(const EmbeddedBroker&) = delete;

  // Errors: kInvalidArgument (no such name or number of partitions is possible, or the topic exists).
  absl::Status CreateTopic(const std::string& name, int partitions);

  // The address list to connect to: "127.0.0.1:41234,127.0.0.1:41235".
  const std::string& bootstrap() const { return bootstrap_; }

  // Faults on demand. A broker that is down drops its connections and refuses new ones; leaders stay where
  // they are. Errors: kInvalidArgument (no such broker, topic or partition).
  absl::Status TakeDown(int broker);
  absl::Status BringUp(int broker);
  absl::Status MoveLeader(const std::string& topic, int32_t partition, int broker);

 private:
  struct Handles;  // librdkafka's
  explicit EmbeddedBroker(std::unique_ptr<Handles> handles);

  std::unique_ptr<Handles> handles_;
  std::string bootstrap_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_EMBEDDED_BROKER_H_
