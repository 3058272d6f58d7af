// engine/source/kafka_source.h: topics of a Kafka cluster as a Source.
//
// weir owns the offsets: partitions are assigned with explicit ones, never subscribed to, and an offset that the broker
// no longer has is an error, never a silent jump. The group only hears where the job stands, for lag tools.
//
// With OnDataLoss::kSkip reading goes on at the first offset that is there, or behind a batch that cannot be read (wrong CRC,
// compression that cannot be undone) however often it is asked for; the gap is declared. A log that ends before the job's
// offset, or holds another record at the last one, is another log: it is read from its beginning. `first_offset` is then moved
// with next_offset, so that the difference stays what the job has counted.
//
// A partition that has more, whose broker answers, and of which nothing comes for `stall_timeout` is assigned anew; if that
// does not help, the run ends with kDeadlineExceeded or, with kSkip and if its log end can be read, goes on behind the batch that
// it stands at. (librdkafka 2.0.2 says nothing of a batch whose records are longer than itself, and stands still.)
//
// Memory: librdkafka prefetches about `queue_bytes`; one fetch answer may come on top (compressed ones by a multiple).
// Up to 2.1 its broker thread sleeps for a second whenever that queue is full, and draining the queue does not wake it.
// A helper thread therefore asks the broker for the log end every few ms while there is room again: any request wakes
// the broker thread. The same thread refreshes lag, notices brokers that do not answer, and finds new partitions.
#ifndef WEIR_ENGINE_SOURCE_KAFKA_SOURCE_H_
#define WEIR_ENGINE_SOURCE_KAFKA_SOURCE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/record/chunk.h"
#include "engine/source/kafka_config.h"
#include "engine/source/source.h"

namespace weir {

struct KafkaSourceOptions {
  KafkaConfig config;
  std::vector<std::string> topics;       // names; "^…" is a POSIX extended regular expression
  std::string group = "weir";
  StartPoint from;                       // of partitions that a new job meets first
  std::optional<StartPoint> to;          // makes the source bounded
  absl::Duration connect_timeout = absl::Seconds(30);
  size_t queue_bytes = 64 << 20;
  bool keep_metadata = false;            // copy key and headers into the chunk
  absl::Duration metadata_refresh = absl::Seconds(5);
  OnDataLoss on_data_loss = OnDataLoss::kFail;
  // Ends of single partitions (next_offset), in a bounded source; then no other partition is read.
  std::vector<PartitionPosition> ends = {};
  absl::Duration stall_timeout = absl::Seconds(60);  // InfiniteDuration: nobody watches
};

class KafkaSource final : public Source {
 public:
  // Errors: kInvalidArgument (no brokers or topics, a bad regular expression, properties that do not fit together).
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Create(KafkaSourceOptions options);
  // Returns within about a second, also while brokers are down. What was read and not committed is read again.
  ~KafkaSource() override;

  absl::Status Open(const std::vector<PartitionPosition>& resume) override;
  absl::Status Poll(const PollLimits& limits, Chunk& chunk) override;
  const std::deque<PartitionState>& partitions() const override;
  std::vector<DataGap> TakeGaps() override;
  bool ended() const override;
  bool bounded() const override;
  bool may_idle() const override { return !bounded(); }
  bool advances_when_idle() const override { return !bounded(); }
  void Interrupt() override;
  void Committed(const std::vector<PartitionPosition>& positions) override;
  std::vector<std::string> TakeNotices() override;

 private:
  class Impl;
  explicit KafkaSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_KAFKA_SOURCE_H_
