// The limit of the Kafka run: a librdkafka consumer that reads a topic from its beginning to its present end and only counts
// records and bytes. Same settings as weir's source where they cost: check.crcs, isolation.level, prefetch queue.
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: limit_consumer BROKERS TOPIC [QUEUE_KBYTES]\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const auto set = [&](const char* name, const char* value) { rd_kafka_conf_set(conf, name, value, error, sizeof error); };
  set("bootstrap.servers", argv[1]);
  set("group.id", "limit");
  set("enable.auto.commit", "false");
  set("check.crcs", "true");
  set("isolation.level", "read_committed");
  set("queued.max.messages.kbytes", argc > 3 ? argv[3] : "524288");
  set("queued.min.messages", "1000000");
  rd_kafka_t* const kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (kafka == nullptr) return 1;
  rd_kafka_poll_set_consumer(kafka);
  rd_kafka_topic_t* const topic = rd_kafka_topic_new(kafka, argv[2], nullptr);
  const rd_kafka_metadata_t* metadata;
  if (rd_kafka_metadata(kafka, 0, topic, &metadata, 10'000) != RD_KAFKA_RESP_ERR_NO_ERROR) return 69;
  rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(8);
  std::vector<int64_t> ends;
  int open = 0;
  for (int p = 0; p < metadata->topics[0].partition_cnt; ++p) {
    int64_t low = 0, high = 0;
    rd_kafka_query_watermark_offsets(kafka, argv[2], p, &low, &high, 10'000);
    ends.push_back(high);
    open += high > low;
    rd_kafka_topic_partition_list_add(list, argv[2], p)->offset = low;
  }
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_assign(kafka, list);
  rd_kafka_queue_t* const queue = rd_kafka_queue_get_consumer(kafka);
  unsigned long long records = 0, bytes = 0;
  std::vector<rd_kafka_message_t*> batch(1000);
  while (open > 0) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue, 50, batch.data(), batch.size());
    for (ssize_t i = 0; i < got; ++i) {
      const rd_kafka_message_t* m = batch[static_cast<size_t>(i)];
      if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++records;
        bytes += m->len;
        if (m->offset == ends[static_cast<size_t>(m->partition)] - 1) --open;
      }
      rd_kafka_message_destroy(batch[static_cast<size_t>(i)]);
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("{\"records\":%llu,\"bytes\":%llu,\"seconds\":%.4f}\n", records, bytes, seconds);
  std::fflush(stdout);
  std::_Exit(0);
}
