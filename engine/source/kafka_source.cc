#include "engine/source/kafka_source.h"

#include <librdkafka/rdkafka.h>
#include <regex.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/time/clock.h"
#include "engine/status_macros.h"
#include "fmt/format.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using TopicPartition = std::pair<std::string, int32_t>;

constexpr size_t kPull = 64;                       // messages taken from librdkafka at a time, under one queue lock each
constexpr milliseconds kNudge{4};                  // between wake-up requests to a broker with room in the queue
constexpr milliseconds kSlowNudge{100};            // the same while the queue was not seen full
constexpr milliseconds kTick{100};                 // helper thread, when nothing presses
constexpr milliseconds kLag{1000};                 // between looks at the log end of what is caught up
constexpr milliseconds kHousekeeping{50};
constexpr milliseconds kQueryTimeout{500};     // bounds how long the destructor waits for the helper thread
constexpr milliseconds kCommitPatience{1000};      // of offsets for the group: how long the end of a run waits for it
constexpr milliseconds kDownAfter{1000};           // a broker that is silent for less is not worth a line
constexpr int kBadReads = 3;                       // of the same batch, before it counts as damaged
constexpr milliseconds kBadPause{100};             // before it is asked for again
// Up to 2.3 the client may go on from the old offset when a partition is assigned anew at once: a fetch is under way.
constexpr milliseconds kQuiet{150};
constexpr milliseconds kProbePatience{3000};       // for an answer, when it is silence that tells a bad batch
constexpr milliseconds kShortPatience{2000};       // a new leader may answer with an older log end for so long
constexpr size_t kMaxNotices = 100;

template <auto fn>
struct Deleter {
  template <typename T>
  void operator()(T* p) const { fn(p); }
};
using ConfHandle = std::unique_ptr<rd_kafka_conf_t, Deleter<rd_kafka_conf_destroy>>;
using QueueHandle = std::unique_ptr<rd_kafka_queue_t, Deleter<rd_kafka_queue_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Deleter<rd_kafka_topic_destroy>>;
using ListHandle = std::unique_ptr<rd_kafka_topic_partition_list_t, Deleter<rd_kafka_topic_partition_list_destroy>>;
using ErrorHandle = std::unique_ptr<rd_kafka_error_t, Deleter<rd_kafka_error_destroy>>;
using MessageHandle = std::unique_ptr<rd_kafka_message_t, Deleter<rd_kafka_message_destroy>>;
struct ClientDeleter {
  void operator()(rd_kafka_t* rk) const { rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); }
};
using ClientHandle = std::unique_ptr<rd_kafka_t, ClientDeleter>;

// Whole milliseconds, never less than the duration, at least 0.
int CeilMs(Clock::duration d) {
  const auto ms = std::chrono::ceil<milliseconds>(d).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, 1'000'000'000));
}

// As std::chrono has no infinity that can be added to a time: a year.
milliseconds ChronoMs(absl::Duration d) {
  return std::clamp(absl::ToChronoMilliseconds(d), milliseconds(0), milliseconds(1000LL * 86400 * 365));
}

Clock::duration Remaining(Clock::time_point deadline, Clock::duration at_most) {
  return std::clamp<Clock::duration>(deadline - Clock::now(), Clock::duration::zero(), at_most);
}

std::string Quoted(const std::string& topic, int32_t partition) {
  return fmt::format("topic \"{}\" partition {}", topic, partition);
}

class TopicRegex {
 public:
  static absl::StatusOr<std::unique_ptr<TopicRegex>> Compile(const std::string& pattern) {
    std::unique_ptr<TopicRegex> regex(new TopicRegex);
    if (const int rc = regcomp(&regex->regex_, pattern.c_str(), REG_EXTENDED | REG_NOSUB); rc != 0) {
      char text[200];
      regerror(rc, &regex->regex_, text, sizeof text);
      return absl::InvalidArgumentError(fmt::format("--topic \"{}\" is no regular expression: {}.", pattern, text));
    }
    regex->compiled_ = true;
    return regex;
  }
  ~TopicRegex() {
    if (compiled_) regfree(&regex_);
  }
  bool Matches(const std::string& topic) const { return regexec(&regex_, topic.c_str(), 0, nullptr, 0) == 0; }

 private:
  TopicRegex() = default;
  regex_t regex_;
  bool compiled_ = false;
};

// What PartitionPosition::cursor holds: enough to notice, at the next start, that the log is another one.
struct Cursor {
  std::string cluster;
  int64_t last = -1;  // offset of the record that `crc` is of; -1: none was read yet
  uint32_t crc = 0;
  bool gone = false;  // the partition was not there any more, and that has been told

  std::string Print() const {
    std::string text = fmt::format("cluster={}", cluster);
    if (last >= 0) text += fmt::format(";crc={:08x};last={}", crc, last);
    return gone ? text + ";gone" : text;
  }
  static Cursor Parse(std::string_view text) {
    Cursor cursor;
    bool has_crc = false;
    while (!text.empty()) {
      const size_t end = std::min(text.find(';'), text.size());
      const std::string_view item = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      const char* stop = item.data() + item.size();
      if (item.starts_with("cluster=")) cursor.cluster = item.substr(8);
      if (item.starts_with("crc=")) has_crc = std::from_chars(item.data() + 4, stop, cursor.crc, 16).ec == std::errc();
      if (item.starts_with("last=")) std::from_chars(item.data() + 5, stop, cursor.last);
      if (item == "gone") cursor.gone = true;
    }
    if (!has_crc) cursor.last = -1;
    return cursor;
  }
};

uint32_t Checksum(const rd_kafka_message_t& m) {
  const int64_t numbers[] = {m.offset, rd_kafka_message_timestamp(&m, nullptr), static_cast<int64_t>(m.key_len),
                             m.payload == nullptr ? -1 : static_cast<int64_t>(m.len)};
  uLong crc = crc32(0, reinterpret_cast<const Bytef*>(numbers), sizeof numbers);
  if (m.key_len != 0) crc = crc32_z(crc, static_cast<const Bytef*>(m.key), m.key_len);
  if (m.len != 0) crc = crc32_z(crc, static_cast<const Bytef*>(m.payload), m.len);
  return static_cast<uint32_t>(crc);
}

void AppendSized(Chunk& chunk, const void* data, size_t size) {
  const uint32_t n = static_cast<uint32_t>(size);
  chunk.Append({reinterpret_cast<const char*>(&n), sizeof n});
  chunk.Append({static_cast<const char*>(data), size});
}

struct Bounds {
  int64_t low;
  int64_t high;  // the last stable offset: what a reader of committed records may read
};

// The client could make no records of what the broker sent.
bool IsDamage(rd_kafka_resp_err_t err) {
  return err == RD_KAFKA_RESP_ERR__BAD_MSG || err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
         err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED || err == RD_KAFKA_RESP_ERR_INVALID_MSG;
}

// What of the records that a job has yet to read is not there any more.
struct Loss {
  std::string what;   // a clause behind the partition's name
  int64_t next;       // where reading can go on
  bool anew = false;  // in another log, whose offsets are not those that were read
  std::string reason = what;  // of the gap, behind the range
};

// A batch that the client cannot make records of, however good the connection.
struct BadBatch {
  int64_t begin;               // its first offset, or where the job stands in it
  std::string cause;
  int reads = 0;               // how often it was found damaged
  bool spoilt = true;          // what comes behind it now came beside it: it counts once it has been asked for again
  int64_t beyond = INT64_MAX;  // the first record that came behind it
  Clock::time_point due{};     // of the next step; max(): when an answer has come
  // Its end, when nothing came behind it, is searched for: offsets up to `inside` cannot be read, `outside` can.
  bool searching = false, growing = true, sure = false;
  bool silent = false;   // no answer is one
  bool proving = false;  // that there are answers, to a question for the log's end
  bool asked = false;    // `probe`, and no answer has come
  int64_t inside = 0, outside = 0, probe = 0, step = 1;
};

struct FoundPartition {
  std::string topic;
  int32_t partition;
  int32_t leader;
};

// The part of the cluster's metadata that concerns us.
struct Topology {
  std::map<int32_t, std::string> brokers;  // id -> host:port
  std::vector<FoundPartition> partitions;  // sorted
  std::map<std::string, rd_kafka_resp_err_t> missing;  // named topics that cannot be read, and why
};

}  // namespace

class KafkaSource::Impl {
 public:
  explicit Impl(KafkaSourceOptions options) : options_(std::move(options)) {}
  ~Impl();

  absl::Status Start();
  absl::Status Open(const std::vector<PartitionPosition>& resume);
  absl::Status Poll(const PollLimits& limits, Chunk& chunk);
  void Interrupt() {
    interrupted_ = true;
    rd_kafka_queue_yield(queue_.get());
  }
  void Committed(const std::vector<PartitionPosition>& positions);
  std::vector<std::string> TakeNotices();
  std::vector<DataGap> TakeGaps() { return std::exchange(gaps_, {}); }

  const std::deque<PartitionState>& partitions() const { return partitions_; }
  bool bounded() const { return options_.to.has_value(); }
  bool ended() const { return bounded() && running_ == 0; }

 private:
  struct Stall {
    int64_t next = -1;         // where it stood when last looked at
    Clock::time_point since{};  // and since when; time between two Polls does not count
    int64_t after = 0;         // when handed_over_ is that, all that had been fetched by then has been handed over
    bool reassigned = false;
  };
  // The engine thread's side of a partition; index-parallel to partitions_.
  struct Reader {
    int64_t end = INT64_MAX;       // bounded: the first offset not to be read
    bool assigned = false;
    bool recheck = false;          // the broker refused the offset: find out what is gone
    std::optional<Clock::time_point> short_since;  // the log has ended before the job's offset since then
    std::optional<BadBatch> bad;
    Stall stall;
    std::optional<std::pair<Clock::time_point, int64_t>> assign_at;  // when, and the offset
    std::optional<Cursor> check;   // the record that must still be what it was
    Cursor cursor;
    MessageHandle last;            // of this Poll; its checksum goes into the cursor
    int64_t notified_offset = -1;  // one notice per offset that cannot be read
    bool missing_notified = false;
  };
  // The helper thread's view of a partition, under mutex_.
  struct Watched {
    std::string topic;
    int32_t partition;
    int32_t leader;
    bool behind = true;
    bool ended = false;
    int64_t high = -1;
    bool unreachable = false;  // its leader did not answer when last asked
  };
  struct NewPartition {
    FoundPartition where;
    Bounds bounds;
    int64_t end;
  };
  struct BrokerHealth {  // helper thread only
    Clock::time_point next_query{};
    std::optional<Clock::time_point> failing_since;
    bool reported = false;
    size_t turn = 0;
  };

  static void OnError(rd_kafka_t*, int code, const char* reason, void* self) {
    static_cast<Impl*>(self)->NoteError(static_cast<rd_kafka_resp_err_t>(code), reason);
  }
  static void OnLog(const rd_kafka_t*, int, const char*, const char*) {}

  absl::Status Configure(rd_kafka_conf_t* conf);
  void NoteError(rd_kafka_resp_err_t code, std::string reason);
  void AddNotice(std::string text);
  std::string Cause();

  // Blocking requests; any thread.
  absl::StatusOr<Topology> Discover(milliseconds timeout);
  rd_kafka_resp_err_t QueryOffsets(const std::vector<FoundPartition>& where, int64_t time, Clock::duration timeout,
                                   std::vector<int64_t>& offsets);
  rd_kafka_resp_err_t QueryCommitted(const std::vector<FoundPartition>& where, Clock::duration timeout,
                                     std::vector<int64_t>& offsets);
  rd_kafka_resp_err_t QueryBounds(const std::vector<FoundPartition>& where, Clock::duration timeout,
                                  std::vector<Bounds>& bounds);
  absl::StatusOr<std::vector<Bounds>> QueryBoundsUntil(const std::vector<FoundPartition>& where,
                                                       Clock::time_point deadline);
  absl::StatusOr<std::vector<int64_t>> ResolvePoints(const StartPoint& point, const std::vector<FoundPartition>& where,
                                                     const std::vector<Bounds>& bounds, Clock::time_point deadline);
  void CutToLogEnd(const std::vector<FoundPartition>& where, const std::vector<Bounds>& bounds, std::vector<int64_t>& ends);
  bool Wanted(const std::string& topic) const;

  // Open's steps.
  absl::StatusOr<Topology> Connect(Clock::time_point deadline);
  std::string TopicList() const;
  static std::optional<Loss> FindLoss(const PartitionPosition& position, Bounds bounds);
  absl::Status Refuse(const PartitionPosition& position, const Loss& loss) const;
  void GoOnBehind(const Loss& loss, int64_t end, size_t index, PartitionPosition& position);
  bool skips() const { return options_.on_data_loss == OnDataLoss::kSkip; }
  absl::Status VerifyTails(Clock::time_point deadline);

  // Engine thread.
  size_t AddPartition(const FoundPartition& where, PartitionPosition position, int64_t high, int64_t end);
  void Assign(const std::vector<size_t>& indexes, bool from_check);
  void Assign(const rd_kafka_topic_partition_list_t* list);
  void Unassign(size_t index);
  void MaybeEnd(size_t index);
  size_t IndexOf(const rd_kafka_message_t& m);
  bool Pull(int timeout_ms, size_t most);
  bool Take(MessageHandle& message, const PollLimits& limits, Chunk& chunk);
  void TakeRecord(size_t index, MessageHandle message, Chunk& chunk);
  void TakeError(const rd_kafka_message_t& m);
  void NoteBadBatch(size_t index, const rd_kafka_message_t& m);
  bool PassBadBatch(size_t index, const rd_kafka_message_t& m);
  void MendBadBatch(size_t index, Clock::time_point now);
  void SkipBadBatch(size_t index, int64_t next);
  void WatchForStalls(Clock::time_point now, const std::vector<int64_t>& highs);
  void StandsStill(size_t index);
  void Probe(size_t index);
  void CheckTail(size_t index, const rd_kafka_message_t& m);
  void Lose(size_t index, const Loss& loss);
  void ReadFrom(size_t index, int64_t offset);
  void AssignWhenQuiet(size_t index, Clock::time_point now);
  void Recheck();
  void KeepHouse(Clock::time_point now);
  void MoveTo(size_t index, int64_t next);
  void FinishCursors();
  void SendOffsets(bool last);

  // Helper thread.
  void Attend();
  void LookForPartitions();
  bool LookAtBrokers(Clock::time_point now);
  bool NudgeNeeded(Clock::time_point now, bool& often);

  const KafkaSourceOptions options_;
  int64_t started_ms_ = 0;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<TopicRegex>> regexes_;
  size_t queue_messages_ = 0;
  bool wakes_itself_ = false;  // librdkafka has fetch.queue.backoff.ms

  // Declared before the client, whose threads call back into it until it is destroyed.
  std::atomic<bool> interrupted_{false};
  std::atomic<int64_t> mean_bytes_{1024};   // of a record, for estimating the queue's fill
  std::atomic<int64_t> behind_{0};          // partitions that are not caught up
  std::atomic<Clock::rep> assigned_at_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;                   // mutex_ guards from here on
  std::vector<Watched> watched_;
  std::vector<NewPartition> new_partitions_;
  std::map<int32_t, std::string> broker_names_;
  std::deque<std::string> notices_;
  std::string last_error_;
  rd_kafka_resp_err_t last_error_code_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string fatal_;                       // … to here

  // Helper thread only.
  std::set<TopicPartition> known_;          // filled by Open before the thread starts
  std::map<int32_t, BrokerHealth> health_;
  Clock::time_point next_discovery_{}, last_full_{};

  // Engine thread only.
  std::deque<PartitionState> partitions_;
  std::deque<Reader> readers_;
  size_t running_ = 0;                      // partitions that have not ended
  std::map<std::pair<const rd_kafka_topic_t*, int32_t>, size_t> by_handle_;
  const rd_kafka_topic_t* recent_topic_ = nullptr;
  int32_t recent_partition_ = -1;
  size_t recent_index_ = 0;
  std::vector<rd_kafka_message_t*> scratch_;
  std::vector<MessageHandle> pulled_;       // taken from librdkafka, not yet handed over
  size_t pulled_at_ = 0;
  std::vector<MessageHandle> dropped_;      // of a partition that is fetched anew; until the next Poll
  std::vector<size_t> touched_;             // partitions with records in this chunk
  std::vector<DataGap> gaps_;
  int64_t handed_over_ = 0;                 // messages, of all partitions
  Clock::time_point last_house_{};
  absl::Status failure_;                    // told once what was read before it has been handed over
  Clock::time_point next_house_{}, next_recheck_{}, next_send_{};
  int64_t repeated_ = 0;                    // records that came again below the expected offset
  bool repeated_told_ = false;
  std::map<TopicPartition, int64_t> to_send_;  // where each partition stands, as committed
  bool send_due_ = false;                   // it changed since it was last sent

  ClientHandle client_;
  QueueHandle queue_;
  std::map<std::string, TopicHandle> topics_;
  std::thread helper_;
};

// ---- Start and end ----

absl::Status KafkaSource::Impl::Configure(rd_kafka_conf_t* conf) {
  char error[512] = "";
  const auto set = [&](const std::string& name, const std::string& value) {
    return rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error);
  };
  const size_t queue_kb = std::clamp<size_t>(options_.queue_bytes / 1024, 1024, 2'000'000);
  // Every queued message costs some 500 bytes beside its payload; tiny records must not multiply the budget.
  queue_messages_ = std::max<size_t>(1000, options_.queue_bytes / 640);
  const std::pair<const char*, std::string> tuning[] = {
      {"client.id", "weir"},
      // A fetch that waits at one idle partition holds up the others of that broker, and a new one's first records.
      {"fetch.wait.max.ms", "100"},
      {"fetch.error.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "2000"},
      // A broker that has frozen, or whose network has: a minute would pass before another connection is tried, and an
      // offset commit under way would hold up the end of the run for as long.
      {"socket.timeout.ms", "10000"},
      {"socket.keepalive.enable", "true"},
      {"log.connection.close", "false"},
      {"topic.metadata.refresh.interval.ms", "30000"},
      // One answer may exceed the queue's budget: it is kept well below it.
      {"max.partition.fetch.bytes", std::to_string(std::clamp<size_t>(options_.queue_bytes / 64, 64 << 10, 1 << 20))},
      {"fetch.max.bytes", std::to_string(std::clamp<size_t>(options_.queue_bytes / 4, 1 << 20, 50 << 20))},
  };
  for (const auto& [name, value] : tuning) WEIR_CHECK(set(name, value) == RD_KAFKA_CONF_OK);
  wakes_itself_ = set("fetch.queue.backoff.ms", "5") == RD_KAFKA_CONF_OK;
  for (const KafkaProperty& p : options_.config.properties)
    if (set(p.name, p.value) != RD_KAFKA_CONF_OK)
      return absl::InvalidArgumentError(RedactSecrets(fmt::format("Kafka property {}: {}", p.name, error), options_.config));
  // Last, so that nothing overrules what exactly-once rests on.
  const std::pair<const char*, std::string> owned[] = {
      {"bootstrap.servers", options_.config.brokers},
      {"group.id", options_.group},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      // No member of the group, so no session. But librdkafka keeps an offset commit for as long while the group has no
      // coordinator (a new cluster, an outage), and the client cannot be destroyed before it gives up.
      {"session.timeout.ms", std::to_string(kCommitPatience.count())},
      {"auto.offset.reset", "error"},
      {"isolation.level", "read_committed"},
      {"check.crcs", "true"},
      {"allow.auto.create.topics", "false"},
      {"enable.partition.eof", "true"},
      {"queued.max.messages.kbytes", std::to_string(queue_kb)},
      {"queued.min.messages", std::to_string(std::min<size_t>(queue_messages_, 10'000'000))},
  };
  for (const auto& [name, value] : owned)
    if (set(name, value) != RD_KAFKA_CONF_OK) return absl::InvalidArgumentError(fmt::format("Kafka: {}", error));
  rd_kafka_conf_set_opaque(conf, this);
  rd_kafka_conf_set_error_cb(conf, OnError);
  // Who asks for the client's debug log gets it on stderr; otherwise causes come by the error callback.
  const bool debug = std::any_of(options_.config.properties.begin(), options_.config.properties.end(),
                                 [](const KafkaProperty& p) { return p.name == "debug" && !p.value.empty(); });
  if (!debug) rd_kafka_conf_set_log_cb(conf, OnLog);
  return absl::OkStatus();
}

absl::Status KafkaSource::Impl::Start() {
  if (options_.config.brokers.empty())
    return absl::InvalidArgumentError("no Kafka brokers given. Use --brokers HOST:PORT.");
  if (options_.topics.empty()) return absl::InvalidArgumentError("no topic given. Use --topic NAME.");
  if (options_.group.empty()) return absl::InvalidArgumentError("--group is empty. Give it a name or leave it out.");
  for (const std::string& topic : options_.topics) {
    if (!topic.starts_with('^')) {
      if (std::find(names_.begin(), names_.end(), topic) == names_.end()) names_.push_back(topic);
      continue;
    }
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<TopicRegex> regex, TopicRegex::Compile(topic));
    regexes_.push_back(std::move(regex));
  }
  ConfHandle conf(rd_kafka_conf_new());
  WEIR_RETURN_IF_ERROR(Configure(conf.get()));
  char error[512] = "";
  client_.reset(rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error, sizeof error));
  if (client_ == nullptr)
    return absl::InvalidArgumentError(RedactSecrets(fmt::format("Kafka client: {}", error), options_.config));
  (void)conf.release();  // the client owns it now
  // Errors and ends of partitions then arrive on the queue that the records come by.
  rd_kafka_poll_set_consumer(client_.get());
  queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
  started_ms_ = absl::ToUnixMillis(absl::Now());
  return absl::OkStatus();
}

KafkaSource::Impl::~Impl() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (helper_.joinable()) helper_.join();
  if (client_ != nullptr) SendOffsets(/*last=*/true);
  for (Reader& r : readers_) r.last.reset();
  pulled_.clear();
  dropped_.clear();
  topics_.clear();
  queue_.reset();
}

// ---- Errors and notices ----

void KafkaSource::Impl::NoteError(rd_kafka_resp_err_t code, std::string reason) {
  std::lock_guard lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR__FATAL) fatal_ = RedactSecrets(reason, options_.config);
  // "1/1 brokers are down" follows the error that says why.
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !last_error_.empty()) return;
  last_error_ = RedactSecrets(std::move(reason), options_.config);
  last_error_code_ = code;
}

std::string KafkaSource::Impl::Cause() {
  std::lock_guard lock(mutex_);
  return last_error_;
}

void KafkaSource::Impl::AddNotice(std::string text) {
  std::lock_guard lock(mutex_);
  if (notices_.size() < kMaxNotices) notices_.push_back(std::move(text));
}

std::vector<std::string> KafkaSource::Impl::TakeNotices() {
  if (repeated_ > 0 && !repeated_told_ && (ended() || interrupted_ || !failure_.ok())) {
    repeated_told_ = true;
    AddNotice(fmt::format("the brokers sent {} records again; each was counted once", repeated_));
  }
  std::lock_guard lock(mutex_);
  std::vector<std::string> taken(std::make_move_iterator(notices_.begin()), std::make_move_iterator(notices_.end()));
  notices_.clear();
  return taken;
}

// ---- Requests ----

bool KafkaSource::Impl::Wanted(const std::string& topic) const {
  if (std::find(names_.begin(), names_.end(), topic) != names_.end()) return true;
  if (topic.starts_with("__")) return false;  // Kafka's own: __consumer_offsets, __transaction_state
  return std::any_of(regexes_.begin(), regexes_.end(), [&](const auto& r) { return r->Matches(topic); });
}

// Errors: kUnavailable.
absl::StatusOr<Topology> KafkaSource::Impl::Discover(milliseconds timeout) {
  Topology found;
  const auto read = [&](rd_kafka_topic_t* only) -> absl::Status {
    const rd_kafka_metadata_t* raw = nullptr;
    const rd_kafka_resp_err_t err = rd_kafka_metadata(client_.get(), only == nullptr, only, &raw, CeilMs(timeout));
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return absl::UnavailableError(rd_kafka_err2str(err));
    std::unique_ptr<const rd_kafka_metadata_t, Deleter<rd_kafka_metadata_destroy>> metadata(raw);
    for (int i = 0; i < raw->broker_cnt; ++i)
      found.brokers[raw->brokers[i].id] = fmt::format("{}:{}", raw->brokers[i].host, raw->brokers[i].port);
    for (int i = 0; i < raw->topic_cnt; ++i) {
      const rd_kafka_metadata_topic& topic = raw->topics[i];
      if (!Wanted(topic.topic)) continue;
      if (topic.err != RD_KAFKA_RESP_ERR_NO_ERROR || topic.partition_cnt == 0) {
        found.missing[topic.topic] =
            topic.err != RD_KAFKA_RESP_ERR_NO_ERROR ? topic.err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        continue;
      }
      for (int j = 0; j < topic.partition_cnt; ++j)
        found.partitions.push_back({topic.topic, topic.partitions[j].id, topic.partitions[j].leader});
    }
    return absl::OkStatus();
  };
  if (!regexes_.empty()) {
    WEIR_RETURN_IF_ERROR(read(nullptr));
  } else {
    for (const std::string& name : names_) {
      TopicHandle& handle = topics_[name];
      if (handle == nullptr) handle.reset(rd_kafka_topic_new(client_.get(), name.c_str(), nullptr));
      WEIR_RETURN_IF_ERROR(read(handle.get()));
    }
  }
  std::sort(found.partitions.begin(), found.partitions.end(), [](const FoundPartition& a, const FoundPartition& b) {
    return std::tie(a.topic, a.partition) < std::tie(b.topic, b.partition);
  });
  for (const std::string& name : names_) {
    const bool there = std::any_of(found.partitions.begin(), found.partitions.end(),
                                   [&](const FoundPartition& p) { return p.topic == name; });
    if (!there) found.missing.emplace(name, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  }
  return found;
}

// `time`: epoch ms, or RD_KAFKA_OFFSET_BEGINNING, _END. An offset below 0: no record is that young.
// rd_kafka_query_watermark_offsets would do for one partition, but up to 2.0 it waits for a lost broker without end.
rd_kafka_resp_err_t KafkaSource::Impl::QueryOffsets(const std::vector<FoundPartition>& where, int64_t time,
                                                    Clock::duration timeout, std::vector<int64_t>& offsets) {
  ListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(where.size())));
  for (const FoundPartition& p : where)
    rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)->offset = time;
  rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(client_.get(), list.get(), std::max(CeilMs(timeout), 10));
  offsets.clear();
  for (const FoundPartition& p : where) {
    const auto* found = rd_kafka_topic_partition_list_find(list.get(), p.topic.c_str(), p.partition);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) err = found->err;
    offsets.push_back(found->offset);
  }
  return err;
}

rd_kafka_resp_err_t KafkaSource::Impl::QueryBounds(const std::vector<FoundPartition>& where, Clock::duration timeout,
                                                   std::vector<Bounds>& bounds) {
  std::vector<int64_t> low, high;
  rd_kafka_resp_err_t err = QueryOffsets(where, RD_KAFKA_OFFSET_END, timeout, high);
  if (err == RD_KAFKA_RESP_ERR_NO_ERROR) err = QueryOffsets(where, RD_KAFKA_OFFSET_BEGINNING, timeout, low);
  if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return err;
  bounds.clear();
  for (size_t i = 0; i < where.size(); ++i) bounds.push_back({low[i], std::max(low[i], high[i])});
  return err;
}

absl::StatusOr<std::vector<Bounds>> KafkaSource::Impl::QueryBoundsUntil(const std::vector<FoundPartition>& where,
                                                                        Clock::time_point deadline) {
  std::vector<Bounds> bounds;
  for (; !where.empty();) {
    const rd_kafka_resp_err_t err = QueryBounds(where, Remaining(deadline, std::chrono::seconds(5)), bounds);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    if (interrupted_ || Clock::now() >= deadline)
      return absl::UnavailableError(fmt::format("cannot learn where the {} partitions begin and end: {}. Give the brokers "
                                                "longer with --connect-timeout.",
                                                where.size(), rd_kafka_err2str(err)));
    std::this_thread::sleep_for(milliseconds(50));
  }
  return bounds;
}

rd_kafka_resp_err_t KafkaSource::Impl::QueryCommitted(const std::vector<FoundPartition>& where, Clock::duration timeout,
                                                      std::vector<int64_t>& offsets) {
  ListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(where.size())));
  for (const FoundPartition& p : where) rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition);
  rd_kafka_resp_err_t err = rd_kafka_committed(client_.get(), list.get(), std::max(CeilMs(timeout), 10));
  offsets.clear();
  for (const FoundPartition& p : where) {
    const auto* found = rd_kafka_topic_partition_list_find(list.get(), p.topic.c_str(), p.partition);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) err = found->err;
    offsets.push_back(found->offset);
  }
  return err;
}

// A bounded run reads what is there: an end that the log has not reached would be waited for without end.
void KafkaSource::Impl::CutToLogEnd(const std::vector<FoundPartition>& where, const std::vector<Bounds>& bounds,
                                    std::vector<int64_t>& ends) {
  for (size_t i = 0; i < where.size(); ++i) {
    if (ends[i] <= bounds[i].high) continue;
    AddNotice(fmt::format("{} ends at offset {}: it is read to there, not to {}", Quoted(where[i].topic, where[i].partition),
                          bounds[i].high, ends[i]));
    ends[i] = bounds[i].high;
  }
}

absl::StatusOr<std::vector<int64_t>> KafkaSource::Impl::ResolvePoints(const StartPoint& point,
                                                                      const std::vector<FoundPartition>& where,
                                                                      const std::vector<Bounds>& bounds,
                                                                      Clock::time_point deadline) {
  using Kind = StartPoint::Kind;
  std::vector<int64_t> offsets(where.size());
  if (where.empty()) return offsets;
  if (point.kind != Kind::kCommitted && point.kind != Kind::kTime && point.kind != Kind::kAgo) {
    for (size_t i = 0; i < where.size(); ++i) {
      switch (point.kind) {
        case Kind::kEarliest: offsets[i] = bounds[i].low; break;
        case Kind::kOffset: offsets[i] = point.value; break;
        case Kind::kBeforeEnd: offsets[i] = std::max(bounds[i].low, bounds[i].high - point.value); break;
        default: offsets[i] = bounds[i].high;
      }
    }
    return offsets;
  }
  const bool committed = point.kind == Kind::kCommitted;
  const int64_t time = point.kind == Kind::kAgo ? started_ms_ - point.value : point.value;
  for (;;) {
    const Clock::duration timeout = Remaining(deadline, std::chrono::seconds(5));
    const rd_kafka_resp_err_t err =
        committed ? QueryCommitted(where, timeout, offsets) : QueryOffsets(where, time, timeout, offsets);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      // Below 0: nothing was committed; or no record is that young.
      for (size_t i = 0; i < where.size(); ++i)
        if (offsets[i] < 0) offsets[i] = committed ? bounds[i].low : bounds[i].high;
      return offsets;
    }
    if (interrupted_ || Clock::now() >= deadline)
      return absl::UnavailableError(fmt::format(
          "cannot learn {}: {}. Give the brokers longer with --connect-timeout.",
          committed ? fmt::format("the offsets of group \"{}\"", options_.group) : std::string("the offsets of a time"),
          rd_kafka_err2str(err)));
    std::this_thread::sleep_for(milliseconds(100));
  }
}

// ---- Open ----

absl::StatusOr<Topology> KafkaSource::Impl::Connect(Clock::time_point deadline) {
  const std::string timeout_text = absl::FormatDuration(options_.connect_timeout);
  const auto begun = Clock::now();
  for (;;) {
    const auto timeout = std::chrono::ceil<milliseconds>(Remaining(deadline, milliseconds(500)));
    absl::StatusOr<Topology> found = Discover(std::max(timeout, milliseconds(10)));
    Pull(0, 1);  // serves the error callback
    if (found.ok() && found->missing.empty()) return found;
    if (found.ok()) {
      const auto& [topic, err] = *found->missing.begin();
      if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return absl::UnavailableError(fmt::format(
            "topic \"{}\" may not be read by this user: {}. Ask for an ACL, or check sasl.username.", topic,
            rd_kafka_err2str(err)));
      if (interrupted_ || Clock::now() >= deadline)
        return absl::UnavailableError(fmt::format(
            "topic \"{}\" was not found at {} within {}: {}. Check --topic, create it, or wait longer with "
            "--connect-timeout.",
            topic, options_.config.brokers, timeout_text, rd_kafka_err2str(err)));
    } else {
      std::string cause = Cause();
      rd_kafka_resp_err_t code;
      {
        std::lock_guard lock(mutex_);
        code = last_error_code_;
      }
      // A wrong password or certificate does not become right by waiting; a broker that starts may need a moment.
      const bool hopeless = (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL) &&
                            Clock::now() - begun > std::chrono::seconds(5);
      if (interrupted_ || hopeless || Clock::now() >= deadline) {
        if (cause.empty()) cause = std::string(found.status().message());
        return absl::UnavailableError(fmt::format(
            "no Kafka broker of {} was reached within {}, so {} cannot be read: {}. Check --brokers, or wait longer with "
            "--connect-timeout.",
            options_.config.brokers, timeout_text, TopicList(), cause));
      }
    }
    std::this_thread::sleep_for(milliseconds(100));
  }
}

std::string KafkaSource::Impl::TopicList() const {
  std::string list;
  for (const std::string& topic : options_.topics) list += fmt::format("{}\"{}\"", list.empty() ? "topic " : ", ", topic);
  return list;
}

// What the results file says against what the broker has.
std::optional<Loss> KafkaSource::Impl::FindLoss(const PartitionPosition& position, Bounds bounds) {
  if (bounds.low > position.next_offset)
    return Loss{fmt::format("lost offsets {}..{} ({} records at most) before they were read: its first offset is {} now",
                            position.next_offset, bounds.low - 1, bounds.low - position.next_offset, bounds.low),
                bounds.low, /*anew=*/false,
                fmt::format("they were gone before they were read; the first offset is {} now", bounds.low)};
  if (bounds.high < position.next_offset)
    return Loss{fmt::format("ends at offset {}, but the job had read up to {}: it was truncated or recreated", bounds.high,
                            position.next_offset),
                bounds.low, /*anew=*/true};
  return std::nullopt;
}

absl::Status KafkaSource::Impl::Refuse(const PartitionPosition& position, const Loss& loss) const {
  return absl::DataLossError(fmt::format(
      "{} {}. Go on with what is there with --on-data-loss skip, or start over with --reset or another --output.",
      Quoted(position.topic, position.partition), loss.what));
}

// Moves the position behind what is lost, and declares the gap of partition `index`. `end`: of what is to be read.
void KafkaSource::Impl::GoOnBehind(const Loss& loss, int64_t end, size_t index, PartitionPosition& position) {
  DataGap gap{static_cast<PartitionIndex>(index), position.next_offset, position.next_offset, loss.reason};
  if (loss.anew) {
    position.first_offset += loss.next - position.next_offset;
    position.next_offset = loss.next;
    Cursor cursor = Cursor::Parse(position.cursor);
    cursor.last = -1;
    position.cursor = cursor.Print();
    gap.reason += fmt::format("; what is there is read from its beginning, offset {}", loss.next);
  } else {
    gap.next_offset = position.next_offset = std::max(position.next_offset, std::min(loss.next, end));
  }
  gaps_.push_back(std::move(gap));
}

absl::Status KafkaSource::Impl::Open(const std::vector<PartitionPosition>& resume) {
  const auto deadline = Clock::now() + ChronoMs(options_.connect_timeout);
  WEIR_ASSIGN_OR_RETURN(Topology found, Connect(deadline));
  const std::unique_ptr<char, Deleter<std::free>> raw_id(rd_kafka_clusterid(client_.get(), 200));
  const std::string cluster = raw_id == nullptr ? "" : raw_id.get();

  std::map<TopicPartition, const PartitionPosition*> resumed;
  for (const PartitionPosition& p : resume) resumed[{p.topic, p.partition}] = &p;

  WEIR_ASSIGN_OR_RETURN(std::vector<Bounds> bounds, QueryBoundsUntil(found.partitions, deadline));
  const auto patience = std::min(deadline, Clock::now() + std::chrono::seconds(2));
  for (size_t i = 0; i < bounds.size(); ++i) {
    const auto it = resumed.find({found.partitions[i].topic, found.partitions[i].partition});
    if (it == resumed.end()) continue;
    // A new leader may answer with an older end for a moment.
    while (bounds[i].high < it->second->next_offset && Clock::now() < patience) {
      std::this_thread::sleep_for(milliseconds(200));
      WEIR_ASSIGN_OR_RETURN(bounds, QueryBoundsUntil(found.partitions, deadline));
    }
    if (skips()) continue;
    const PartitionPosition& position = *it->second;
    const std::string read_from = Cursor::Parse(position.cursor).cluster;
    if (!read_from.empty() && !cluster.empty() && read_from != cluster)
      return absl::DataLossError(fmt::format(
          "{}: the job read from cluster {}, {} is cluster {}. Check --brokers; or start over with --reset or another "
          "--output.",
          Quoted(position.topic, position.partition), read_from, options_.config.brokers, cluster));
    if (const auto loss = FindLoss(position, bounds[i])) return Refuse(position, *loss);
  }
  std::vector<PartitionPosition> gone;
  for (const auto& [key, position] : resumed) {
    const auto same = [&key = key](const FoundPartition& p) { return p.topic == key.first && p.partition == key.second; };
    if (!Wanted(key.first) || std::any_of(found.partitions.begin(), found.partitions.end(), same)) continue;
    const bool topic_there = std::any_of(found.partitions.begin(), found.partitions.end(),
                                         [&key = key](const FoundPartition& p) { return p.topic == key.first; });
    const Loss loss{fmt::format("is gone ({}), the job had read it up to offset {}",
                                topic_there ? "the topic was recreated with fewer partitions" : "no such topic",
                                position->next_offset),
                    position->next_offset};
    if (!skips()) return Refuse(*position, loss);
    PartitionPosition& kept = gone.emplace_back(*position);
    Cursor cursor = Cursor::Parse(kept.cursor);
    if (!std::exchange(cursor.gone, true)) GoOnBehind(loss, INT64_MAX, found.partitions.size() + gone.size() - 1, kept);
    kept.cursor = cursor.Print();
  }

  // Partitions that a running job does not know came after it began: all of them is news.
  const StartPoint from = resume.empty() ? options_.from : StartPoint{};
  std::vector<FoundPartition> fresh;
  std::vector<Bounds> fresh_bounds;
  for (size_t i = 0; i < found.partitions.size(); ++i) {
    if (resumed.count({found.partitions[i].topic, found.partitions[i].partition})) continue;
    fresh.push_back(found.partitions[i]);
    fresh_bounds.push_back(bounds[i]);
  }
  WEIR_ASSIGN_OR_RETURN(std::vector<int64_t> starts, ResolvePoints(from, fresh, fresh_bounds, deadline));
  std::vector<int64_t> ends(found.partitions.size(), INT64_MAX);
  if (options_.to) {
    WEIR_ASSIGN_OR_RETURN(ends, ResolvePoints(*options_.to, found.partitions, bounds, deadline));
    CutToLogEnd(found.partitions, bounds, ends);
  }

  if (!options_.ends.empty()) {
    for (size_t i = 0; i < ends.size(); ++i) {
      const FoundPartition& p = found.partitions[i];
      const auto same = [&](const PartitionPosition& e) { return e.topic == p.topic && e.partition == p.partition; };
      const auto end = std::find_if(options_.ends.begin(), options_.ends.end(), same);
      ends[i] = end == options_.ends.end() ? bounds[i].low : end->next_offset;
    }
  }
  std::vector<size_t> all;
  size_t next_fresh = 0;
  for (size_t i = 0; i < found.partitions.size(); ++i) {
    const FoundPartition& p = found.partitions[i];
    PartitionPosition position;
    std::optional<Cursor> check;
    if (const auto it = resumed.find({p.topic, p.partition}); it != resumed.end()) {
      position = *it->second;
      Cursor cursor = Cursor::Parse(position.cursor);
      cursor.gone = false;
      // The records tell whether it is another log; if they are the same, it is not.
      if (!cursor.cluster.empty() && !cluster.empty() && cursor.cluster != cluster)
        GoOnBehind({fmt::format("was read from cluster {}, and {} is cluster {}", cursor.cluster, options_.config.brokers, cluster),
                    position.next_offset},
                   ends[i], i, position);
      cursor.cluster = cluster.empty() ? cursor.cluster : cluster;
      position.cursor = cursor.Print();
      if (const auto loss = FindLoss(position, bounds[i])) GoOnBehind(*loss, ends[i], i, position);
      cursor = Cursor::Parse(position.cursor);
      if (cursor.last >= bounds[i].low && cursor.last < position.next_offset) check = cursor;
    } else {
      position.topic = p.topic;
      position.partition = p.partition;
      const int64_t asked = starts[next_fresh++];
      position.next_offset = std::clamp(asked, bounds[i].low, bounds[i].high);
      position.first_offset = position.next_offset;
      if (position.next_offset != asked)
        AddNotice(fmt::format("{} holds offsets {}..{}: it is read from {}, not from {}", Quoted(p.topic, p.partition),
                              bounds[i].low, bounds[i].high - 1, position.next_offset, asked));
    }
    const size_t index = AddPartition(p, std::move(position), bounds[i].high, ends[i]);
    readers_[index].check = std::move(check);
    readers_[index].cursor.cluster = cluster.empty() ? readers_[index].cursor.cluster : cluster;
    partitions_[index].position.cursor = readers_[index].cursor.Print();
    if (!partitions_[index].ended || readers_[index].check) all.push_back(index);
    known_.insert({p.topic, p.partition});
  }
  for (PartitionPosition& position : gone) {  // they only keep their place
    const int64_t end = position.next_offset;
    known_.insert({position.topic, position.partition});
    AddPartition({position.topic, position.partition, -1}, std::move(position), end, end);
  }
  broker_names_ = found.brokers;
  if (found.partitions.empty()) AddNotice("no topic matches yet; waiting for one");
  Assign(all, /*from_check=*/true);
  next_discovery_ = Clock::now() + ChronoMs(options_.metadata_refresh);
  helper_ = std::thread([this] { Attend(); });
  return VerifyTails(std::min(deadline, Clock::now() + std::chrono::seconds(10)));
}

// Reads the last record of each resumed partition again before anything is handed over. What comes with them waits in
// pulled_. A broker that is slow does not hold up the job: the check is then made when its records come, before them.
absl::Status KafkaSource::Impl::VerifyTails(Clock::time_point deadline) {
  const auto open_checks = [&] {
    return std::any_of(readers_.begin(), readers_.end(), [](const Reader& r) { return r.check && r.assigned; });
  };
  size_t seen = 0, bytes = 0;
  while (open_checks() && !interrupted_ && bytes < options_.queue_bytes && Clock::now() < deadline) {
    Pull(20, 1);
    Pull(0, kPull);
    for (; seen < pulled_.size(); ++seen) {
      if (pulled_[seen] == nullptr) continue;
      const rd_kafka_message_t& m = *pulled_[seen];
      bytes += m.len;
      const size_t index = m.rkt == nullptr ? SIZE_MAX : IndexOf(m);
      if (index != SIZE_MAX) CheckTail(index, m);
    }
    WEIR_RETURN_IF_ERROR(failure_);
  }
  for (size_t i = 0; i < readers_.size(); ++i)
    if (partitions_[i].ended) Unassign(i);  // assigned for the check alone
  return failure_;
}

void KafkaSource::Impl::CheckTail(size_t index, const rd_kafka_message_t& m) {
  Reader& reader = readers_[index];
  if (!reader.check) return;
  if (m.err != RD_KAFKA_RESP_ERR_NO_ERROR && m.err != RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
  // Compaction may have removed the record: then there is nothing to compare.
  if (m.err == RD_KAFKA_RESP_ERR_NO_ERROR && m.offset == reader.check->last && Checksum(m) != reader.check->crc) {
    int64_t low = 0;
    std::vector<Bounds> bounds;
    const PartitionPosition& p = partitions_[index].position;
    if (skips()) {
      if (QueryBounds({{p.topic, p.partition, -1}}, milliseconds(1000), bounds) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ReadFrom(index, reader.check->last);  // then again
        return;
      }
      low = bounds.front().low;
    }
    const std::string what = fmt::format(
        "offset {} holds another record than the one that the job read there: the topic was recreated or truncated", m.offset);
    reader.check.reset();
    Lose(index, {what, low, /*anew=*/true});
  }
  reader.check.reset();
}

// Ends the run, or has the partition read from where it goes on.
void KafkaSource::Impl::Lose(size_t index, const Loss& loss) {
  PartitionState& state = partitions_[index];
  Reader& reader = readers_[index];
  if (!skips()) {
    failure_ = Refuse(state.position, loss);
    return;
  }
  GoOnBehind(loss, reader.end, index, state.position);
  reader.cursor = Cursor::Parse(state.position.cursor);
  reader.bad.reset();
  state.caught_up = false;
  if (state.ended && state.position.next_offset < reader.end) {
    state.ended = false;
    ++running_;
    std::lock_guard lock(mutex_);
    watched_[index].ended = false;
  }
  MaybeEnd(index);
  if (!state.ended) ReadFrom(index, state.position.next_offset);
}

// Forgets what has been fetched of the partition, and fetches from `offset` on.
void KafkaSource::Impl::ReadFrom(size_t index, int64_t offset) {
  // The one that is looked at right now may be among them: it is dropped, not destroyed.
  for (size_t i = pulled_at_; i < pulled_.size(); ++i)
    if (pulled_[i] != nullptr && pulled_[i]->rkt != nullptr && IndexOf(*pulled_[i]) == index) dropped_.push_back(std::move(pulled_[i]));
  Unassign(index);
  readers_[index].assign_at = {Clock::now() + kQuiet, offset};
}

void KafkaSource::Impl::AssignWhenQuiet(size_t index, Clock::time_point now) {
  Reader& reader = readers_[index];
  if (!reader.assign_at || now < reader.assign_at->first) return;
  const PartitionPosition& p = partitions_[index].position;
  ListHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)->offset = reader.assign_at->second;
  reader.assign_at.reset();
  reader.assigned = true;
  Assign(list.get());
}

// ---- Partitions ----

size_t KafkaSource::Impl::AddPartition(const FoundPartition& where, PartitionPosition position, int64_t high,
                                       int64_t end) {
  const size_t index = partitions_.size();
  PartitionState& state = partitions_.emplace_back();
  Reader& reader = readers_.emplace_back();
  reader.cursor = Cursor::Parse(position.cursor);
  reader.end = end;
  state.position = std::move(position);
  state.end_offset = std::max(high, state.position.next_offset);
  {
    std::lock_guard lock(mutex_);
    watched_.push_back({where.topic, where.partition, where.leader});
  }
  ++running_;
  ++behind_;
  MaybeEnd(index);
  return index;
}

void KafkaSource::Impl::Assign(const std::vector<size_t>& indexes, bool from_check) {
  if (indexes.empty()) return;
  ListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(indexes.size())));
  for (const size_t i : indexes) {
    const PartitionPosition& p = partitions_[i].position;
    Reader& reader = readers_[i];
    const bool check = from_check && reader.check;
    rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)->offset =
        check ? reader.check->last : p.next_offset;
    reader.assigned = true;
  }
  Assign(list.get());
}

void KafkaSource::Impl::Assign(const rd_kafka_topic_partition_list_t* list) {
  const ErrorHandle error(rd_kafka_incremental_assign(client_.get(), list));
  assigned_at_ = Clock::now().time_since_epoch().count();
  if (error != nullptr)
    failure_ = absl::InternalError(fmt::format("cannot assign {} Kafka partitions: {}", list->cnt,
                                               rd_kafka_error_string(error.get())));
}

void KafkaSource::Impl::Unassign(size_t index) {
  readers_[index].assign_at.reset();
  if (!readers_[index].assigned) return;
  const PartitionPosition& p = partitions_[index].position;
  ListHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition);
  // Its error can only be that the partition is not assigned, which is what is wanted.
  const ErrorHandle ignored(rd_kafka_incremental_unassign(client_.get(), list.get()));
  readers_[index].assigned = false;
}

void KafkaSource::Impl::MaybeEnd(size_t index) {
  PartitionState& state = partitions_[index];
  if (state.ended || state.position.next_offset < readers_[index].end) return;
  state.ended = true;
  state.caught_up = true;
  --running_;
  Unassign(index);
  std::lock_guard lock(mutex_);
  watched_[index].ended = true;
}

// Offsets between the records (control records, compacted ones) are passed over; the end is never.
void KafkaSource::Impl::MoveTo(size_t index, int64_t next) {
  PartitionPosition& p = partitions_[index].position;
  p.next_offset = std::max(p.next_offset, std::min(next, readers_[index].end));
  partitions_[index].end_offset = std::max(partitions_[index].end_offset, p.next_offset);
  if (readers_[index].end != INT64_MAX) MaybeEnd(index);
}

size_t KafkaSource::Impl::IndexOf(const rd_kafka_message_t& m) {
  if (m.rkt == recent_topic_ && m.partition == recent_partition_) return recent_index_;
  auto it = by_handle_.find({m.rkt, m.partition});
  if (it == by_handle_.end()) {
    const std::string_view name = rd_kafka_topic_name(m.rkt);
    size_t index = 0;
    while (index < partitions_.size() &&
           !(partitions_[index].position.partition == m.partition && partitions_[index].position.topic == name))
      ++index;
    if (index == partitions_.size()) return SIZE_MAX;
    it = by_handle_.emplace(std::make_pair(m.rkt, m.partition), index).first;
  }
  recent_topic_ = m.rkt;
  recent_partition_ = m.partition;
  return recent_index_ = it->second;
}

// ---- Poll ----

// Takes up to `most` messages; waits until it has all of them or the time is over. True: some came.
bool KafkaSource::Impl::Pull(int timeout_ms, size_t most) {
  scratch_.resize(kPull);
  const ssize_t n = rd_kafka_consume_batch_queue(queue_.get(), timeout_ms, scratch_.data(), most);
  for (ssize_t i = 0; i < n; ++i) pulled_.emplace_back(scratch_[static_cast<size_t>(i)]);
  return n > 0;
}

absl::Status KafkaSource::Impl::Poll(const PollLimits& limits, Chunk& chunk) {
  const auto deadline = Clock::now() + ChronoMs(limits.deadline - absl::Now() + absl::Microseconds(999));
  dropped_.clear();
  for (auto now = Clock::now();; now = Clock::now()) {
    if (now >= next_house_) KeepHouse(now);
    if (interrupted_ || ended()) return absl::OkStatus();
    for (bool room = true; room && failure_.ok();) {
      if (pulled_at_ == pulled_.size()) {
        pulled_.clear();
        pulled_at_ = 0;
        if (!Pull(0, kPull)) break;
      }
      while (pulled_at_ < pulled_.size() && failure_.ok()) {
        room = Take(pulled_[pulled_at_], limits, chunk);
        if (!room) break;
        ++pulled_at_;
        ++handed_over_;
      }
    }
    if (!chunk.records.empty()) {
      FinishCursors();
      return absl::OkStatus();
    }
    if (!failure_.ok()) return failure_;
    if (ended() || now >= deadline) return absl::OkStatus();
    // Waits for one message only: the others that came with it are taken without waiting.
    Pull(CeilMs(Remaining(deadline, milliseconds(200))), 1);
  }
}

// False: there is no room for it in the chunk; it stays where it is.
bool KafkaSource::Impl::Take(MessageHandle& message, const PollLimits& limits, Chunk& chunk) {
  if (message == nullptr) return true;
  const rd_kafka_message_t& m = *message;
  const size_t index = m.rkt == nullptr ? SIZE_MAX : IndexOf(m);
  if (index == SIZE_MAX) return true;
  CheckTail(index, m);
  if (!failure_.ok() || message == nullptr) return true;
  PartitionState& state = partitions_[index];
  if (state.ended) return true;
  if (readers_[index].bad && PassBadBatch(index, m)) return true;
  if (m.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    MoveTo(index, m.offset);
    state.caught_up = true;
    return true;
  }
  if (m.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    TakeError(m);
    return true;
  }
  if (m.offset < state.position.next_offset) {
    if (m.offset != readers_[index].cursor.last) ++repeated_;  // that one was asked for, to check it
    return true;
  }
  if (m.offset >= readers_[index].end) {
    MoveTo(index, readers_[index].end);
    return true;
  }
  if (!chunk.records.empty() &&
      (static_cast<int64_t>(chunk.records.size()) >= limits.max_records || chunk.size() >= Chunk::kTargetBytes ||
       chunk.size() + m.len > limits.max_bytes))
    return false;
  TakeRecord(index, std::move(message), chunk);
  return true;
}

void KafkaSource::Impl::TakeRecord(size_t index, MessageHandle message, Chunk& chunk) {
  const rd_kafka_message_t& m = *message;
  RawRecord record{};
  chunk.Reserve(m.len);  // also for an empty record: its padding must be readable
  record.begin = chunk.Append({static_cast<const char*>(m.payload), m.len});
  record.size = static_cast<uint32_t>(m.len);
  record.partition = static_cast<PartitionIndex>(index);
  record.offset = m.offset;
  rd_kafka_timestamp_type_t type;
  const int64_t timestamp = rd_kafka_message_timestamp(&m, &type);
  record.timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? kNoTimestamp : timestamp;
  if (options_.keep_metadata) {
    record.has_key = m.key != nullptr;
    record.key_begin = chunk.Append({static_cast<const char*>(m.key), m.key_len});
    record.key_size = static_cast<uint32_t>(m.key_len);
    record.headers_begin = chunk.size();
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name;
      const void* value;
      size_t size;
      for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
        AppendSized(chunk, name, std::strlen(name));
        AppendSized(chunk, value, value == nullptr ? 0 : size);
      }
    }
    record.headers_size = static_cast<uint32_t>(chunk.size() - record.headers_begin);
  }
  chunk.records.push_back(record);

  Reader& reader = readers_[index];
  if (reader.last == nullptr) touched_.push_back(index);
  reader.missing_notified = false;
  const int64_t next = m.offset + 1;
  reader.last = std::move(message);
  if (next < partitions_[index].end_offset) partitions_[index].caught_up = false;
  MoveTo(index, next);
}

// Once per Poll and partition, not per record.
void KafkaSource::Impl::FinishCursors() {
  for (const size_t i : touched_) {
    Reader& reader = readers_[i];
    reader.cursor.last = reader.last->offset;
    reader.cursor.crc = Checksum(*reader.last);
    partitions_[i].position.cursor = reader.cursor.Print();
    const int64_t mean = mean_bytes_.load(std::memory_order_relaxed);
    mean_bytes_.store((mean * 7 + static_cast<int64_t>(reader.last->len + reader.last->key_len)) / 8 + 1,
                      std::memory_order_relaxed);
    reader.last.reset();
  }
  touched_.clear();
}

void KafkaSource::Impl::TakeError(const rd_kafka_message_t& m) {
  const size_t index = IndexOf(m);
  Reader& reader = readers_[index];
  const PartitionPosition& p = partitions_[index].position;
  switch (m.err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      reader.recheck = true;
      next_recheck_ = next_house_ = {};
      return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
      NoteBadBatch(index, m);
      return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      if (!std::exchange(reader.missing_notified, true))
        AddNotice(fmt::format("{} cannot be read now: {}; waiting for it", Quoted(p.topic, p.partition),
                              rd_kafka_err2str(m.err)));
      return;
    default:
      return;  // outages pass; the helper thread says which broker does not answer
  }
}

// The client tells of a batch that it cannot read before the records in the same answer, also those that precede the batch;
// and goes on with those behind it, which must not be taken for the next ones.
void KafkaSource::Impl::NoteBadBatch(size_t index, const rd_kafka_message_t& m) {
  Reader& reader = readers_[index];
  int64_t low, high;
  PartitionState& state = partitions_[index];
  if (rd_kafka_get_watermark_offsets(client_.get(), state.position.topic.c_str(), state.position.partition, &low, &high) ==
      RD_KAFKA_RESP_ERR_NO_ERROR)
    state.end_offset = std::max(state.end_offset, high);
  // Behind a batch whose CRC is wrong the client may take anything for the beginning of another one.
  if (m.offset >= state.end_offset) return;
  const int64_t begin = std::max(m.offset, state.position.next_offset);
  if (reader.bad && begin > reader.bad->begin) return;  // one at a time
  if (!reader.bad || begin < reader.bad->begin) {
    reader.bad.emplace();
    reader.bad->begin = begin;
  }
  BadBatch& bad = *reader.bad;
  bad.cause = RedactSecrets(rd_kafka_message_errstr(&m), options_.config);
  ++bad.reads;
  bad.spoilt = true;
  bad.due = Clock::now() + kBadPause;
}

// The offset that was asked for is in the bad batch.
static void TakeInside(BadBatch& bad) {
  bad.sure = bad.probe == bad.inside || bad.probe == bad.begin;
  bad.inside = std::max(bad.inside, bad.probe);
  bad.asked = false;
}

// What comes while a batch of the partition is bad. True: it has been seen to.
bool KafkaSource::Impl::PassBadBatch(size_t index, const rd_kafka_message_t& m) {
  Reader& reader = readers_[index];
  BadBatch& bad = *reader.bad;
  const bool good = m.err == RD_KAFKA_RESP_ERR_NO_ERROR || m.err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
  if (!bad.searching) {
    if (!good || m.offset < bad.begin) return false;
    if (!bad.spoilt) {  // it came well this time
      reader.bad.reset();
      return false;
    }
    if (m.offset > bad.begin) bad.beyond = std::min(bad.beyond, m.offset);
    return true;
  }
  if (good) {
    if (m.offset < bad.probe) return true;  // not what was asked for
    bad.outside = std::min(bad.outside, bad.probe);
    if (bad.inside >= bad.outside) bad.inside = bad.begin;  // an earlier answer was not to what was asked then
    bad.growing = std::exchange(bad.proving, false);
    bad.asked = false;
  } else if (IsDamage(m.err)) {
    if (m.offset > bad.probe) return true;  // likewise
    if (m.offset > bad.begin) {  // another bad batch begins there
      bad.outside = std::min(bad.outside, m.offset);
      bad.inside = std::min(bad.inside, bad.outside - 1);
      bad.growing = bad.asked = false;
    } else {
      TakeInside(bad);
    }
  } else {
    return false;
  }
  bad.due = next_house_ = {};
  return true;
}

// One damaged answer may be the network's fault; the same again is what the broker has.
void KafkaSource::Impl::MendBadBatch(size_t index, Clock::time_point now) {
  BadBatch& bad = *readers_[index].bad;
  const PartitionPosition& p = partitions_[index].position;
  if (now < bad.due) return;
  if (bad.asked) {  // and nothing came
    if (!partitions_[index].reachable) {
      bad.due = now + kProbePatience;
      return;
    }
    if (bad.proving) {
      StandsStill(index);
      return;
    }
    TakeInside(bad);
  }
  if (!bad.searching) {
    // Up to the batch all is read first; unless compaction has left a hole before it.
    if (bad.reads < kBadReads || (p.next_offset < bad.begin && bad.reads < 2 * kBadReads)) {
      bad.spoilt = false;
      bad.due = Clock::time_point::max();
      ReadFrom(index, p.next_offset);
      return;
    }
    MoveTo(index, bad.begin);
    if (!skips() || bad.beyond != INT64_MAX || partitions_[index].ended) {
      SkipBadBatch(index, bad.beyond);
      return;
    }
    bad.searching = true;
    bad.inside = bad.begin;
    bad.outside = std::min(partitions_[index].end_offset, readers_[index].end);
  }
  if (bad.proving || bad.inside + 1 < bad.outside || !(bad.sure || bad.inside == bad.begin)) Probe(index);
  else SkipBadBatch(index, std::max(bad.outside, bad.begin + 1));
}

void KafkaSource::Impl::SkipBadBatch(size_t index, int64_t next) {
  const BadBatch& bad = *readers_[index].bad;
  Lose(index, {.what = fmt::format("cannot be read at offset {}: {}", bad.begin, bad.cause), .next = next});
}

// Asks for an offset that may be behind the bad batch: farther and farther until one is, then in between; and at last once
// more for the last one that is to be skipped.
void KafkaSource::Impl::Probe(size_t index) {
  BadBatch& bad = *readers_[index].bad;
  if (bad.proving) {
    bad.probe = bad.outside;
  } else if (bad.inside + 1 >= bad.outside) {
    bad.probe = bad.inside;
  } else if (bad.growing) {
    bad.probe = bad.inside + bad.step;
    bad.step *= 2;
    bad.growing = bad.probe < bad.outside;
  }
  if (!bad.proving && !bad.growing && bad.inside + 1 < bad.outside) bad.probe = bad.inside + (bad.outside - bad.inside) / 2;
  bad.asked = bad.silent;
  bad.due = bad.silent ? Clock::now() + kQuiet + kProbePatience : Clock::time_point::max();
  ReadFrom(index, bad.probe);
}

// The broker refused an offset: either it is gone, or a broker that was behind answered.
void KafkaSource::Impl::Recheck() {
  for (size_t i = 0; i < readers_.size() && failure_.ok(); ++i) {
    Reader& reader = readers_[i];
    if (!reader.recheck || partitions_[i].ended) continue;
    const PartitionPosition& p = partitions_[i].position;
    std::vector<Bounds> bounds;
    if (QueryBounds({{p.topic, p.partition, -1}}, milliseconds(1000), bounds) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    const std::optional<Loss> loss = FindLoss(p, bounds.front());
    if (loss && loss->anew) {
      const auto now = Clock::now();
      if (!reader.short_since) reader.short_since = now;
      if (now - *reader.short_since < kShortPatience) continue;
    }
    reader.recheck = false;
    reader.short_since.reset();
    reader.check.reset();
    if (loss) {
      Lose(i, *loss);
      continue;
    }
    if (reader.bad) {
      reader.bad->due = {};
      reader.bad->asked = false;
    }
    ReadFrom(i, p.next_offset);
  }
}

// A partition that has more, whose broker answers, and of which nothing comes: neither records nor an error.
void KafkaSource::Impl::WatchForStalls(Clock::time_point now, const std::vector<int64_t>& highs) {
  if (options_.stall_timeout == absl::InfiniteDuration()) return;
  // While the engine is busy elsewhere it is no wonder that nothing is taken.
  constexpr milliseconds kBusy{500};
  const auto away = now - std::exchange(last_house_, now);
  const int64_t queued = static_cast<int64_t>(rd_kafka_queue_length(queue_.get()) + pulled_.size() - pulled_at_);
  for (size_t i = 0; i < highs.size() && failure_.ok(); ++i) {
    const PartitionState& state = partitions_[i];
    const Reader& reader = readers_[i];
    Stall& stall = readers_[i].stall;
    const int64_t next = state.position.next_offset;
    if (next != stall.next) stall.reassigned = false;
    const bool waited_for = !state.ended && reader.assigned && !reader.bad && !reader.recheck && state.reachable &&
                            std::min(highs[i], reader.end) > next;
    if (!waited_for || next != stall.next) {
      stall.next = next;
      stall.since = now;
      stall.after = handed_over_ + queued;
      continue;
    }
    if (away > kBusy) stall.since += away;
    if (now - stall.since < ChronoMs(options_.stall_timeout) || (queued > 0 && handed_over_ < stall.after)) continue;
    if (stall.reassigned) {
      StandsStill(i);
      continue;
    }
    stall.reassigned = true;
    AddNotice(fmt::format("{} stands still at offset {}, {} before its end: nothing came of it for {}; it is asked for anew",
                          Quoted(state.position.topic, state.position.partition), next, highs[i] - next,
                          absl::FormatDuration(options_.stall_timeout)));
    ReadFrom(i, next);
  }
}

// Asking again did not help. What stands in the way may be one batch that the client cannot read, and does not tell of.
void KafkaSource::Impl::StandsStill(size_t index) {
  PartitionState& state = partitions_[index];
  Reader& reader = readers_[index];
  const int64_t next = state.position.next_offset;
  const std::string what = fmt::format("nothing came of it for twice {}, though its broker answers", absl::FormatDuration(options_.stall_timeout));
  if (!skips() || reader.bad) {
    failure_ = absl::DeadlineExceededError(fmt::format(
        "{} stands still at offset {}, {} before its end: {}{}. Wait longer with --stall-timeout, {}or start over behind it with "
        "--reset --from.",
        Quoted(state.position.topic, state.position.partition), next, state.end_offset - next, what,
        skips() ? "; nor is its end told, so no batch is to blame" : "",
        skips() ? "" : "go on behind what cannot be read with --on-data-loss skip, "));
    return;
  }
  BadBatch& bad = reader.bad.emplace();
  bad.begin = bad.inside = next;
  bad.outside = std::min(state.end_offset, reader.end);
  bad.cause = what;
  bad.searching = bad.silent = bad.proving = true;
}

void KafkaSource::Impl::KeepHouse(Clock::time_point now) {
  next_house_ = now + kHousekeeping;
  if (now >= next_recheck_ && std::any_of(readers_.begin(), readers_.end(), [](const Reader& r) { return r.recheck; })) {
    next_recheck_ = now + std::chrono::seconds(1);
    Recheck();
  }
  for (size_t i = 0; i < readers_.size() && failure_.ok(); ++i) {
    if (readers_[i].bad && !readers_[i].recheck && !partitions_[i].ended) MendBadBatch(i, now);
    AssignWhenQuiet(i, now);
  }
  std::vector<NewPartition> added;
  std::vector<int64_t> highs(partitions_.size());
  int64_t behind = 0;
  {
    std::lock_guard lock(mutex_);
    if (!fatal_.empty() && failure_.ok())
      failure_ = absl::UnavailableError(fmt::format("the Kafka client gave up: {}. Start weir again.", fatal_));
    added.swap(new_partitions_);
    for (size_t i = 0; i < watched_.size(); ++i) {
      PartitionState& state = partitions_[i];
      if (state.ended) continue;
      int64_t low, high;
      if (rd_kafka_get_watermark_offsets(client_.get(), state.position.topic.c_str(), state.position.partition, &low,
                                         &high) == RD_KAFKA_RESP_ERR_NO_ERROR)
        state.end_offset = std::max(state.end_offset, high);
      state.end_offset = std::max(state.end_offset, watched_[i].high);
      state.reachable = !watched_[i].unreachable;
      highs[i] = watched_[i].high;
      watched_[i].behind = !state.caught_up || state.position.next_offset < state.end_offset;
      behind += watched_[i].behind;
    }
  }
  behind_ = behind;
  WatchForStalls(now, highs);
  std::vector<size_t> fresh;
  for (NewPartition& n : added) {
    PartitionPosition position{n.where.topic, n.where.partition, n.bounds.low, n.bounds.low, ""};
    const size_t index = AddPartition(n.where, std::move(position), n.bounds.high, n.end);
    if (!readers_.empty()) readers_[index].cursor.cluster = readers_.front().cursor.cluster;
    partitions_[index].position.cursor = readers_[index].cursor.Print();
    if (!partitions_[index].ended) fresh.push_back(index);
    AddNotice(fmt::format("{} is new: it is read from its beginning", Quoted(n.where.topic, n.where.partition)));
  }
  Assign(fresh, /*from_check=*/false);
  if (now >= next_send_) SendOffsets(/*last=*/false);
}

// ---- Offsets for lag tools ----

void KafkaSource::Impl::Committed(const std::vector<PartitionPosition>& positions) {
  for (const PartitionPosition& p : positions) to_send_[{p.topic, p.partition}] = p.next_offset;
  send_due_ = true;
}

// At most once a second, and a last time at the end. The results file is what counts: errors are ignored.
void KafkaSource::Impl::SendOffsets(bool last) {
  if (to_send_.empty() || !(send_due_ || last)) return;  // at the end once more: an earlier one may have failed
  send_due_ = false;
  next_send_ = Clock::now() + std::chrono::seconds(1);
  ListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(to_send_.size())));
  for (const auto& [key, offset] : to_send_)
    rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = offset;
  if (!last) {
    rd_kafka_commit(client_.get(), list.get(), /*async=*/1);
    return;
  }
  // Waits for the answer for a moment only: the coordinator may be missing.
  QueueHandle answers(rd_kafka_queue_new(client_.get()));
  if (rd_kafka_commit_queue(client_.get(), list.get(), answers.get(), nullptr, nullptr) == RD_KAFKA_RESP_ERR_NO_ERROR)
    if (rd_kafka_event_t* event = rd_kafka_queue_poll(answers.get(), kCommitPatience.count()); event != nullptr)
      rd_kafka_event_destroy(event);
}

// ---- The helper thread ----

void KafkaSource::Impl::Attend() {
  std::unique_lock lock(mutex_);
  auto pause = kNudge;
  while (!wake_.wait_for(lock, pause, [&] { return stopping_; })) {
    lock.unlock();
    const auto now = Clock::now();
    if (now >= next_discovery_) {
      LookForPartitions();
      next_discovery_ = Clock::now() + ChronoMs(options_.metadata_refresh);
    }
    pause = LookAtBrokers(now) ? kNudge : kTick;
    lock.lock();
  }
}

// True while there is something to fetch and room for it. `often`: the broker thread may be asleep, because the queue was
// full a moment ago, or because partitions were assigned, of which nobody tells it either.
bool KafkaSource::Impl::NudgeNeeded(Clock::time_point now, bool& often) {
  often = now - Clock::time_point(Clock::duration(assigned_at_)) < std::chrono::milliseconds(1500);
  if (behind_ == 0 || (wakes_itself_ && !often)) return false;
  const size_t queued = rd_kafka_queue_length(queue_.get());
  const double bytes = static_cast<double>(queued) * static_cast<double>(mean_bytes_);
  const double fill = std::max(bytes / static_cast<double>(options_.queue_bytes),
                               static_cast<double>(queued) / static_cast<double>(queue_messages_));
  if (fill > 0.5) last_full_ = now;
  often = often || now - last_full_ < std::chrono::seconds(2);
  return fill < 0.9;
}

// Asks one partition of each leader that is due for its log end. True: soon again.
bool KafkaSource::Impl::LookAtBrokers(Clock::time_point now) {
  bool often = false;
  const bool nudge = NudgeNeeded(now, often);
  std::map<int32_t, std::vector<size_t>> due, partitions_of;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < watched_.size(); ++i) {
      if (watched_[i].ended || watched_[i].leader < 0) continue;
      partitions_of[watched_[i].leader].push_back(i);
      if (watched_[i].behind) due[watched_[i].leader].push_back(i);
    }
  }
  for (const auto& [leader, all] : partitions_of) {
    BrokerHealth& health = health_[leader];
    const bool wake_it = nudge && due.count(leader) && !health.failing_since;
    if (!wake_it && now < health.next_query) continue;
    if (wake_it && !often && now < health.next_query - kLag + kSlowNudge) continue;
    health.next_query = now + kLag;
    const std::vector<size_t>& among = wake_it ? due[leader] : all;
    const size_t i = among[health.turn++ % among.size()];
    std::string name;
    FoundPartition where;
    {
      std::lock_guard lock(mutex_);
      where = {watched_[i].topic, watched_[i].partition, leader};
      const auto it = broker_names_.find(leader);
      name = it == broker_names_.end() ? fmt::format("number {}", leader) : it->second;
    }
    std::vector<int64_t> high;
    const rd_kafka_resp_err_t err = QueryOffsets({where}, RD_KAFKA_OFFSET_END, kQueryTimeout, high);
    const auto after = Clock::now();
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (health.reported) AddNotice(fmt::format("broker {} is back", name));
      health.reported = false;
      health.failing_since.reset();
      std::lock_guard lock(mutex_);
      for (const size_t partition : all) watched_[partition].unreachable = false;
      watched_[i].high = high.front();
      continue;
    }
    if (!health.failing_since) health.failing_since = after;
    {
      std::lock_guard lock(mutex_);
      for (const size_t partition : all) watched_[partition].unreachable = true;
    }
    if (!health.reported && after - *health.failing_since >= kDownAfter) {
      health.reported = true;
      const std::string cause = Cause();
      AddNotice(fmt::format("broker {} is down: {}; {} partitions wait for it", name,
                            cause.empty() ? rd_kafka_err2str(err) : cause, all.size()));
    }
  }
  return nudge && often;
}

void KafkaSource::Impl::LookForPartitions() {
  const absl::StatusOr<Topology> found = Discover(milliseconds(1000));
  if (!found.ok()) return;
  std::vector<NewPartition> added;
  for (const FoundPartition& p : found->partitions) {
    // A run that ends where the log ended when it started has nothing to read in what came later.
    if (known_.count({p.topic, p.partition})) continue;
    const bool ignored = options_.to && options_.to->kind != StartPoint::Kind::kTime &&
                         options_.to->kind != StartPoint::Kind::kAgo;
    NewPartition n{p, {}, INT64_MAX};
    if (!ignored) {
      std::vector<Bounds> bounds;
      if (QueryBounds({p}, kQueryTimeout, bounds) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      n.bounds = bounds.front();
      if (options_.to) {
        auto ends = ResolvePoints(*options_.to, {p}, bounds, Clock::now() + kQueryTimeout);
        if (!ends.ok()) continue;
        CutToLogEnd({p}, bounds, *ends);
        n.end = ends->front();
      }
      added.push_back(n);
    }
    known_.insert({p.topic, p.partition});
  }
  {
    std::lock_guard lock(mutex_);
    broker_names_ = found->brokers;
    std::map<TopicPartition, int32_t> leaders;
    for (const FoundPartition& p : found->partitions) leaders[{p.topic, p.partition}] = p.leader;
    for (Watched& w : watched_)
      if (const auto it = leaders.find({w.topic, w.partition}); it != leaders.end() && it->second >= 0)
        w.leader = it->second;
    new_partitions_.insert(new_partitions_.end(), added.begin(), added.end());
  }
  if (!added.empty()) rd_kafka_queue_yield(queue_.get());
}

// ---- KafkaSource ----

KafkaSource::KafkaSource(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KafkaSource::~KafkaSource() = default;

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Create(KafkaSourceOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  WEIR_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<KafkaSource>(new KafkaSource(std::move(impl)));
}

absl::Status KafkaSource::Open(const std::vector<PartitionPosition>& resume) { return impl_->Open(resume); }
absl::Status KafkaSource::Poll(const PollLimits& limits, Chunk& chunk) { return impl_->Poll(limits, chunk); }
const std::deque<PartitionState>& KafkaSource::partitions() const { return impl_->partitions(); }
std::vector<DataGap> KafkaSource::TakeGaps() { return impl_->TakeGaps(); }
bool KafkaSource::ended() const { return impl_->ended(); }
bool KafkaSource::bounded() const { return impl_->bounded(); }
void KafkaSource::Interrupt() { impl_->Interrupt(); }
void KafkaSource::Committed(const std::vector<PartitionPosition>& positions) { impl_->Committed(positions); }
std::vector<std::string> KafkaSource::TakeNotices() { return impl_->TakeNotices(); }

}  // namespace weir
