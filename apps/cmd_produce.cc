// apps/cmd_produce.cc: `weir produce`: lines of a file or stdin into a topic, each acknowledged or accounted
// for.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "apps/print.h"
#include "apps/flag_set.h"
#include "apps/parse.h"
#include "apps/verbs.h"
#include "engine/sink/text.h"
#include "engine/source/decompress.h"
#include "engine/source/kafka_config.h"
#include "engine/source/kafka_producer.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

FlagTable ProduceFlags() {
  const auto flag = [](std::string names, std::string value, std::string help,
                       std::string default_text = "") {
    return FlagSpec{.names = std::move(names),
                    .value = std::move(value),
                    .help = std::move(help),
                    .default_text = std::move(default_text)};
  };
  const auto repeatable = [](FlagSpec spec) {
    spec.repeatable = true;
    return spec;
  };
  FlagTable table;
  table.verb = "produce";
  table.usage = "weir produce -b LIST -t TOPIC [-i FILE] [flags]";
  table.about =
      "Sends each line of a file or of stdin as one message, blank lines left out; every message is "
      "acknowledged by all "
      "in-sync replicas, and none is sent twice. Exit code 69: a line was not delivered.";
  table.groups = {
      {"Kafka",
       {flag("-b,--brokers", "LIST", "bootstrap servers, host:port, comma-separated"),
        flag("-t,--topic", "NAME", "topic, which must exist"),
        repeatable(flag("-X", "KEY=VALUE", "librdkafka property; secrets as KEY=env:NAME or KEY=file:PATH")),
        repeatable(flag("-F", "FILE", "file of librdkafka properties, one KEY=VALUE a line")),
        flag("--connect-timeout", "D", "for reaching broker and topic at start", "30s"),
        flag("--compression", "NAME", "none, gzip, snappy, lz4 or zstd", "lz4")}},
      {"Lines",
       {flag("-i,--input", "FILE", "read from here; - is stdin", "-"),
        flag("--key-field", "PATH", "a line's key is this field of its JSON: user.id_str"),
        flag("--key-separator", "S",
             "a line's key is what stands before the first S, the message what stands behind"),
        flag("--partition", "N", "send to this partition", "by key, else spread"),
        flag("--rate", "N", "lines per second", "as fast as possible")}},
      {"Messages", {flag("-q", "", "no progress, no summary")}}};
  return table;
}

struct ProduceOptions {
  KafkaProducer::Options producer;
  std::string topic, input = "-";
  std::string key_field, key_separator;  // at most one is not empty
  int32_t partition = -1;
  int64_t rate = 0;  // 0: as fast as possible
  absl::Duration connect_timeout = absl::Seconds(30);
  bool quiet = false;
};

absl::StatusOr<ProduceOptions> ReadOptions(const ParsedFlags& parsed) {
  ProduceOptions options;
  KafkaConfig config;
  for (const auto& [name, out] :
       {std::pair{"brokers", &options.producer.brokers}, {"topic", &options.topic}}) {
    const auto value = parsed.Get(name);
    if (!value || value->text.empty())
      return absl::InvalidArgumentError(
          fmt::format("no --{0} given. Usage: weir produce -b LIST -t TOPIC [-i FILE]", name));
    *out = value->text;
  }
  config.brokers = options.producer.brokers;
  for (const FlagValue& file : parsed.GetAll("F"))
    WEIR_RETURN_IF_ERROR(AddKafkaPropertyFile(file.text, config));
  for (const FlagValue& item : parsed.GetAll("X")) WEIR_RETURN_IF_ERROR(AddKafkaProperty(item.text, config));
  for (const KafkaProperty& property : config.properties)
    options.producer.properties.emplace_back(property.name, property.value);
  if (const auto v = parsed.Get("compression")) {
    const std::string names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    WEIR_ASSIGN_OR_RETURN(const std::string name, ParseChoice(v->name, v->text, names));
    options.producer.properties.emplace_back("compression.codec", name);
  }
  if (const auto v = parsed.Get("connect-timeout")) {
    WEIR_ASSIGN_OR_RETURN(const int64_t ms, ParseDuration(v->name, v->text));
    options.connect_timeout = absl::Milliseconds(ms);
    options.producer.connect_timeout = options.connect_timeout;
  }
  if (const auto v = parsed.Get("input")) options.input = v->text;
  if (const auto v = parsed.Get("key-field")) {
    WEIR_RETURN_IF_ERROR(CheckFieldPath(v->name, v->text));
    if (v->text.front() == '@' || v->text.find("[]") != std::string::npos)
      return absl::InvalidArgumentError(
          fmt::format("{} {} is not one field of the line. Write keys with dots between: user.id_str.",
                      v->name, v->text));
    options.key_field = v->text;
  }
  if (const auto v = parsed.Get("key-separator")) options.key_separator = v->text;
  if (!options.key_field.empty() && !options.key_separator.empty())
    return absl::InvalidArgumentError(
        "--key-field and --key-separator exclude each other. Give one of them.");
  if (const auto v = parsed.Get("partition")) {
    WEIR_ASSIGN_OR_RETURN(const int64_t partition, ParseNumber(v->name, v->text, 0, INT32_MAX));
    options.partition = static_cast<int32_t>(partition);
  }
  if (const auto v = parsed.Get("rate")) {
    WEIR_ASSIGN_OR_RETURN(options.rate, ParseNumber(v->name, v->text, 1, 1'000'000'000));
  }
  options.quiet = parsed.On("q");
  return options;
}

// Lines of a file descriptor, without their ends. A signal ends the input.
class LineReader {
 public:
  static absl::StatusOr<std::unique_ptr<LineReader>> Open(const std::string& path) {
    if (path == "-") return std::unique_ptr<LineReader>(new LineReader("stdin", STDIN_FILENO));
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      return absl::NotFoundError(fmt::format("--input {} cannot be opened: {}", path, std::strerror(errno)));
    return std::unique_ptr<LineReader>(new LineReader("--input " + path, fd));
  }
  ~LineReader() {
    if (fd_ != STDIN_FILENO) ::close(fd_);
  }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line; it is valid until the next call. Nothing: the end, or a signal.
  absl::StatusOr<std::optional<std::string_view>> Next() {
    size_t searched = begin_;
    while (stop_requested == 0) {
      const void* end = std::memchr(buffer_.data() + searched, '\n', used_ - searched);
      if (end != nullptr) {
        const std::string_view line(
            buffer_.data() + begin_,
            static_cast<size_t>(static_cast<const char*>(end) - buffer_.data()) - begin_);
        begin_ += line.size() + 1;
        return line;
      }
      if (at_end_) {
        // The last line may lack its end.
        const std::string_view line(buffer_.data() + begin_, used_ - begin_);
        begin_ = used_;
        if (line.empty()) return std::nullopt;
        return line;
      }
      searched = used_ - begin_;
      WEIR_RETURN_IF_ERROR(Fill());
    }
    return std::nullopt;
  }

 private:
  static constexpr size_t kReadBytes = 256 << 10;

  LineReader(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}

  absl::Status Fill() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, used_ - begin_);
    used_ -= begin_;
    begin_ = 0;
    if (buffer_.size() < used_ + kReadBytes) buffer_.resize(std::max(2 * buffer_.size(), used_ + kReadBytes));
    const ssize_t got = ::read(fd_, buffer_.data() + used_, kReadBytes);
    if (got < 0) {
      if (errno == EINTR) return absl::OkStatus();
      return absl::NotFoundError(fmt::format("{} cannot be read: {}", name_, std::strerror(errno)));
    }
    const bool first = !begun_;
    begun_ = true;
    used_ += static_cast<size_t>(got);
    at_end_ = got == 0;
    const auto packed = DetectCompression({buffer_.data(), used_});
    if (first && packed.value_or(Compression::kNone) != Compression::kNone)
      return absl::InvalidArgumentError(fmt::format(
          "{0} is compressed ({1}), not lines. Unpack it on the way: {1} -dc FILE | weir produce ...", name_,
          CompressionName(*packed)));
    return absl::OkStatus();
  }

  const std::string name_;
  const int fd_;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);  // never without memory: memchr and memmove want an address
  size_t begin_ = 0, used_ = 0;
  bool begun_ = false, at_end_ = false;
};

// Finds a line's key. Nothing: the line has none.
class KeyFinder {
 public:
  explicit KeyFinder(const ProduceOptions& options) : separator_(options.key_separator) {
    for (size_t begin = 0; begin < options.key_field.size();) {
      const size_t dot = std::min(options.key_field.find('.', begin), options.key_field.size());
      path_.push_back(options.key_field.substr(begin, dot - begin));
      begin = dot + 1;
    }
  }
  bool wanted() const { return !separator_.empty() || !path_.empty(); }

  // Takes the key off the front of `line`, with --key-separator. The key is valid until the next call.
  std::optional<std::string_view> Find(std::string_view& line) {
    if (!separator_.empty()) {
      const size_t at = line.find(separator_);
      if (at == line.npos) return std::nullopt;
      const std::string_view key = line.substr(0, at);
      line.remove_prefix(at + separator_.size());
      return key;
    }
    simdjson::dom::element element;
    if (parser_.parse(line.data(), line.size()).get(element) != simdjson::SUCCESS) return std::nullopt;
    for (const std::string& key : path_)
      if (element.at_key(key).get(element) != simdjson::SUCCESS) return std::nullopt;
    std::string_view text;
    if (element.get(text) == simdjson::SUCCESS) return text;
    if (element.is_null() || element.is_array() || element.is_object()) return std::nullopt;
    key_ = simdjson::minify(element);
    return key_;
  }

 private:
  const std::string separator_;
  std::vector<std::string> path_;
  simdjson::dom::parser parser_;
  std::string key_;
};

// A line on the terminal that overwrites itself.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet) : shown_(!quiet && isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() { Clear(); }
  void Update(int64_t lines) {
    constexpr int64_t kLook = 64;  // lines between two looks at the clock
    if (!shown_ || lines % kLook != 0) return;
    const absl::Time now = absl::Now();
    if (now - last_ < absl::Milliseconds(200)) return;
    last_ = now;
    visible_ = true;
    PrintTo(stderr, fmt::format("\r{} lines, {} per second \x1b[K", WithThousands(lines),
        WithThousands(static_cast<int64_t>(static_cast<double>(lines) / absl::ToDoubleSeconds(now - start_)))));
    std::fflush(stderr);
  }
  void Clear() {
    if (visible_) std::fputs("\r\x1b[K", stderr);
    visible_ = false;
  }

 private:
  const bool shown_;
  const absl::Time start_ = absl::Now();
  absl::Time last_ = start_;
  bool visible_ = false;
};

// Sleeps until line `n` of a steady stream is due; a signal ends it.
void WaitForTurn(absl::Time start, int64_t n, int64_t rate) {
  const absl::Duration wait =
      start + absl::Seconds(static_cast<double>(n) / static_cast<double>(rate)) - absl::Now();
  if (wait < absl::Milliseconds(1)) return;
  const timespec time = absl::ToTimespec(wait);
  ::nanosleep(&time, nullptr);
}

bool IsBlank(std::string_view line) { return line.find_first_not_of(" \t\r\n\v\f") == line.npos; }

// The first SIGINT or SIGTERM ends the input: what was read is delivered. The second one kills.
void StopReadingOnSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: a read that waits returns
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

absl::Status Produce(const ProduceOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<LineReader> lines, LineReader::Open(options.input));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<KafkaProducer> producer,
                        KafkaProducer::Create(options.producer));
  const absl::StatusOr<int> found = producer->PartitionCount(options.topic, options.connect_timeout);
  if (!found.ok())
    return absl::Status(found.status().code(),
                        fmt::format("cannot produce to {} at {}: {}", options.topic, options.producer.brokers,
                                    std::string(found.status().message())));
  const int partitions = *found;
  if (options.partition >= partitions)
    return absl::InvalidArgumentError(
        fmt::format("--partition {} does not exist: topic {} has partitions 0 to {}.", options.partition,
                    options.topic, partitions - 1));
  StopReadingOnSignals();
  KeyFinder keys(options);
  ProgressLine progress(options.quiet);
  const absl::Time start = absl::Now();
  int64_t number = 0, sent = 0, without_key = 0;
  std::string refused;  // the first line that could not even be queued
  absl::Status broken;  // why reading or sending ended early
  while (true) {
    const absl::StatusOr<std::optional<std::string_view>> next = lines->Next();
    if (!next.ok()) {
      broken = next.status();  // what was read before is delivered all the same
      break;
    }
    const std::optional<std::string_view>& line = *next;
    if (!line) break;
    ++number;
    if (IsBlank(*line)) continue;
    if (options.rate > 0) WaitForTurn(start, sent, options.rate);
    KafkaProducer::Message message{.payload = *line, .partition = options.partition};
    if (keys.wanted()) {
      message.key = keys.Find(message.payload);
      without_key += message.key ? 0 : 1;
    }
    const absl::Status queued = producer->Produce(options.topic, message);
    if (queued.code() == absl::StatusCode::kInvalidArgument) {
      if (refused.empty()) refused = fmt::format("line {}: {}", number, std::string(queued.message()));
    } else if (!queued.ok()) {
      broken = queued;  // no later one will fare better
      break;
    }
    progress.Update(++sent);
  }
  // librdkafka gives a message up by itself (message.timeout.ms, five minutes).
  const absl::Status flushed = producer->Flush(absl::InfiniteDuration());
  progress.Clear();
  if (!options.quiet) {
    PrintTo(stderr, fmt::format("{} {} delivered to {} in {:.1f} s\n", WithThousands(producer->delivered()),
               producer->delivered() == 1 ? "line" : "lines", options.topic,
               absl::ToDoubleSeconds(absl::Now() - start)));
    if (without_key > 0) PrintTo(stderr, fmt::format("{} of them had no key\n", WithThousands(without_key)));
  }
  if (!refused.empty())
    return absl::UnavailableError(fmt::format("{} of {} lines were not delivered to {}; the first: {}",
                                              WithThousands(producer->failed()), WithThousands(sent), options.topic,
                                              refused));
  WEIR_RETURN_IF_ERROR(flushed);
  return broken.code() == absl::StatusCode::kCancelled ? absl::OkStatus() : broken;
}

}  // namespace

int CmdProduce(int argc, char** argv) {
  const FlagTable table = ProduceFlags();
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) return PrintAll(HelpText(table));
  const auto options = ReadOptions(*parsed);
  if (!options.ok()) return Fail(options.status());
  const absl::Status status = Produce(*options);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace weir
