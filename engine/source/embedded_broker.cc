#include "engine/source/embedded_broker.h"

#include <librdkafka/rdkafka.h>
// Needs rdkafka.h before it.
#include <librdkafka/rdkafka_mock.h>

#include <utility>

#include "fmt/format.h"

namespace weir {
namespace {

constexpr int kMaxBrokers = 64;
constexpr int kMaxPartitions = 10'000;

struct ConfDeleter {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};

}  // namespace

struct EmbeddedBroker::Handles {
  ~Handles() {
    if (cluster != nullptr) rd_kafka_mock_cluster_destroy(cluster);
    if (client != nullptr) rd_kafka_destroy(client);
  }
  rd_kafka_t* client = nullptr;  // only keeps the cluster's books
  rd_kafka_mock_cluster_t* cluster = nullptr;
};

EmbeddedBroker::EmbeddedBroker(std::unique_ptr<Handles> handles)
    : handles_(std::move(handles)), bootstrap_(rd_kafka_mock_cluster_bootstraps(handles_->cluster)) {}

EmbeddedBroker::~EmbeddedBroker() = default;

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> EmbeddedBroker::Start(int broker_count) {
  if (broker_count < 1 || broker_count > kMaxBrokers) {
    return absl::InvalidArgumentError(
        fmt::format("embedded broker: {} brokers; 1 to {} are possible", broker_count, kMaxBrokers));
  }
  char error[512] = "";
  std::unique_ptr<rd_kafka_conf_t, ConfDeleter> conf(rd_kafka_conf_new());
  // Its log lines are about connections of clients that come and go, which is what clients do.
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
  auto handles = std::make_unique<Handles>();
  handles->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), error, sizeof(error));
  if (handles->client == nullptr) return absl::InternalError(fmt::format("embedded broker: {}", error));
  conf.release();  // the client owns it now
  handles->cluster = rd_kafka_mock_cluster_new(handles->client, broker_count);
  if (handles->cluster == nullptr) {
    return absl::InternalError(
        fmt::format("embedded broker: librdkafka could not start {} broker(s)", broker_count));
  }
  return std::unique_ptr<EmbeddedBroker>(new EmbeddedBroker(std::move(handles)));
}

absl::Status EmbeddedBroker::CreateTopic(const std::string& name, int partitions) {
  if (name.empty() || partitions < 1 || partitions > kMaxPartitions) {
    return absl::InvalidArgumentError(
        fmt::format("embedded broker: topic \"{}\" with {} partitions; it needs a name and 1 to {}", name,
                    partitions, kMaxPartitions));
  }
  const rd_kafka_resp_err_t error =
      rd_kafka_mock_topic_create(handles_->cluster, name.c_str(), partitions, /*replication_factor=*/1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return absl::InvalidArgumentError(
        fmt::format("embedded broker: topic \"{}\" cannot be created: {}", name, rd_kafka_err2str(error)));
  }
  return absl::OkStatus();
}

namespace {

absl::Status BrokerStatus(rd_kafka_resp_err_t error, std::string_view what) {
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("embedded broker: {}: {}", what, rd_kafka_err2str(error)));
}

}  // namespace

absl::Status EmbeddedBroker::TakeDown(int broker) {
  return BrokerStatus(rd_kafka_mock_broker_set_down(handles_->cluster, broker),
                      fmt::format("broker {} down", broker));
}

absl::Status EmbeddedBroker::BringUp(int broker) {
  return BrokerStatus(rd_kafka_mock_broker_set_up(handles_->cluster, broker),
                      fmt::format("broker {} up", broker));
}

absl::Status EmbeddedBroker::MoveLeader(const std::string& topic, int32_t partition, int broker) {
  return BrokerStatus(rd_kafka_mock_partition_set_leader(handles_->cluster, topic.c_str(), partition, broker),
                      fmt::format("leader of {} partition {} to broker {}", topic, partition, broker));
}

}  // namespace weir
