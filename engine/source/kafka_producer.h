// engine/source/kafka_producer.h: writes records to Kafka topics; for `weir produce`, `weir demo` and tests.
//
// Idempotent, acknowledged by all in-sync replicas, in order per partition, lz4. Properties of the user come
// after these and override them. Memory is bounded (64 MiB of records under way): Produce waits when the
// brokers are slower.
#ifndef WEIR_ENGINE_SOURCE_KAFKA_PRODUCER_H_
#define WEIR_ENGINE_SOURCE_KAFKA_PRODUCER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// librdkafka's; defined in rdkafka.h.
struct rd_kafka_s;
struct rd_kafka_topic_s;

namespace weir {

// Thread: one at a time, but for Interrupt.
class KafkaProducer {
 public:
  struct Options {
    std::string brokers = {};                                          // bootstrap servers
    std::vector<std::pair<std::string, std::string>> properties = {};  // librdkafka's
    std::string transactional_id = {};                   // not empty: Begin, Commit, Abort are for use
    absl::Duration connect_timeout = absl::Seconds(30);  // to find a topic, the transaction coordinator
  };

  struct Message {
    std::optional<std::string_view> key = {};  // absent: no key, which differs from an empty one
    std::string_view payload = {};
    int32_t partition = -1;    // -1: by key, or at random without one
    int64_t timestamp_ms = 0;  // 0: now
    std::vector<std::pair<std::string, std::string>> headers = {};
  };

  // Does not wait for a broker, unless transactional. Errors: kInvalidArgument (a property), kUnavailable (no
  // transaction coordinator within connect_timeout).
  static absl::StatusOr<std::unique_ptr<KafkaProducer>> Create(const Options& options);

  // Drops what is not yet delivered: call Flush first.
  ~KafkaProducer();

  KafkaProducer(const KafkaProducer&) = delete;
  KafkaProducer& operator=(const KafkaProducer&) = delete;

  // Asks the brokers; never creates the topic. Errors: kUnavailable (not reachable in time, or no such
  // topic).
  absl::StatusOr<int> PartitionCount(const std::string& topic, absl::Duration timeout);

  // Copies the message into the queue; waits while that is full. Delivery is reported by Flush, delivered(),
  // failed(). The first message to a topic waits for an answer that it exists, up to connect_timeout. Errors:
  // kInvalidArgument (this message cannot be sent: too large; counted in failed), kUnavailable (no such
  // topic, no broker, or the producer has failed for good), kCancelled (interrupted while waiting; not
  // queued).
  absl::Status Produce(const std::string& topic, const Message& message);

  // Waits until every message was delivered or has failed. Errors: kUnavailable: some failed since the start,
  // or are still under way at the end of `timeout`; the text tells the first reason.
  absl::Status Flush(absl::Duration timeout);

  int64_t delivered() const { return delivered_; }  // acknowledged, as of the last call
  int64_t failed() const { return failed_; }
  const absl::Status& first_failure() const { return first_failure_; }

  // Transactions; Create must have had a transactional_id. Commit and Abort flush by themselves. Errors:
  // kUnavailable (Commit: the transaction was not committed; Abort is then the way on).
  absl::Status BeginTransaction();
  absl::Status CommitTransaction(absl::Duration timeout);
  absl::Status AbortTransaction(absl::Duration timeout);

  // A Produce or Flush that waits, and every later one, returns soon. Thread: any.
  void Interrupt() { interrupted_.store(true, std::memory_order_relaxed); }

 private:
  struct Callbacks;  // called by librdkafka from Poll
  KafkaProducer() = default;

  absl::StatusOr<rd_kafka_topic_s*> Topic(const std::string& name);
  void Poll(absl::Duration wait);
  void Fail(absl::Status why);
  absl::Status FatalError() const;

  rd_kafka_s* client_ = nullptr;
  absl::Duration connect_timeout_;
  std::map<std::string, rd_kafka_topic_s*> topics_;
  int64_t until_poll_ = 0;  // messages that may be queued before callbacks are served again
  int64_t delivered_ = 0;
  int64_t failed_ = 0;
  absl::Status first_failure_;
  std::string last_broker_error_;  // "Connection refused"; why nothing moves
  std::atomic<bool> interrupted_{false};
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_KAFKA_PRODUCER_H_
