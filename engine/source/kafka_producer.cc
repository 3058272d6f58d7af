#include "engine/source/kafka_producer.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "engine/status_macros.h"
#include "fmt/format.h"

namespace weir {
namespace {

constexpr int64_t kMessagesPerPoll = 256;  // serving callbacks costs as much as queueing a message
constexpr absl::Duration kPollStep = absl::Milliseconds(50);

// Come before the user's properties.
constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"client.id", "weir"},
    {"enable.idempotence", "true"},  // implies acks=all and order per partition
    {"compression.type", "lz4"},
    {"queue.buffering.max.kbytes", "65536"},
};

// "Delivered" rests on these.
constexpr std::string_view kOwned[] = {"enable.idempotence", "acks", "request.required.acks", "retries", "message.send.max.retries",
                                       "transactional.id"};

struct ConfDeleter {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, ConfDeleter>;

int ToMs(absl::Duration timeout) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(timeout), 0, INT32_MAX));
}

// librdkafka repeats a value that it refuses.
bool IsSecret(std::string_view property) {
  for (std::string_view word : {"password", "secret", "key", "pem", "sasl.", "token"}) {
    if (property.find(word) != std::string_view::npos) return true;
  }
  return false;
}

absl::Status Set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  char error[512] = "";
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof(error)) == RD_KAFKA_CONF_OK) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "Kafka property {}: {}", name, IsSecret(name) ? "its value is refused by librdkafka" : error));
}

// Takes ownership of `error`.
absl::Status FromError(std::string_view what, rd_kafka_error_t* error) {
  if (error == nullptr) return absl::OkStatus();
  absl::Status status = absl::UnavailableError(fmt::format("{}: {}", what, rd_kafka_error_string(error)));
  rd_kafka_error_destroy(error);
  return status;
}

}  // namespace

struct KafkaProducer::Callbacks {
  static void Delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto* self = static_cast<KafkaProducer*>(opaque);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++self->delivered_;
      return;
    }
    std::string why = rd_kafka_err2str(message->err);
    if (message->err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT && !self->last_broker_error_.empty()) {
      why += fmt::format(" ({})", self->last_broker_error_);
    }
    const std::string partition =
        message->partition < 0 ? "" : fmt::format(" partition {}", message->partition);
    self->Fail(
        absl::UnavailableError(fmt::format("topic \"{}\"{}: a record of {} bytes was not delivered: {}",
                                           rd_kafka_topic_name(message->rkt), partition, message->len, why)));
  }

  // Outages pass, and librdkafka tries again; remembered only to explain a time-out.
  static void BrokerError(rd_kafka_t*, int, const char* reason, void* opaque) {
    static_cast<KafkaProducer*>(opaque)->last_broker_error_ = reason;
  }
};

absl::StatusOr<std::unique_ptr<KafkaProducer>> KafkaProducer::Create(const Options& options) {
  Conf conf(rd_kafka_conf_new());
  for (const auto& [name, value] : kDefaults) WEIR_RETURN_IF_ERROR(Set(conf.get(), name, value));
  WEIR_RETURN_IF_ERROR(Set(conf.get(), "bootstrap.servers", options.brokers));
  for (const auto& [name, value] : options.properties) {
    if (std::find(std::begin(kOwned), std::end(kOwned), name) != std::end(kOwned))
      return absl::InvalidArgumentError(fmt::format(
          "Kafka property {} is weir's own: every message is acknowledged by all in-sync replicas and sent once. Leave it out.", name));
    WEIR_RETURN_IF_ERROR(Set(conf.get(), name, value));
  }
  if (!options.transactional_id.empty()) {
    WEIR_RETURN_IF_ERROR(Set(conf.get(), "transactional.id", options.transactional_id));
  }

  std::unique_ptr<KafkaProducer> producer(new KafkaProducer());
  producer->connect_timeout_ = options.connect_timeout;
  rd_kafka_conf_set_opaque(conf.get(), producer.get());
  rd_kafka_conf_set_dr_msg_cb(conf.get(), &Callbacks::Delivered);
  rd_kafka_conf_set_error_cb(conf.get(), &Callbacks::BrokerError);
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
  char error[512] = "";
  producer->client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), error, sizeof(error));
  if (producer->client_ == nullptr)
    return absl::InvalidArgumentError(fmt::format("Kafka producer: {}", error));
  conf.release();  // the client owns it now

  if (!options.transactional_id.empty()) {
    WEIR_RETURN_IF_ERROR(
        FromError(fmt::format("transactional.id {} at {}", options.transactional_id, options.brokers),
                  rd_kafka_init_transactions(producer->client_, ToMs(options.connect_timeout))));
  }
  return producer;
}

KafkaProducer::~KafkaProducer() {
  if (client_ == nullptr) return;
  // Otherwise librdkafka would hand back each message as failed, one callback at a time.
  rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  for (auto& [name, topic] : topics_) rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(client_);
}

absl::StatusOr<int> KafkaProducer::PartitionCount(const std::string& topic, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  bool absent = false;
  do {
    // All topics: a request for one by name may create it.
    const rd_kafka_metadata_t* metadata = nullptr;
    const absl::Duration left = std::max(deadline - absl::Now(), absl::Milliseconds(1));
    error = rd_kafka_metadata(client_, /*all_topics=*/1, nullptr, &metadata,
                              ToMs(std::min(left, absl::Seconds(5))));
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      absent = true;
      int partitions = 0;
      for (int i = 0; i < metadata->topic_cnt; ++i) {
        const rd_kafka_metadata_topic_t& t = metadata->topics[i];
        if (topic == t.topic && t.err == RD_KAFKA_RESP_ERR_NO_ERROR) partitions = t.partition_cnt;
      }
      rd_kafka_metadata_destroy(metadata);
      if (partitions > 0) return partitions;
    }
    Poll(std::min(left, kPollStep));
    // A topic may have just been created, and not every broker know it yet.
  } while (absl::Now() < deadline && !interrupted_.load(std::memory_order_relaxed));
  if (absent) {
    return absl::UnavailableError(
        fmt::format("topic \"{}\" does not exist (waited {} for it). Create it, or check the name.", topic,
                    absl::FormatDuration(timeout)));
  }
  return absl::UnavailableError(
      fmt::format("no broker answers within {}: {}", absl::FormatDuration(timeout),
                  last_broker_error_.empty() ? rd_kafka_err2str(error) : last_broker_error_));
}

absl::StatusOr<rd_kafka_topic_s*> KafkaProducer::Topic(const std::string& name) {
  if (auto it = topics_.find(name); it != topics_.end()) return it->second;
  // A producer that asks for a topic by name makes many a broker create it, and a mistyped name would be a
  // new topic.
  WEIR_RETURN_IF_ERROR(PartitionCount(name, connect_timeout_).status());
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client_, name.c_str(), nullptr);
  if (topic == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("topic \"{}\": {}", name, rd_kafka_err2str(rd_kafka_last_error())));
  }
  topics_.emplace(name, topic);
  return topic;
}

absl::Status KafkaProducer::Produce(const std::string& topic, const Message& message) {
  WEIR_ASSIGN_OR_RETURN(rd_kafka_topic_t * handle, Topic(topic));
  if (--until_poll_ < 0) {
    until_poll_ = kMessagesPerPoll;
    Poll(absl::ZeroDuration());
  }

  rd_kafka_vu_t fields[7];
  size_t count = 0;
  auto add = [&](rd_kafka_vtype_t type) -> auto& {
    fields[count].vtype = type;
    return fields[count++].u;
  };
  add(RD_KAFKA_VTYPE_RKT).rkt = handle;
  add(RD_KAFKA_VTYPE_PARTITION).i32 = message.partition < 0 ? RD_KAFKA_PARTITION_UA : message.partition;
  add(RD_KAFKA_VTYPE_MSGFLAGS).i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_VALUE).mem = {const_cast<char*>(message.payload.data()), message.payload.size()};
  if (message.key) {
    // An empty key is a pointer to nothing, an absent one is no pointer.
    const char* data = message.key->data() == nullptr ? "" : message.key->data();
    add(RD_KAFKA_VTYPE_KEY).mem = {const_cast<char*>(data), message.key->size()};
  }
  if (message.timestamp_ms != 0) add(RD_KAFKA_VTYPE_TIMESTAMP).i64 = message.timestamp_ms;
  const bool has_headers = !message.headers.empty();

  while (true) {
    rd_kafka_headers_t* headers = nullptr;
    if (has_headers) {
      headers = rd_kafka_headers_new(message.headers.size());
      for (const auto& [name, value] : message.headers) {
        rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                            static_cast<ssize_t>(value.size()));
      }
      fields[count].vtype = RD_KAFKA_VTYPE_HEADERS;
      fields[count].u.headers = headers;
    }
    rd_kafka_error_t* error = rd_kafka_produceva(client_, fields, count + (has_headers ? 1 : 0));
    if (error == nullptr) return absl::OkStatus();  // the headers are librdkafka's now
    if (headers != nullptr) rd_kafka_headers_destroy(headers);
    const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    const std::string reason = rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);

    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      if (absl::Status fatal = FatalError(); !fatal.ok()) {
        Fail(fatal);
        return fatal;
      }
      absl::Status status = absl::InvalidArgumentError(fmt::format(
          "topic \"{}\": a record of {} bytes cannot be sent: {}{}", topic, message.payload.size(), reason,
          code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? " (-X message.max.bytes=N allows more)" : ""));
      Fail(status);
      return status;
    }
    if (interrupted_.load(std::memory_order_relaxed)) {
      return absl::CancelledError(
          fmt::format("topic \"{}\": interrupted while the queue to the brokers was full", topic));
    }
    Poll(kPollStep);
  }
}

absl::Status KafkaProducer::Flush(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  bool interrupted = false;
  while (rd_kafka_outq_len(client_) > 0) {
    interrupted = interrupted_.load(std::memory_order_relaxed);
    const absl::Duration left = deadline - absl::Now();
    if (interrupted || left <= absl::ZeroDuration()) break;
    // Sends at once, without waiting for linger.ms; serves callbacks.
    rd_kafka_flush(client_, ToMs(std::min(left, kPollStep)));
  }
  Poll(absl::ZeroDuration());
  // What is left may be events without a message.
  const int64_t under_way = rd_kafka_outq_len(client_);
  if (failed_ > 0) {
    return absl::UnavailableError(fmt::format("{} of {} records were not delivered; the first: {}", failed_,
                                              failed_ + delivered_ + under_way,
                                              std::string(first_failure_.message())));
  }
  if (under_way > 0) {
    return absl::UnavailableError(
        fmt::format("{} records are still not acknowledged {}{}", under_way,
                    interrupted ? "at the interruption" : "after " + absl::FormatDuration(timeout),
                    last_broker_error_.empty() ? "" : ": " + last_broker_error_));
  }
  return absl::OkStatus();
}

absl::Status KafkaProducer::BeginTransaction() {
  return FromError("begin transaction", rd_kafka_begin_transaction(client_));
}

absl::Status KafkaProducer::CommitTransaction(absl::Duration timeout) {
  return FromError("commit transaction", rd_kafka_commit_transaction(client_, ToMs(timeout)));
}

absl::Status KafkaProducer::AbortTransaction(absl::Duration timeout) {
  return FromError("abort transaction", rd_kafka_abort_transaction(client_, ToMs(timeout)));
}

void KafkaProducer::Poll(absl::Duration wait) { rd_kafka_poll(client_, ToMs(wait)); }

void KafkaProducer::Fail(absl::Status why) {
  if (failed_++ == 0) first_failure_ = std::move(why);
}

absl::Status KafkaProducer::FatalError() const {
  char reason[512] = "";
  if (rd_kafka_fatal_error(client_, reason, sizeof(reason)) == RD_KAFKA_RESP_ERR_NO_ERROR)
    return absl::OkStatus();
  return absl::UnavailableError(fmt::format("the producer cannot go on: {}", reason));
}

}  // namespace weir
