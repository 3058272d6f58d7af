// The producer against the embedded broker; what arrived is counted by a plain librdkafka consumer.
#include "engine/source/kafka_producer.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "engine/source/embedded_broker.h"
#include "fmt/format.h"

namespace weir {
namespace {

struct Arrived {
  int32_t partition;
  bool has_key;
  std::string key;
  std::string payload;
  int64_t timestamp_ms;
  std::map<std::string, std::string> headers;
};

// Reads partitions 0..partitions-1 from the beginning until `wanted` records came, and then for a moment
// more, so that a record too many is seen too.
std::vector<Arrived> Consume(const std::string& brokers, const std::string& topic, int partitions,
                             size_t wanted) {
  char error[512] = "";
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), error, sizeof(error));
  rd_kafka_conf_set(conf, "group.id", "reader", error, sizeof(error));
  rd_kafka_conf_set(conf, "enable.auto.commit", "false", error, sizeof(error));
  rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
  EXPECT_NE(consumer, nullptr) << error;
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; ++p) {
    rd_kafka_topic_partition_list_add(list, topic.c_str(), p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_assign(consumer, list);
  rd_kafka_topic_partition_list_destroy(list);

  std::vector<Arrived> arrived;
  absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (absl::Now() < deadline) {
    rd_kafka_message_t* m = rd_kafka_consumer_poll(consumer, 50);
    if (m == nullptr) continue;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      Arrived a{m->partition,
                m->key != nullptr,
                std::string(static_cast<const char*>(m->key), m->key_len),
                std::string(static_cast<const char*>(m->payload), m->len),
                rd_kafka_message_timestamp(m, nullptr),
                {}};
      rd_kafka_headers_t* headers = nullptr;
      if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char* name;
        const void* value;
        size_t size;
        for (size_t i = 0;
             rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
          a.headers[name] = std::string(static_cast<const char*>(value), size);
        }
      }
      arrived.push_back(std::move(a));
      if (arrived.size() == wanted) deadline = absl::Now() + absl::Milliseconds(300);
    }
    rd_kafka_message_destroy(m);
  }
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
  return arrived;
}

class KafkaProducerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto broker = EmbeddedBroker::Start();
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
  }

  std::unique_ptr<KafkaProducer> Producer(std::vector<std::pair<std::string, std::string>> properties = {}) {
    auto producer =
        KafkaProducer::Create({.brokers = broker_->bootstrap(), .properties = std::move(properties)});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer.ok() ? *std::move(producer) : nullptr;
  }

  std::unique_ptr<EmbeddedBroker> broker_;
};

TEST_F(KafkaProducerTest, EveryRecordArrivesOnceAndInOrder) {
  ASSERT_TRUE(broker_->CreateTopic("tweets", 3).ok());
  auto producer = Producer();
  for (int i = 0; i < 30'000; ++i) {
    const std::string payload = std::to_string(i);
    ASSERT_TRUE(producer->Produce("tweets", {.payload = payload, .partition = i % 3}).ok());
  }
  const absl::Status flushed = producer->Flush(absl::Seconds(30));
  ASSERT_TRUE(flushed.ok()) << flushed;
  EXPECT_EQ(producer->delivered(), 30'000);
  EXPECT_EQ(producer->failed(), 0);

  const std::vector<Arrived> arrived = Consume(broker_->bootstrap(), "tweets", 3, 30'000);
  ASSERT_EQ(arrived.size(), 30'000u);
  std::map<int32_t, int> next = {{0, 0}, {1, 1}, {2, 2}};
  for (const Arrived& a : arrived) {
    ASSERT_EQ(a.payload, std::to_string(next[a.partition])) << "in partition " << a.partition;
    next[a.partition] += 3;
  }
}

// An empty key is not an absent one: they hash to partitions differently, and compaction keeps only the
// former.
TEST_F(KafkaProducerTest, KeyTimestampAndHeadersArriveAsGiven) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer();
  ASSERT_TRUE(producer->Produce("one", {.payload = "a"}).ok());
  ASSERT_TRUE(producer->Produce("one", {.key = "", .payload = "b"}).ok());
  ASSERT_TRUE(producer
                  ->Produce("one", {.key = std::string_view("k\0y", 3),
                                    .payload = "",
                                    .timestamp_ms = 1'430'429'640'123,
                                    .headers = {{"trace", "17"}, {"empty", ""}}})
                  .ok());
  ASSERT_TRUE(producer->Flush(absl::Seconds(30)).ok());

  const std::vector<Arrived> arrived = Consume(broker_->bootstrap(), "one", 1, 3);
  ASSERT_EQ(arrived.size(), 3u);
  EXPECT_FALSE(arrived[0].has_key);
  EXPECT_TRUE(arrived[1].has_key);
  EXPECT_EQ(arrived[1].key, "");
  EXPECT_EQ(arrived[2].key, std::string("k\0y", 3));
  EXPECT_EQ(arrived[2].payload, "");
  EXPECT_EQ(arrived[2].timestamp_ms, 1'430'429'640'123);
  EXPECT_EQ(arrived[2].headers, (std::map<std::string, std::string>{{"trace", "17"}, {"empty", ""}}));
}

TEST_F(KafkaProducerTest, EqualKeysGoToOnePartition) {
  ASSERT_TRUE(broker_->CreateTopic("keyed", 4).ok());
  auto producer = Producer();
  for (int i = 0; i < 400; ++i) {
    const std::string key = std::to_string(i % 20);
    ASSERT_TRUE(producer->Produce("keyed", {.key = key, .payload = "x"}).ok());
  }
  ASSERT_TRUE(producer->Flush(absl::Seconds(30)).ok());
  std::map<std::string, std::set<int32_t>> partitions_of;
  std::set<int32_t> used;
  for (const Arrived& a : Consume(broker_->bootstrap(), "keyed", 4, 400)) {
    partitions_of[a.key].insert(a.partition);
    used.insert(a.partition);
  }
  ASSERT_EQ(partitions_of.size(), 20u);
  for (const auto& [key, partitions] : partitions_of) EXPECT_EQ(partitions.size(), 1u) << "key " << key;
  EXPECT_GT(used.size(), 1u);
}

// A mistyped name must not become a topic of its own, not even on brokers that create what they are asked
// for.
TEST_F(KafkaProducerTest, AnUnknownTopicIsReportedAndNotCreated) {
  ASSERT_TRUE(broker_->CreateTopic("tweets", 2).ok());
  auto producer =
      KafkaProducer::Create({.brokers = broker_->bootstrap(), .connect_timeout = absl::Milliseconds(500)});
  ASSERT_TRUE(producer.ok()) << producer.status();
  EXPECT_EQ(*(*producer)->PartitionCount("tweets", absl::Seconds(10)), 2);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const absl::Status status = (*producer)->Produce("tweetz", {.payload = "lost"});
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(status.message().find("\"tweetz\" does not exist"), absl::string_view::npos) << status;
  }
  EXPECT_TRUE((*producer)->Flush(absl::Seconds(1)).ok()) << "nothing was queued";
}

TEST_F(KafkaProducerTest, RecordsThatTheBrokerNeverTookAreCountedAndTheFirstReasonIsKept) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer({{"message.timeout.ms", "500"}});
  ASSERT_TRUE(producer->Produce("one", {.payload = "good"}).ok());
  ASSERT_TRUE(producer->Flush(absl::Seconds(20)).ok());
  ASSERT_TRUE(broker_->TakeDown(1).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(producer->Produce("one", {.payload = "lost"}).ok());
  const absl::Status flushed = producer->Flush(absl::Seconds(20));
  EXPECT_EQ(flushed.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(flushed.message().find("3 of 4 records were not delivered"), absl::string_view::npos) << flushed;
  EXPECT_NE(producer->first_failure().message().find("topic \"one\""), absl::string_view::npos)
      << producer->first_failure();
  EXPECT_EQ(producer->delivered(), 1);
  EXPECT_EQ(producer->failed(), 3);
}

TEST_F(KafkaProducerTest, APartitionThatIsNotThereIsAFailureAmongDeliveries) {
  ASSERT_TRUE(broker_->CreateTopic("two", 2).ok());
  auto producer = Producer();
  ASSERT_TRUE(producer->PartitionCount("two", absl::Seconds(10)).ok());
  ASSERT_TRUE(producer->Produce("two", {.payload = "good", .partition = 1}).ok());
  (void)producer->Produce("two",
                          {.payload = "bad", .partition = 7});  // refused at once, or when it is delivered
  EXPECT_FALSE(producer->Flush(absl::Seconds(20)).ok());
  EXPECT_EQ(producer->delivered(), 1);
  EXPECT_EQ(producer->failed(), 1);
}

TEST_F(KafkaProducerTest, ARecordThatIsTooLargeNamesTheWayOut) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer();
  const absl::Status status = producer->Produce("one", {.payload = std::string(2'000'000, 'x')});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("message.max.bytes"), absl::string_view::npos) << status;
  EXPECT_EQ(producer->failed(), 1);
}

// The queue holds ten messages: nothing is lost and memory stays bounded, Produce waits instead.
TEST_F(KafkaProducerTest, AFullQueueMakesProduceWait) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer({{"queue.buffering.max.messages", "10"}, {"linger.ms", "0"}});
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(producer->Produce("one", {.payload = "x"}).ok());
  ASSERT_TRUE(producer->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(producer->delivered(), 200);
  EXPECT_EQ(Consume(broker_->bootstrap(), "one", 1, 200).size(), 200u);
}

TEST_F(KafkaProducerTest, AWaitingProduceCanBeInterrupted) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer({{"queue.buffering.max.messages", "1"}});
  ASSERT_TRUE(producer->Produce("one", {.payload = "finds the topic"}).ok());
  ASSERT_TRUE(producer->Flush(absl::Seconds(20)).ok());
  ASSERT_TRUE(broker_->TakeDown(1).ok());
  ASSERT_TRUE(producer->Produce("one", {.payload = "in the queue"}).ok());
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(100));
    producer->Interrupt();
  });
  EXPECT_EQ(producer->Produce("one", {.payload = "no room"}).code(), absl::StatusCode::kCancelled);
  other.join();
}

// Idempotence: what was sent before the broker went, and again after, is there once.
TEST_F(KafkaProducerTest, AnOutageNeitherLosesNorRepeatsARecord) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer();
  for (int i = 0; i < 2'000; ++i) {
    if (i == 700) {
      ASSERT_TRUE(broker_->TakeDown(1).ok());
    }
    if (i == 1'400) {
      ASSERT_TRUE(broker_->BringUp(1).ok());
    }
    ASSERT_TRUE(producer->Produce("one", {.payload = std::to_string(i)}).ok());
    if (i % 100 == 0) absl::SleepFor(absl::Milliseconds(10));
  }
  const absl::Status flushed = producer->Flush(absl::Seconds(30));
  ASSERT_TRUE(flushed.ok()) << flushed;
  const std::vector<Arrived> arrived = Consume(broker_->bootstrap(), "one", 1, 2'000);
  ASSERT_EQ(arrived.size(), 2'000u);
  for (int i = 0; i < 2'000; ++i) ASSERT_EQ(arrived[i].payload, std::to_string(i));
}

TEST_F(KafkaProducerTest, AFlushThatCannotFinishSaysWhy) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = Producer();
  ASSERT_TRUE(producer->Produce("one", {.payload = "finds the topic"}).ok());
  ASSERT_TRUE(producer->Flush(absl::Seconds(20)).ok());
  ASSERT_TRUE(broker_->TakeDown(1).ok());
  ASSERT_TRUE(producer->Produce("one", {.payload = "x"}).ok());
  const absl::Status flushed = producer->Flush(absl::Milliseconds(300));
  EXPECT_EQ(flushed.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(flushed.message().find("1 records are still not acknowledged"), absl::string_view::npos)
      << flushed;
  const auto count = producer->PartitionCount("one", absl::Milliseconds(300));
  EXPECT_NE(count.status().message().find("no broker answers"), absl::string_view::npos) << count.status();
}

TEST_F(KafkaProducerTest, ACommittedTransactionArrives) {
  ASSERT_TRUE(broker_->CreateTopic("one", 1).ok());
  auto producer = KafkaProducer::Create({.brokers = broker_->bootstrap(), .transactional_id = "t"});
  ASSERT_TRUE(producer.ok()) << producer.status();
  const absl::Status begun = (*producer)->BeginTransaction();
  ASSERT_TRUE(begun.ok()) << begun;
  ASSERT_TRUE((*producer)->Produce("one", {.payload = "x"}).ok());
  const absl::Status committed = (*producer)->CommitTransaction(absl::Seconds(20));
  ASSERT_TRUE(committed.ok()) << committed;
  EXPECT_EQ(Consume(broker_->bootstrap(), "one", 1, 1).size(), 1u);
  // The embedded broker keeps no markers: only that the call goes through is checked here.
  ASSERT_TRUE((*producer)->BeginTransaction().ok());
  EXPECT_TRUE((*producer)->AbortTransaction(absl::Seconds(20)).ok());
}

// "Delivered" means: by all in-sync replicas, once. No property may make it mean less.
TEST_F(KafkaProducerTest, WhatDeliveryRestsOnCannotBeSet) {
  for (const char* name : {"acks", "request.required.acks", "enable.idempotence", "retries", "transactional.id"}) {
    const auto refused = KafkaProducer::Create({.brokers = "127.0.0.1:1", .properties = {{name, "1"}}});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_NE(refused.status().message().find(name), absl::string_view::npos) << refused.status();
  }
}

TEST_F(KafkaProducerTest, AWrongPropertyIsNamedAndASecretIsNotShown) {
  auto unknown = KafkaProducer::Create({.brokers = "127.0.0.1:1", .properties = {{"linger.sec", "5"}}});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.status().message().find("linger.sec"), absl::string_view::npos) << unknown.status();
  auto secret =
      KafkaProducer::Create({.brokers = "127.0.0.1:1", .properties = {{"sasl.mechanism.secret", "hunter2"}}});
  EXPECT_FALSE(secret.ok());
  EXPECT_EQ(secret.status().message().find("hunter2"), absl::string_view::npos) << secret.status();
}

TEST(EmbeddedBrokerTest, EachBrokerHasAnAddressOnLoopback) {
  auto broker = EmbeddedBroker::Start(3);
  ASSERT_TRUE(broker.ok()) << broker.status();
  const std::string& bootstrap = (*broker)->bootstrap();
  EXPECT_EQ(std::count(bootstrap.begin(), bootstrap.end(), ','), 2) << bootstrap;
  size_t addresses = 0;
  for (size_t at = 0; (at = bootstrap.find("127.0.0.1:", at)) != std::string::npos; ++at) ++addresses;
  EXPECT_EQ(addresses, 3u) << bootstrap;
}

TEST(EmbeddedBrokerTest, WhatCannotBeIsRefused) {
  EXPECT_EQ(EmbeddedBroker::Start(0).status().code(), absl::StatusCode::kInvalidArgument);
  auto broker = *EmbeddedBroker::Start();
  EXPECT_TRUE(broker->CreateTopic("tweets", 1).ok());
  EXPECT_FALSE(broker->CreateTopic("tweets", 1).ok()) << "the topic exists";
  EXPECT_FALSE(broker->CreateTopic("none", 0).ok());
  EXPECT_FALSE(broker->TakeDown(9).ok());
}

}  // namespace
}  // namespace weir
