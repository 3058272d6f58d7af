// Against the mock cluster of librdkafka, on loopback: no broker needed. It keeps 5 MiB per partition, which is also
// how records are made to expire here.
#include "engine/source/kafka_source.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace weir {
namespace {

using Key = std::pair<std::string, int32_t>;

bool Contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
std::string Message(const absl::Status& status) { return std::string(status.message()); }

class MockCluster {
 public:
  explicit MockCluster(int brokers = 1) {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    owner_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    cluster_ = rd_kafka_mock_cluster_new(owner_, brokers);
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster_), error, sizeof error);
    rd_kafka_conf_set(conf, "linger.ms", "1", error, sizeof error);
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  }
  ~MockCluster() {
    rd_kafka_purge(producer_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(producer_);
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(owner_);
  }
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  rd_kafka_mock_cluster_t* get() { return cluster_; }
  void Create(const std::string& topic, int partitions) {
    ASSERT_EQ(rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void Send(const std::string& topic, int partition, const std::string& value, int64_t timestamp = 0) {
    ASSERT_EQ(rd_kafka_producev(producer_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                                RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(timestamp),
                                RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  // Values "PARTITION:N"; returns once the cluster has them.
  void Fill(const std::string& topic, int partition, int from, int to, size_t pad = 0) {
    for (int i = from; i < to; ++i) Send(topic, partition, fmt::format("{}:{}", partition, i) + std::string(pad, ' '));
    Flush();
  }
  void Flush() { ASSERT_EQ(rd_kafka_flush(producer_, 20000), RD_KAFKA_RESP_ERR_NO_ERROR); }
  rd_kafka_t* producer() { return producer_; }

 private:
  rd_kafka_t* owner_;
  rd_kafka_mock_cluster_t* cluster_;
  rd_kafka_t* producer_;
};

// A record batch as no client would send it. The mock broker takes everything.
enum class Fault { kNone, kCrc, kCodec, kGarbage, kTruncated };

template <typename T>
void PutBig(std::string& out, T value) {
  for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> shift));
}
void PutVar(std::string& out, int64_t value) {
  uint64_t bits = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  for (; bits >= 0x80; bits >>= 7) out.push_back(static_cast<char>(bits | 0x80));
  out.push_back(static_cast<char>(bits));
}
uint32_t Crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const unsigned char c : bytes) {
    crc ^= c;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (0x82F63B78u & -(crc & 1));
  }
  return ~crc;
}
// Values "PARTITION:N" for N in [from, to).
std::string RecordBatch(int partition, int from, int to, Fault fault) {
  std::string records;
  for (int i = from; i < to; ++i) {
    const std::string value = fmt::format("{}:{}", partition, i);
    std::string record(1, '\0');
    for (const int64_t n : {int64_t{0}, int64_t{i - from}, int64_t{-1}, static_cast<int64_t>(value.size())}) PutVar(record, n);
    record += value;
    PutVar(record, 0);
    // A length beyond the batch stalls librdkafka 2.0.2 without a word.
    PutVar(records, static_cast<int64_t>(record.size()) + (fault == Fault::kTruncated ? 100'000 : 0));
    records += record;
  }
  if (fault == Fault::kGarbage) records.assign(60, '\xfe');
  std::string body;
  PutBig<int16_t>(body, fault == Fault::kCodec ? 5 : fault == Fault::kGarbage ? 2 : 0);
  PutBig<int32_t>(body, to - from - 1);
  for (const int64_t n : {1430429640000, 1430429640000, int64_t{-1}}) PutBig<int64_t>(body, n);
  PutBig<int16_t>(body, -1);
  PutBig<int32_t>(body, -1);
  PutBig<int32_t>(body, to - from);
  body += records;
  std::string batch;
  PutBig<int64_t>(batch, 0);
  PutBig<int32_t>(batch, static_cast<int32_t>(9 + body.size()));
  PutBig<int32_t>(batch, 0);
  batch.push_back(2);
  PutBig<uint32_t>(batch, Crc32c(body) ^ (fault == Fault::kCrc ? 1 : 0));
  return batch + body;
}
// Produce, version 7.
void Plant(const MockCluster& cluster, const std::string& topic, int partition, const std::string& batches) {
  std::string request;
  PutBig<int16_t>(request, 0);
  PutBig<int16_t>(request, 7);
  PutBig<int32_t>(request, 1);
  PutBig<int16_t>(request, -1);                       // client id
  PutBig<int16_t>(request, -1);                       // transactional id
  PutBig<int16_t>(request, -1);                       // acks
  PutBig<int32_t>(request, 5000);
  PutBig<int32_t>(request, 1);
  PutBig<int16_t>(request, static_cast<int16_t>(topic.size()));
  request += topic;
  PutBig<int32_t>(request, 1);
  PutBig<int32_t>(request, partition);
  PutBig<int32_t>(request, static_cast<int32_t>(batches.size()));
  request += batches;
  std::string sized;
  PutBig<int32_t>(sized, static_cast<int32_t>(request.size()));
  sized += request;
  const std::string address = cluster.brokers();
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = inet_addr(address.substr(0, address.find(':')).c_str());
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  ASSERT_EQ(send(fd, sized.data(), sized.size(), 0), static_cast<ssize_t>(sized.size()));
  char answer[512];
  ASSERT_GT(recv(fd, answer, sizeof answer, 0), 4);
  close(fd);
}

KafkaSourceOptions Options(const MockCluster& cluster, std::vector<std::string> topics) {
  KafkaSourceOptions options;
  options.config.brokers = cluster.brokers();
  options.topics = std::move(topics);
  options.connect_timeout = absl::Seconds(10);
  options.metadata_refresh = absl::Milliseconds(200);
  return options;
}

KafkaSourceOptions Skipping(KafkaSourceOptions options) {
  options.on_data_loss = OnDataLoss::kSkip;
  return options;
}

KafkaSourceOptions Bounded(const MockCluster& cluster, std::vector<std::string> topics) {
  KafkaSourceOptions options = Options(cluster, std::move(topics));
  options.to = StartPoint{StartPoint::Kind::kLatest};
  return options;
}

std::unique_ptr<KafkaSource> Make(KafkaSourceOptions options) {
  auto source = KafkaSource::Create(std::move(options));
  EXPECT_TRUE(source.ok()) << Message(source.status());
  return source.ok() ? *std::move(source) : nullptr;
}

std::unique_ptr<KafkaSource> Opened(KafkaSourceOptions options, const std::vector<PartitionPosition>& resume = {}) {
  auto source = Make(std::move(options));
  const absl::Status status = source->Open(resume);
  EXPECT_TRUE(status.ok()) << Message(status);
  return source;
}

absl::Status OpenError(KafkaSourceOptions options, const std::vector<PartitionPosition>& resume = {}) {
  return Make(std::move(options))->Open(resume);
}

struct Read {
  std::map<Key, std::vector<std::string>> values;
  std::map<Key, std::vector<int64_t>> offsets;
  size_t records = 0;
  absl::Status status;
};

// Polls until `enough(read)`, the end, an error, or the time is over.
template <typename F>
Read ReadUntil(KafkaSource& source, F enough, absl::Duration most = absl::Seconds(20), int64_t max_records = 1000000) {
  Read read;
  Chunk chunk;
  const absl::Time end = absl::Now() + most;
  while (absl::Now() < end && !source.ended() && !enough(read)) {
    chunk.Clear();
    read.status = source.Poll({max_records, 1 << 20, absl::Now() + absl::Milliseconds(300)}, chunk);
    if (!read.status.ok()) break;
    for (const RawRecord& r : chunk.records) {
      const PartitionPosition& p = source.partitions()[r.partition].position;
      std::string value(chunk.payload(r));
      value.erase(value.find_last_not_of(' ') + 1);
      read.values[{p.topic, p.partition}].push_back(std::move(value));
      read.offsets[{p.topic, p.partition}].push_back(r.offset);
      ++read.records;
    }
  }
  return read;
}

Read ReadAll(KafkaSource& source) {
  return ReadUntil(source, [](const Read&) { return false; });
}
auto Records(size_t n) {
  return [n](const Read& read) { return read.records >= n; };
}

void ExpectRun(const Read& read, const Key& key, int from, int to) {
  const auto it = read.values.find(key);
  ASSERT_EQ(it == read.values.end() ? 0 : static_cast<int>(it->second.size()), to - from) << key.first << key.second;
  for (int i = from; i < to; ++i) {
    ASSERT_EQ(it->second[i - from], fmt::format("{}:{}", key.second, i));
    ASSERT_EQ(read.offsets.at(key)[i - from], i);
  }
}

std::vector<PartitionPosition> Positions(const KafkaSource& source) {
  std::vector<PartitionPosition> positions;
  for (const PartitionState& p : source.partitions()) positions.push_back(p.position);
  return positions;
}

TEST(KafkaSourceTest, BoundedRunReadsEveryRecordOfAllTopicsOnceAndInOrder) {
  MockCluster cluster(3);
  cluster.Create("a", 4);
  cluster.Create("b", 2);
  for (int p = 0; p < 4; ++p) cluster.Fill("a", p, 0, 500 + p);
  cluster.Fill("b", 1, 0, 300);  // b 0 stays empty
  auto source = Opened(Bounded(cluster, {"a", "b"}));
  EXPECT_TRUE(source->bounded());
  EXPECT_FALSE(source->may_idle());
  EXPECT_FALSE(source->advances_when_idle());
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  EXPECT_TRUE(source->ended());
  for (int p = 0; p < 4; ++p) ExpectRun(read, {"a", p}, 0, 500 + p);
  ExpectRun(read, {"b", 1}, 0, 300);
  EXPECT_EQ(read.records, 4u * 500 + 6 + 300);
  ASSERT_EQ(source->partitions().size(), 6u);
  for (const PartitionState& p : source->partitions()) {
    EXPECT_TRUE(p.ended);
    EXPECT_EQ(p.position.first_offset, 0);
    EXPECT_EQ(p.position.next_offset, p.end_offset);
  }
}

// Records that come after Open are not part of a run `--to latest`.
TEST(KafkaSourceTest, ToLatestEndsAtWhatWasThereAtStart) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 100);
  auto source = Opened(Bounded(cluster, {"t"}));
  cluster.Fill("t", 0, 100, 200);
  const Read read = ReadAll(*source);
  ExpectRun(read, {"t", 0}, 0, 100);
  EXPECT_EQ(source->partitions()[0].position.next_offset, 100);
}

TEST(KafkaSourceTest, GoesOnWhereTheResultsFileSays) {
  MockCluster cluster;
  cluster.Create("t", 2);
  for (int p = 0; p < 2; ++p) cluster.Fill("t", p, 0, 400);
  std::vector<PartitionPosition> stored;
  std::map<Key, int> seen;
  {
    auto source = Opened(Options(cluster, {"t"}));
    const Read read = ReadUntil(*source, Records(150), absl::Seconds(20), /*max_records=*/50);
    ASSERT_GE(read.records, 150u);
    ASSERT_LT(read.records, 800u);
    for (const auto& [key, values] : read.values) {
      ExpectRun(read, key, 0, static_cast<int>(values.size()));
      seen[key] = static_cast<int>(values.size());
    }
    stored = Positions(*source);
  }
  KafkaSourceOptions options = Bounded(cluster, {"t"});
  options.from = StartPoint{StartPoint::Kind::kLatest};  // for what the file does not know: nothing
  auto source = Opened(options, stored);
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  for (int p = 0; p < 2; ++p) {
    const Key key{"t", p};
    ExpectRun(read, key, seen[key], 400);
  }
}

// The job exists: a partition that it does not know appeared later, and begins at its beginning whatever --from says.
TEST(KafkaSourceTest, PartitionUnknownToTheJobStartsAtItsBeginning) {
  MockCluster cluster;
  cluster.Create("t", 2);
  for (int p = 0; p < 2; ++p) cluster.Fill("t", p, 0, 50);
  KafkaSourceOptions options = Bounded(cluster, {"t"});
  options.from = StartPoint{StartPoint::Kind::kLatest};
  auto source = Opened(options, {{"t", 0, 0, 20, ""}});
  const Read read = ReadAll(*source);
  ExpectRun(read, {"t", 0}, 20, 50);
  ExpectRun(read, {"t", 1}, 0, 50);
}

TEST(KafkaSourceTest, LimitsAreKeptAndNothingIsLostBetweenPolls) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 300, /*pad=*/1000);
  auto source = Opened(Bounded(cluster, {"t"}));
  Chunk chunk;
  int64_t expected = 0;
  for (int i = 0; !source->ended() && i < 2000; ++i) {
    chunk.Clear();
    const bool by_bytes = i % 2;
    const absl::Status status =
        source->Poll({by_bytes ? 1000 : 7, by_bytes ? size_t{5000} : size_t{1} << 20, absl::Now() + absl::Seconds(1)}, chunk);
    ASSERT_TRUE(status.ok()) << Message(status);
    EXPECT_LE(chunk.records.size(), by_bytes ? 4u : 7u);
    EXPECT_LE(chunk.size(), by_bytes ? 5000u : 8000u);
    for (const RawRecord& r : chunk.records) EXPECT_EQ(r.offset, expected++);
    EXPECT_EQ(source->partitions()[0].position.next_offset, expected);
  }
  EXPECT_EQ(expected, 300);
}

TEST(KafkaSourceTest, ARecordLargerThanTheLimitStillComesAlone) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 2, /*pad=*/3000);
  auto source = Opened(Bounded(cluster, {"t"}));
  Chunk chunk;
  ASSERT_TRUE(source->Poll({10, 100, absl::Now() + absl::Seconds(10)}, chunk).ok());
  EXPECT_EQ(chunk.records.size(), 1u);
}

TEST(KafkaSourceTest, InterruptEndsARunningPollAndLaterOnes) {
  MockCluster cluster;
  cluster.Create("t", 1);
  auto source = Opened(Options(cluster, {"t"}));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    source->Interrupt();
  });
  Chunk chunk;
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(source->Poll({10, 1 << 20, begin + absl::Seconds(30)}, chunk).ok());
  EXPECT_TRUE(source->Poll({10, 1 << 20, begin + absl::Seconds(30)}, chunk).ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  other.join();
}

TEST(KafkaSourceTest, PollReturnsAtItsDeadlineWithoutRecords) {
  MockCluster cluster;
  cluster.Create("t", 1);
  auto source = Opened(Options(cluster, {"t"}));
  Chunk chunk;
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(source->Poll({10, 1 << 20, begin + absl::Milliseconds(150)}, chunk).ok());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(150));
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(1000));
  EXPECT_TRUE(chunk.records.empty());
}

TEST(KafkaSourceTest, MissingTopicIsNamedWithinTheTimeout) {
  MockCluster cluster;
  cluster.Create("there", 1);
  rd_kafka_mock_topic_set_error(cluster.get(), "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  KafkaSourceOptions options = Options(cluster, {"there", "absent"});
  options.connect_timeout = absl::Seconds(1);
  const absl::Time begin = absl::Now();
  const absl::Status status = OpenError(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(Message(status), "\"absent\"")) << Message(status);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
}

TEST(KafkaSourceTest, DeadBrokerIsNamedWithTheCause) {
  KafkaSourceOptions options;
  options.config.brokers = "127.0.0.1:1";
  options.topics = {"t"};
  options.connect_timeout = absl::Seconds(1);
  const absl::Time begin = absl::Now();
  const absl::Status status = OpenError(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(Message(status), "127.0.0.1:1")) << Message(status);
  EXPECT_TRUE(Contains(Message(status), "refused")) << Message(status);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
}

TEST(KafkaSourceTest, ExpiredRecordsStopTheJobWithTheLostRange) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 120, /*pad=*/100'000);  // 12 MB into 5 MiB
  const absl::Status status = OpenError(Options(cluster, {"t"}), {{"t", 0, 0, 3, ""}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(status), "topic \"t\" partition 0 lost offsets 3..")) << Message(status);
  EXPECT_TRUE(Contains(Message(status), "--reset")) << Message(status);
}

TEST(KafkaSourceTest, RecordsThatExpireWhileTheJobRunsStopItToo) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 40, /*pad=*/100'000);
  KafkaSourceOptions options = Options(cluster, {"t"});
  options.queue_bytes = 1 << 20;
  auto source = Opened(options);
  Read read = ReadUntil(*source, Records(2), absl::Seconds(10), /*max_records=*/1);
  ASSERT_EQ(read.records, 2u);
  cluster.Fill("t", 0, 40, 200, /*pad=*/100'000);
  read = ReadUntil(*source, Records(1000));
  EXPECT_EQ(read.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(read.status), "lost offsets")) << Message(read.status);
  const int64_t next = source->partitions()[0].position.next_offset;
  EXPECT_TRUE(Contains(Message(read.status), fmt::format("lost offsets {}..", next))) << Message(read.status);
  EXPECT_EQ(read.records, static_cast<size_t>(next) - 2);  // what had been fetched was handed over first
}

void ExpectGap(const DataGap& gap, PartitionIndex partition, int64_t first, int64_t next, std::string_view word) {
  EXPECT_EQ(gap.partition, partition);
  EXPECT_EQ(gap.first_offset, first);
  EXPECT_EQ(gap.next_offset, next);
  EXPECT_TRUE(Contains(gap.reason, word)) << gap.reason;
}

// --on-data-loss skip, for all that the tests around say of fail.
TEST(KafkaSourceTest, ExpiredRecordsMayBeSkipped) {
  MockCluster cluster;
  cluster.Create("t", 2);
  cluster.Fill("t", 0, 0, 120, /*pad=*/100'000);
  cluster.Fill("t", 1, 0, 5);
  auto source = Opened(Skipping(Bounded(cluster, {"t"})), {{"t", 0, 1, 3, ""}, {"t", 1, 0, 5, ""}});
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  const int64_t low = gaps[0].next_offset;
  ASSERT_GT(low, 60);
  ExpectGap(gaps[0], 0, 3, low, fmt::format("first offset is {} now", low));
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  EXPECT_EQ(read.offsets.at({"t", 0}).front(), low);
  EXPECT_EQ(read.records, static_cast<size_t>(120 - low));
  EXPECT_EQ(source->partitions()[0].position.first_offset, 1);
  EXPECT_TRUE(source->TakeGaps().empty());
}

// A bounded run reads what is there: an end that a log has not reached is not waited for.
TEST(KafkaSourceTest, AnEndBeyondTheLogIsTheLogsEnd) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 20, /*pad=*/10);
  KafkaSourceOptions options = Options(cluster, {"t"});
  options.to = StartPoint{StartPoint::Kind::kOffset, 1'000};
  auto source = Opened(options);
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!source->ended() && absl::Now() < deadline) {
    Chunk chunk;
    ASSERT_TRUE(source->Poll({.max_records = 1'000, .max_bytes = 1 << 20, .deadline = absl::Now() + absl::Seconds(1)}, chunk).ok());
  }
  EXPECT_TRUE(source->ended());
  EXPECT_EQ(source->partitions()[0].position.next_offset, 20);
  const std::vector<std::string> notices = source->TakeNotices();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find("ends at offset 20"), std::string::npos) << notices[0];
}

// The end of a bounded run is not passed by a jump.
TEST(KafkaSourceTest, SkippingEndsWhereTheRunEnds) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 120, /*pad=*/100'000);
  KafkaSourceOptions options = Skipping(Options(cluster, {"t"}));
  options.to = StartPoint{StartPoint::Kind::kOffset, 30};
  auto source = Opened(options, {{"t", 0, 0, 3, ""}});
  EXPECT_TRUE(source->ended());
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  ExpectGap(gaps[0], 0, 3, 30, "gone");
  EXPECT_EQ(source->partitions()[0].position.next_offset, 30);
}

TEST(KafkaSourceTest, RecordsThatExpireWhileTheJobRunsMayBeSkippedToo) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 40, /*pad=*/100'000);
  KafkaSourceOptions options = Skipping(Options(cluster, {"t"}));
  options.queue_bytes = 1 << 20;
  auto source = Opened(options);
  Read read = ReadUntil(*source, Records(2), absl::Seconds(10), /*max_records=*/1);
  ASSERT_EQ(read.records, 2u);
  cluster.Fill("t", 0, 40, 200, /*pad=*/100'000);
  read = ReadUntil(*source, [&](const Read&) { return source->partitions()[0].position.next_offset == 200; });
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  std::vector<int64_t> expected;
  for (int64_t i = 2; i < 200; ++i)
    if (i < gaps[0].first_offset || i >= gaps[0].next_offset) expected.push_back(i);
  EXPECT_EQ(read.offsets.at({"t", 0}), expected);
}

// Another log at the same place is read from its beginning, and what the job has counted stays counted.
TEST(KafkaSourceTest, ARecreatedTopicMayBeReadFromItsBeginning) {
  MockCluster cluster;
  cluster.Create("t", 3);
  for (int p = 0; p < 3; ++p) cluster.Fill("t", p, 0, 50);
  auto source = Opened(Bounded(cluster, {"t"}));
  ReadAll(*source);
  std::vector<PartitionPosition> stored = Positions(*source);
  source.reset();
  const size_t at = stored[1].cursor.find("crc=") + 4;
  stored[1].cursor[at] = stored[1].cursor[at] == '0' ? '1' : '0';  // as long as the old one
  stored[2].next_offset = 70;                                      // shorter
  const absl::Time begin = absl::Now();
  source = Opened(Skipping(Bounded(cluster, {"t"})), stored);
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(8));
  EXPECT_EQ(read.values.count({"t", 0}), 0u);
  ExpectRun(read, {"t", 1}, 0, 50);
  ExpectRun(read, {"t", 2}, 0, 50);
  std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 2u);
  if (gaps[0].partition == 1) std::swap(gaps[0], gaps[1]);
  ExpectGap(gaps[0], 2, 70, 70, "ends at offset 50");
  ExpectGap(gaps[1], 1, 50, 50, "another record");
  for (int p = 0; p < 3; ++p) {
    const PartitionPosition& now = source->partitions()[p].position;
    EXPECT_EQ(now.next_offset, 50);
    EXPECT_EQ(now.next_offset - now.first_offset, p == 0 ? 50 : p == 1 ? 50 + 50 : 70 + 50);
  }
  // The next run finds what it left.
  stored = Positions(*source);
  source = Opened(Skipping(Bounded(cluster, {"t"})), stored);
  EXPECT_EQ(ReadAll(*source).records, 0u);
  EXPECT_TRUE(source->TakeGaps().empty());
}

TEST(KafkaSourceTest, APartitionThatIsGoneKeepsItsPlaceAndIsToldOnce) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 10);
  const std::vector<PartitionPosition> stored = {{"t", 0, 0, 4, ""}, {"t", 5, 2, 9, ""}};
  EXPECT_EQ(OpenError(Options(cluster, {"t"}), stored).code(), absl::StatusCode::kDataLoss);
  auto source = Opened(Skipping(Bounded(cluster, {"t"})), stored);
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  ExpectGap(gaps[0], 1, 9, 9, "gone");
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  EXPECT_EQ(read.offsets.at({"t", 0}).front(), 4);
  const std::vector<PartitionPosition> after = Positions(*source);
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[1].next_offset, 9);
  EXPECT_EQ(after[1].first_offset, 2);
  source = Opened(Skipping(Bounded(cluster, {"t"})), after);
  EXPECT_TRUE(source->ended());
  EXPECT_TRUE(source->TakeGaps().empty());
}

TEST(KafkaSourceTest, TopicThatEndsBeforeTheJobsOffsetWasTruncated) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 10);
  const absl::Status status = OpenError(Options(cluster, {"t"}), {{"t", 0, 0, 4711, ""}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(status), "10") && Contains(Message(status), "4711")) << Message(status);
}

TEST(KafkaSourceTest, AnotherClusterIsRefusedWithBothNames) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 10);
  const absl::Status status = OpenError(Options(cluster, {"t"}), {{"t", 0, 0, 5, "cluster=elsewhere;crc=0;last=4"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(status), "elsewhere") && Contains(Message(status), "mock")) << Message(status);
}

// A topic deleted and filled again has the offsets, but not the records.
TEST(KafkaSourceTest, AnotherRecordAtTheLastOffsetMeansARecreatedTopic) {
  MockCluster cluster;
  cluster.Create("t", 2);
  for (int p = 0; p < 2; ++p) cluster.Fill("t", p, 0, 50);
  auto source = Opened(Bounded(cluster, {"t"}));
  ReadAll(*source);
  std::vector<PartitionPosition> stored = Positions(*source);
  source.reset();
  for (PartitionPosition& p : stored) ASSERT_TRUE(Contains(p.cursor, ";last=49")) << p.cursor;
  EXPECT_TRUE(OpenError(Options(cluster, {"t"}), stored).ok());
  const size_t at = stored[1].cursor.find("crc=") + 4;
  stored[1].cursor[at] = stored[1].cursor[at] == '0' ? '1' : '0';
  const absl::Status status = OpenError(Options(cluster, {"t"}), stored);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(status), "topic \"t\" partition 1 offset 49")) << Message(status);
  // Also when there is nothing more to read.
  EXPECT_EQ(OpenError(Bounded(cluster, {"t"}), stored).code(), absl::StatusCode::kDataLoss);
}

TEST(KafkaSourceTest, AnotherClusterWithTheSameRecordsMayBeGoneOnWith) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 10);
  auto source = Opened(Skipping(Bounded(cluster, {"t"})), {{"t", 0, 0, 5, "cluster=elsewhere"}});
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  ExpectGap(gaps[0], 0, 5, 5, "cluster elsewhere");
  const Read read = ReadAll(*source);
  EXPECT_EQ(read.offsets.at({"t", 0}).front(), 5);
  EXPECT_FALSE(Contains(source->partitions()[0].position.cursor, "elsewhere"));
}

struct BadBatchCase {
  const char* name;
  Fault fault;
  const char* word;
};
class BadBatchTest : public testing::TestWithParam<BadBatchCase> {};
INSTANTIATE_TEST_SUITE_P(All, BadBatchTest,
                         testing::Values(BadBatchCase{"Crc", Fault::kCrc, "CRC32C"},
                                         BadBatchCase{"Codec", Fault::kCodec, "codec 0x5"},
                                         BadBatchCase{"Garbage", Fault::kGarbage, "codec 0x2"}),
                         [](const auto& info) { return info.param.name; });

TEST_P(BadBatchTest, StopsTheJobAfterTheRecordsBeforeIt) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 3);
  Plant(cluster, "t", 0, RecordBatch(0, 3, 7, GetParam().fault));
  cluster.Fill("t", 0, 7, 20);
  auto source = Opened(Bounded(cluster, {"t"}));
  const Read read = ReadAll(*source);
  EXPECT_EQ(read.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Contains(Message(read.status), "topic \"t\" partition 0 cannot be read at offset 3")) << Message(read.status);
  EXPECT_TRUE(Contains(Message(read.status), GetParam().word)) << Message(read.status);
  ExpectRun(read, {"t", 0}, 0, 3);
}

// Exactly the batch is passed over, however long it is, and whatever stands behind it.
TEST_P(BadBatchTest, MayBeSkippedAndNothingElse) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 3);
  Plant(cluster, "t", 0, RecordBatch(0, 3, 40, GetParam().fault));
  Plant(cluster, "t", 0, RecordBatch(0, 40, 42, Fault::kNone));
  Plant(cluster, "t", 0, RecordBatch(0, 42, 43, GetParam().fault));
  cluster.Fill("t", 0, 43, 60);
  Plant(cluster, "t", 0, RecordBatch(0, 60, 63, GetParam().fault));  // and at the end
  auto source = Opened(Skipping(Bounded(cluster, {"t"})));
  const Read read = ReadAll(*source);
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  std::vector<int64_t> expected = {0, 1, 2, 40, 41};
  for (int64_t i = 43; i < 60; ++i) expected.push_back(i);
  EXPECT_EQ(read.offsets.at({"t", 0}), expected);
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 3u);
  ExpectGap(gaps[0], 0, 3, 40, GetParam().word);
  ExpectGap(gaps[1], 0, 42, 43, GetParam().word);
  ExpectGap(gaps[2], 0, 60, 63, GetParam().word);
}

// librdkafka 2.0.2 says nothing of a batch whose records are longer than itself, and asks for it again and again.
void PlantStall(MockCluster& cluster) {
  cluster.Create("t", 2);
  cluster.Fill("t", 0, 0, 3);
  cluster.Fill("t", 1, 0, 5);
  Plant(cluster, "t", 0, RecordBatch(0, 3, 5, Fault::kTruncated));
  cluster.Fill("t", 0, 5, 20);
}

TEST(KafkaSourceTest, APartitionThatStandsStillIsAskedAnewAndThenEndsTheRun) {
  MockCluster cluster;
  PlantStall(cluster);
  KafkaSourceOptions options = Bounded(cluster, {"t"});
  options.stall_timeout = absl::Seconds(1);
  auto source = Opened(options);
  const Read read = ReadAll(*source);
  EXPECT_EQ(read.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Contains(Message(read.status), "topic \"t\" partition 0 stands still at offset 3, 17 before its end")) << Message(read.status);
  EXPECT_TRUE(Contains(Message(read.status), "--on-data-loss skip")) << Message(read.status);
  ExpectRun(read, {"t", 0}, 0, 3);
  ExpectRun(read, {"t", 1}, 0, 5);
  const std::vector<std::string> notices = source->TakeNotices();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_TRUE(Contains(notices[0], "partition 0 stands still at offset 3") && Contains(notices[0], "asked for anew")) << notices[0];
}

TEST(KafkaSourceTest, APartitionThatStandsStillMayGoOnBehindTheBatch) {
  MockCluster cluster;
  PlantStall(cluster);
  KafkaSourceOptions options = Skipping(Bounded(cluster, {"t"}));
  options.stall_timeout = absl::Seconds(1);
  auto source = Opened(options);
  const Read read = ReadUntil(*source, [](const Read&) { return false; }, absl::Seconds(60));
  ASSERT_TRUE(read.status.ok()) << Message(read.status);
  ASSERT_TRUE(source->ended());
  std::vector<int64_t> expected = {0, 1, 2};
  for (int64_t i = 5; i < 20; ++i) expected.push_back(i);
  EXPECT_EQ(read.offsets.at({"t", 0}), expected);
  const std::vector<DataGap> gaps = source->TakeGaps();
  ASSERT_EQ(gaps.size(), 1u);
  ExpectGap(gaps[0], 0, 3, 5, "nothing came");
}

// What only looks like standing still: a broker that is away, an engine that is busy, a partition that has no more.
TEST(KafkaSourceTest, SilenceOfTheBrokerOrTheEngineIsNoStall) {
  MockCluster cluster;
  cluster.Create("t", 2);
  cluster.Fill("t", 0, 0, 30);
  KafkaSourceOptions options = Options(cluster, {"t"});
  options.stall_timeout = absl::Seconds(1);
  auto source = Opened(options);
  EXPECT_EQ(ReadUntil(*source, Records(10), absl::Seconds(20), /*max_records=*/10).records, 10u);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // busy, with records waiting
  EXPECT_EQ(ReadUntil(*source, Records(20)).records, 20u);
  EXPECT_EQ(ReadUntil(*source, Records(1), absl::Milliseconds(2500)).records, 0u);  // no more
  EXPECT_TRUE(source->TakeNotices().empty());
  cluster.Fill("t", 0, 30, 40);
  rd_kafka_mock_broker_set_down(cluster.get(), 1);
  Read read = ReadUntil(*source, Records(10), absl::Seconds(4));
  EXPECT_TRUE(read.status.ok()) << Message(read.status);
  rd_kafka_mock_broker_set_up(cluster.get(), 1);
  const Read rest = ReadUntil(*source, Records(10 - read.records));
  EXPECT_EQ(read.records + rest.records, 10u);
  for (const std::string& notice : source->TakeNotices()) EXPECT_FALSE(Contains(notice, "stands still")) << notice;
}

TEST(KafkaSourceTest, CatchesUpAndGoesOnWithNewRecords) {
  MockCluster cluster;
  cluster.Create("t", 2);
  cluster.Fill("t", 0, 0, 20);
  auto source = Opened(Options(cluster, {"t"}));
  EXPECT_TRUE(source->may_idle());
  const auto caught_up = [&](const Read&) {
    return source->partitions()[0].caught_up && source->partitions()[1].caught_up;  // 1 is empty
  };
  Read read = ReadUntil(*source, caught_up);
  ASSERT_TRUE(caught_up(read));
  ExpectRun(read, {"t", 0}, 0, 20);
  EXPECT_EQ(source->partitions()[0].end_offset, 20);
  cluster.Fill("t", 0, 20, 40);
  cluster.Fill("t", 1, 0, 5);
  const absl::Time begin = absl::Now();
  read = ReadUntil(*source, Records(25));
  EXPECT_EQ(read.records, 25u);
  EXPECT_EQ(read.offsets.at({"t", 0}).front(), 20);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_FALSE(source->ended());
}

TEST(KafkaSourceTest, RegularExpressionWaitsForTopicsAndReadsThemFromTheirBeginning) {
  MockCluster cluster;
  cluster.Create("other", 1);
  cluster.Fill("other", 0, 0, 5);
  KafkaSourceOptions options = Options(cluster, {"^news\\."});
  options.from = StartPoint{StartPoint::Kind::kLatest};
  auto source = Opened(options);
  EXPECT_EQ(source->partitions().size(), 0u);
  cluster.Create("news.en", 2);
  cluster.Create("__news.internal", 1);
  for (int p = 0; p < 2; ++p) cluster.Fill("news.en", p, 0, 30);
  const Read read = ReadUntil(*source, Records(60));
  for (int p = 0; p < 2; ++p) ExpectRun(read, {"news.en", p}, 0, 30);
  EXPECT_EQ(source->partitions().size(), 2u);
}

TEST(KafkaSourceTest, StartAndEndPoints) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 100);
  const auto run = [&](const char* from, const char* to) {
    KafkaSourceOptions options = Options(cluster, {"t"});
    options.from = *ParseStartPoint(from);
    options.to = *ParseStartPoint(to);
    auto source = Opened(options);
    Read read = ReadAll(*source);
    EXPECT_TRUE(source->ended());
    const auto& offsets = read.offsets[{"t", 0}];
    return offsets.empty() ? std::string("none") : fmt::format("{}..{}", offsets.front(), offsets.back());
  };
  EXPECT_EQ(run("earliest", "latest"), "0..99");
  EXPECT_EQ(run("latest", "latest"), "none");
  EXPECT_EQ(run("40", "60"), "40..59");
  EXPECT_EQ(run("-10", "latest"), "90..99");
  EXPECT_EQ(run("earliest", "-10"), "0..89");
  EXPECT_EQ(run("committed", "5"), "0..4");  // nothing committed: the beginning
  EXPECT_EQ(run("60", "40"), "none");
}

TEST(KafkaSourceTest, CommittedOffsetsReachTheGroup) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 100);
  KafkaSourceOptions options = Bounded(cluster, {"t"});
  options.group = "lag";
  options.to = ParseStartPoint("60").value();
  auto source = Opened(options);
  ReadAll(*source);
  source->Committed(Positions(*source));
  // The coordinator is looked up in the background; the last commit of a run waits for it for a moment only.
  absl::SleepFor(absl::Seconds(2));
  source.reset();
  options.to = ParseStartPoint("latest").value();
  options.from = ParseStartPoint("committed").value();
  source = Opened(options);
  ExpectRun(ReadAll(*source), {"t", 0}, 60, 100);
}

TEST(KafkaSourceTest, KeysHeadersTombstonesAndTimestamps) {
  MockCluster cluster;
  cluster.Create("t", 1);
  char key[] = "k1", value[] = "v1", header[] = "blue";
  ASSERT_EQ(rd_kafka_producev(cluster.producer(), RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_KEY(key, 2),
                              RD_KAFKA_V_VALUE(value, 2), RD_KAFKA_V_HEADER("color", header, 4),
                              RD_KAFKA_V_TIMESTAMP(1430429641000), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
  ASSERT_EQ(rd_kafka_producev(cluster.producer(), RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_KEY(key, 2),
                              RD_KAFKA_V_VALUE(nullptr, 0), RD_KAFKA_V_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
  cluster.Flush();
  KafkaSourceOptions options = Options(cluster, {"t"});
  options.keep_metadata = true;
  auto source = Opened(options);
  std::vector<std::string> seen;
  Chunk chunk;
  for (int i = 0; i < 100 && seen.size() < 2; ++i) {
    chunk.Clear();
    ASSERT_TRUE(source->Poll({10, 1 << 20, absl::Now() + absl::Milliseconds(200)}, chunk).ok());
    for (const RawRecord& r : chunk.records) {
      EXPECT_TRUE(r.has_key);
      std::string headers(chunk.headers(r));
      seen.push_back(fmt::format("{}|{}|{}", chunk.key(r), chunk.payload(r), headers.size()));
      if (seen.size() > 1) continue;
      EXPECT_EQ(r.timestamp_ms, 1430429641000);
      uint32_t size;
      std::memcpy(&size, headers.data(), 4);
      EXPECT_EQ(headers.substr(4, size), "color");
      EXPECT_EQ(headers.substr(4 + size + 4), "blue");
    }
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"k1|v1|17", "k1||0"}));
}

TEST(KafkaSourceTest, OutageIsToldOnceAndEndsNothing) {
  MockCluster cluster;
  cluster.Create("t", 1);
  cluster.Fill("t", 0, 0, 10);
  auto source = Opened(Options(cluster, {"t"}));
  EXPECT_EQ(ReadUntil(*source, Records(10)).records, 10u);
  std::vector<std::string> notices;
  const auto told = [&](std::string_view what) {
    return [&, what](const Read&) {
      for (std::string& n : source->TakeNotices()) notices.push_back(std::move(n));
      return !notices.empty() && Contains(notices.back(), what);
    };
  };
  rd_kafka_mock_broker_set_down(cluster.get(), 1);
  Read read = ReadUntil(*source, told(" is down: "), absl::Seconds(10));
  EXPECT_TRUE(read.status.ok());
  ReadUntil(*source, told("nothing more"), absl::Seconds(2));
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_TRUE(Contains(notices[0], "127.0.0.1:")) << notices[0];
  rd_kafka_mock_broker_set_up(cluster.get(), 1);
  ReadUntil(*source, told(" is back"), absl::Seconds(10));
  ASSERT_EQ(notices.size(), 2u);
  cluster.Fill("t", 0, 10, 20);
  EXPECT_EQ(ReadUntil(*source, Records(10)).records, 10u);
}

// Without the wake-ups the client sleeps for up to a second whenever the queue was full: this then takes several times
// as long.
TEST(KafkaSourceTest, SmallQueueDoesNotStandStill) {
  MockCluster cluster;
  cluster.Create("t", 24);
  for (int p = 0; p < 24; ++p) cluster.Fill("t", p, 0, 1500, /*pad=*/3000);
  KafkaSourceOptions options = Bounded(cluster, {"t"});
  options.queue_bytes = 1 << 20;
  auto source = Opened(options);
  const absl::Time begin = absl::Now();
  const Read read = ReadAll(*source);
  const absl::Duration took = absl::Now() - begin;
  EXPECT_EQ(read.records, 36000u);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(took, absl::Seconds(60));  // the checks of the sanitizer take most of it
#else
  EXPECT_LT(took, absl::Seconds(6));
#endif
}

TEST(KafkaSourceTest, WhatCannotWorkIsRefusedBeforeAnyConnection) {
  const auto error = [](KafkaSourceOptions options) { return KafkaSource::Create(std::move(options)).status(); };
  KafkaSourceOptions options;
  options.topics = {"t"};
  EXPECT_EQ(error(options).code(), absl::StatusCode::kInvalidArgument);
  options.config.brokers = "127.0.0.1:1";
  options.topics = {"^news("};
  EXPECT_EQ(error(options).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(Message(error(options)), "^news(")) << Message(error(options));
  options.topics = {};
  EXPECT_EQ(error(options).code(), absl::StatusCode::kInvalidArgument);
}

// ---- properties ----

absl::Status Add(std::string_view item) {
  KafkaConfig config;
  return AddKafkaProperty(item, config);
}

TEST(KafkaConfigTest, RefusalsSayWhyAndWhatInstead) {
  const std::pair<const char*, const char*> cases[] = {
      {"bootstrap.servers=x:1", "--brokers"},
      {"group.id=x", "--group"},
      {"auto.offset.reset=latest", "--from"},
      {"enable.auto.commit=true", "results file"},
      {"isolation.level=read_uncommitted", "committed"},
      {"check.crcs=false", "checked"},
      {"enable.partition.eof=false", "caught up"},
      {"plugin.library.paths=./x", "foreign code"},
      {"ssl.engine.location=./x", "foreign code"},
      {"test.mock.num.brokers=1", "--brokers"},
      {"sasl.kerberos.kinit.cmd=sh", "shell"},
      {"sasl.jaas.config=x", "sasl.username"},
      {"securty.protocol=ssl", "Did you mean \"security.protocol\"?"},
      {"security.protocol=tls", "security.protocol"},
      {"fetch.wait.max.ms", "KEY=VALUE"},
      {"sasl.password=env:WEIR_TEST_NOT_SET", "WEIR_TEST_NOT_SET"},
      {"sasl.password=file:/nonexistent/x", "/nonexistent/x"},
      {"sasl.password=file:/tmp", "the file /tmp"},
      {"sasl.password=file:/dev/zero", "the file /dev/zero"},
  };
  for (const auto& [item, hint] : cases) {
    const absl::Status status = Add(item);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << item;
    EXPECT_TRUE(Contains(Message(status), hint)) << item << ": " << Message(status);
  }
  EXPECT_TRUE(Add("security.protocol=sasl_ssl").ok());
}

TEST(KafkaConfigTest, SecretOnTheCommandLineIsRefusedAndNotRepeated) {
  for (const char* name : {"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
                           "sasl.oauthbearer.client.secret"}) {
    const absl::Status status = Add(fmt::format("{}=canary", name));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_FALSE(Contains(Message(status), "canary")) << Message(status);
    EXPECT_TRUE(Contains(Message(status), "env:NAME")) << Message(status);
  }
}

TEST(KafkaConfigTest, SecretsComeFromEnvironmentFileOrPropertyFileAndAreNeverShown) {
  const std::string secret_path = testing::TempDir() + "kafka_config_secret";
  const std::string file_path = testing::TempDir() + "kafka_config_properties";
  std::ofstream(secret_path) << "canary-file\n";
  std::ofstream(file_path) << "# a comment\n! another\n\n security.protocol = sasl_ssl \r\nssl.keystore.password=canary-literal\n";
  setenv("WEIR_TEST_SECRET", "canary-env", 1);
  KafkaConfig config;
  config.brokers = "b:9092";
  ASSERT_TRUE(AddKafkaProperty("sasl.password=env:WEIR_TEST_SECRET", config).ok());
  ASSERT_TRUE(AddKafkaProperty("sasl.username=file:" + secret_path, config).ok());
  ASSERT_TRUE(AddKafkaPropertyFile(file_path, config).ok());
  ASSERT_EQ(config.properties.size(), 4u);
  EXPECT_EQ(config.properties[0].value, "canary-env");
  EXPECT_EQ(config.properties[1].value, "canary-file");
  EXPECT_EQ(config.properties[2].value, "sasl_ssl");
  EXPECT_EQ(config.properties[3].value, "canary-literal");
  EXPECT_EQ(DescribeKafkaConfig(config),
            (std::vector<std::string>{"bootstrap.servers=b:9092", "sasl.password=****", "sasl.username=****",
                                      "security.protocol=sasl_ssl", "ssl.keystore.password=****"}));
  EXPECT_EQ(RedactSecrets("login canary-env failed for canary-file", config), "login **** failed for ****");

  std::ofstream(file_path) << "security.protocol=ssl\ngroup.id=x\n";
  const absl::Status status = AddKafkaPropertyFile(file_path, config);
  EXPECT_TRUE(Contains(Message(status), file_path + " line 2: ")) << Message(status);
}

TEST(KafkaConfigTest, APropertyFileIsAFileOfReasonableSizeOrAPipe) {
  const std::string path = testing::TempDir() + "kafka_config_large";
  std::ofstream(path) << "client.id=" << std::string(1 << 20, 'x') << "\n";
  KafkaConfig config;
  for (const std::string& wrong : {std::string("/tmp"), std::string("/dev/zero"), path}) {
    const absl::Status status = AddKafkaPropertyFile(wrong, config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_TRUE(Contains(Message(status), "the file " + wrong)) << Message(status);
  }
  unlink(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path) << "client.id=a\nclient.rack=b"; });
  EXPECT_TRUE(AddKafkaPropertyFile(path, config).ok());
  writer.join();
  unlink(path.c_str());
  ASSERT_EQ(config.properties.size(), 2u);
  EXPECT_EQ(config.properties[1].value, "b");
}

TEST(KafkaConfigTest, StartPoints) {
  using Kind = StartPoint::Kind;
  const std::pair<const char*, StartPoint> cases[] = {
      {"earliest", {Kind::kEarliest}},       {"beginning", {Kind::kEarliest}},
      {"latest", {Kind::kLatest}},           {"end", {Kind::kLatest}},
      {"committed", {Kind::kCommitted}},     {"stored", {Kind::kCommitted}},
      {"0", {Kind::kOffset, 0}},             {"4711", {Kind::kOffset, 4711}},
      {"-5", {Kind::kBeforeEnd, 5}},         {"-15m", {Kind::kAgo, 900'000}},
      {"-1h30m", {Kind::kAgo, 5'400'000}},   {"@1430429641000", {Kind::kTime, 1430429641000}},
      {"@2015-04-30T21:34:01Z", {Kind::kTime, 1430429641000}},
      {"@2015-04-30T21:34:01.5", {Kind::kTime, 1430429641500}},
      {"@2015-04-30T23:34:01+02:00", {Kind::kTime, 1430429641000}},
      {"@2015-04-30", {Kind::kTime, 1430352000000}},
  };
  for (const auto& [text, point] : cases) {
    const auto parsed = ParseStartPoint(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << Message(parsed.status());
    EXPECT_TRUE(*parsed == point) << text << " is " << parsed->value;
  }
  for (const char* text : {"", "-", "--5", "15m", "@", "@yesterday", "@-5", "1.5", "Earliest", "-m", "99999999999999999999"})
    EXPECT_EQ(ParseStartPoint(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
}

}  // namespace
}  // namespace weir
