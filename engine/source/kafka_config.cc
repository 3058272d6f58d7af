#include "engine/source/kafka_config.h"

#include <librdkafka/rdkafka.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "engine/status_macros.h"
#include "fmt/format.h"

namespace weir {
namespace {

constexpr std::string_view kRedacted = "****";

struct Reason {
  std::string_view name;
  std::string_view why;
};

// Exactly once rests on these: a user's value could lose or repeat records without a word.
constexpr Reason kOwned[] = {
    {"bootstrap.servers", "use --brokers"},
    {"metadata.broker.list", "use --brokers"},
    {"group.id", "use --group"},
    {"group.instance.id", "partitions are assigned by weir, not by a group"},
    {"group.protocol.type", "partitions are assigned by weir, not by a group"},
    {"partition.assignment.strategy", "partitions are assigned by weir, not by a group"},
    {"enable.auto.commit", "offsets are kept in the results file, with the results"},
    {"auto.commit.enable", "offsets are kept in the results file, with the results"},
    {"auto.commit.interval.ms", "offsets are kept in the results file, with the results"},
    {"enable.auto.offset.store", "offsets are kept in the results file, with the results"},
    {"offset.store.method", "offsets are kept in the results file, with the results"},
    {"offset.store.path", "offsets are kept in the results file, with the results"},
    {"auto.offset.reset", "a lost offset must stop the job; for where to start use --from"},
    {"isolation.level", "only committed records are counted"},
    {"check.crcs", "records are always checked"},
    {"enable.partition.eof", "weir needs to know when it has caught up"},
    {"allow.auto.create.topics", "a consumer must not create topics"},
    {"queued.max.messages.kbytes", "use --max-memory"},
    {"queued.min.messages", "use --max-memory"},
    {"log.queue", "weir serves the client's log itself"},
    {"enabled_events", "weir serves the client's events itself"},
};

constexpr Reason kForbidden[] = {
    {"plugin.library.paths", "it loads foreign code into this process"},
    {"test.mock.num.brokers", "records would come from brokers in this process, not from --brokers; for a try use weir demo"},
    {"ssl.engine.location", "it loads foreign code into this process"},
    {"ssl.engine.id", "it loads foreign code into this process"},
    {"sasl.kerberos.kinit.cmd", "it runs a shell command; run kinit before weir"},
};

// Names of the Java client that librdkafka calls otherwise.
constexpr Reason kJavaNames[] = {
    {"sasl.jaas.config", "use sasl.username and sasl.password"},
    {"ssl.truststore.location", "use ssl.ca.location with a PEM file"},
    {"ssl.truststore.password", "a PEM file in ssl.ca.location needs none"},
    {"ssl.keystore.type", "ssl.keystore.location takes PKCS#12 files"},
    {"key.deserializer", "weir reads bytes; leave it out"},
    {"value.deserializer", "weir reads bytes; leave it out"},
    {"max.poll.records", "use --batch-records"},
};

template <size_t n>
const Reason* FindReason(const Reason (&table)[n], std::string_view name) {
  for (const Reason& r : table)
    if (r.name == name) return &r;
  return nullptr;
}

bool IsSecretName(std::string_view name) {
  if (name.ends_with(".url") || name.ends_with(".location")) return false;
  for (std::string_view part : {"password", "secret", "token", "key.pem", "jaas", "passphrase", "credential",
                                "oauthbearer.config"})
    if (name.find(part) != std::string_view::npos) return true;
  return false;
}

std::string_view Trim(std::string_view s) {
  constexpr std::string_view kSpace = " \t\r\n\f";
  const size_t begin = s.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(kSpace) - begin + 1);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// The table that librdkafka prints has all names, also unset ones, which a conf dump leaves out.
std::vector<std::string> PropertyNames() {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  if (stream == nullptr) return {};
  rd_kafka_conf_properties_show(stream);
  std::fclose(stream);
  std::vector<std::string> names;
  std::string_view rest(text, size);
  while (!rest.empty()) {
    const size_t line_end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(std::min(line_end + 1, rest.size()));
    const size_t bar = line.find('|');
    if (bar == std::string_view::npos) continue;
    const std::string_view name = Trim(line.substr(0, bar));
    if (name.find('.') != std::string_view::npos || name == "debug") names.emplace_back(name);
  }
  std::free(text);
  return names;
}

std::string DidYouMean(std::string_view name) {
  size_t best = std::max<size_t>(3, name.size() / 4) + 1;
  std::string found;
  for (const std::string& candidate : PropertyNames()) {
    if (FindReason(kOwned, candidate) || FindReason(kForbidden, candidate)) continue;
    const size_t distance = EditDistance(name, candidate);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found.empty() ? "See librdkafka's CONFIGURATION.md for the names." : fmt::format("Did you mean \"{}\"?", found);
}

absl::Status CheckName(std::string_view name) {
  if (const Reason* r = FindReason(kOwned, name))
    return absl::InvalidArgumentError(fmt::format("Kafka property {} is set by weir itself: {}.", name, r->why));
  if (const Reason* r = FindReason(kForbidden, name))
    return absl::InvalidArgumentError(fmt::format("Kafka property {} is refused: {}.", name, r->why));
  if (const Reason* r = FindReason(kJavaNames, name))
    return absl::InvalidArgumentError(
        fmt::format("Kafka property {} belongs to the Java client, weir uses librdkafka: {}.", name, r->why));
  return absl::OkStatus();
}

// librdkafka knows which names and values exist; a scratch configuration asks it.
absl::Status CheckValue(const KafkaProperty& property) {
  std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)> conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  char error[512] = "";
  switch (rd_kafka_conf_set(conf.get(), property.name.c_str(), property.value.c_str(), error, sizeof error)) {
    case RD_KAFKA_CONF_OK:
      return absl::OkStatus();
    case RD_KAFKA_CONF_UNKNOWN:
      return absl::InvalidArgumentError(
          fmt::format("unknown Kafka property \"{}\". {}", property.name, DidYouMean(property.name)));
    default:
      // The library's text quotes the value.
      return absl::InvalidArgumentError(fmt::format("Kafka property {}: {}", property.name,
                                                    property.secret ? "its value is not accepted" : error));
  }
}

// What a property needs is small; a folder, a device or the wrong file is told by its name.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  constexpr size_t kMaxBytes = 1 << 20;
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("cannot read the file {}: {}.", path, why));
  };
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return refuse(std::strerror(errno));
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) return refuse("it is neither a regular file nor a pipe");
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) return refuse(std::strerror(errno));
  std::string text(kMaxBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get())) return refuse(std::strerror(errno));
  if (text.size() > kMaxBytes) return refuse(fmt::format("it is longer than {} bytes", kMaxBytes));
  return text;
}

// Replaces "env:NAME" and "file:PATH" by what they lead to.
absl::Status Resolve(KafkaProperty& property) {
  const std::string_view value = property.value;
  if (value.starts_with("env:")) {
    const std::string name(value.substr(4));
    const char* found = std::getenv(name.c_str());
    if (found == nullptr)
      return absl::InvalidArgumentError(
          fmt::format("Kafka property {}: the environment has no variable {}.", property.name, name));
    property.value = found;
    property.secret = true;
  } else if (value.starts_with("file:")) {
    absl::StatusOr<std::string> text = ReadSmallFile(std::string(value.substr(5)));
    if (!text.ok())
      return absl::InvalidArgumentError(fmt::format("Kafka property {}: {}", property.name, std::string(text.status().message())));
    if (text->ends_with('\n')) text->pop_back();
    if (text->ends_with('\r')) text->pop_back();
    property.value = *std::move(text);
    property.secret = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<KafkaProperty> ParseItem(std::string_view item, bool literal_secrets) {
  const size_t equals = item.find('=');
  KafkaProperty property;
  property.name = Trim(item.substr(0, equals));
  // Without a sign the text may be a secret itself: it is not repeated.
  if (equals == std::string_view::npos || property.name.empty())
    return absl::InvalidArgumentError("a Kafka property is written KEY=VALUE, such as security.protocol=ssl.");
  WEIR_RETURN_IF_ERROR(CheckName(property.name));
  property.value = Trim(item.substr(equals + 1));
  const bool indirect = property.value.starts_with("env:") || property.value.starts_with("file:");
  property.secret = IsSecretName(property.name);
  if (property.secret && !indirect && !literal_secrets)
    return absl::InvalidArgumentError(
        fmt::format("{0} on the command line could be read by every process of this machine. Use -X {0}=env:NAME, "
                    "-X {0}=file:PATH, or a property file with -F.",
                    property.name));
  WEIR_RETURN_IF_ERROR(Resolve(property));
  WEIR_RETURN_IF_ERROR(CheckValue(property));
  return property;
}

std::optional<int64_t> ParseInt(std::string_view text) {
  int64_t value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseUtc(std::string_view text) {
  const std::string copy(text);
  absl::Time time;
  for (const char* format : {"%Y-%m-%d%ET%H:%M:%E*S%Ez", "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d%ET%H:%M%Ez",
                             "%Y-%m-%d%ET%H:%M", "%Y-%m-%d"})
    if (absl::ParseTime(format, copy, absl::UTCTimeZone(), &time, nullptr)) return absl::ToUnixMillis(time);
  return std::nullopt;
}

}  // namespace

absl::Status AddKafkaProperty(std::string_view item, KafkaConfig& config) {
  WEIR_ASSIGN_OR_RETURN(KafkaProperty property, ParseItem(item, /*literal_secrets=*/false));
  config.properties.push_back(std::move(property));
  return absl::OkStatus();
}

absl::Status AddKafkaPropertyFile(const std::string& path, KafkaConfig& config) {
  absl::StatusOr<std::string> all = ReadSmallFile(path);
  if (!all.ok()) return absl::InvalidArgumentError(fmt::format("Kafka properties: {}", std::string(all.status().message())));
  std::string_view rest = *all;
  for (int number = 1; !rest.empty(); ++number) {
    const size_t line_end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = Trim(rest.substr(0, line_end));
    rest.remove_prefix(std::min(line_end + 1, rest.size()));
    if (text.empty() || text.front() == '#' || text.front() == '!') continue;
    absl::StatusOr<KafkaProperty> property = ParseItem(text, /*literal_secrets=*/true);
    if (!property.ok())
      return absl::InvalidArgumentError(
          fmt::format("{} line {}: {}", path, number, std::string(property.status().message())));
    config.properties.push_back(*std::move(property));
  }
  return absl::OkStatus();
}

std::vector<std::string> DescribeKafkaConfig(const KafkaConfig& config) {
  std::map<std::string_view, std::string_view> last;
  for (const KafkaProperty& p : config.properties)
    last[p.name] = p.secret || IsSecretName(p.name) ? kRedacted : std::string_view(p.value);
  std::vector<std::string> lines = {fmt::format("bootstrap.servers={}", config.brokers)};
  for (const auto& [name, value] : last) lines.push_back(fmt::format("{}={}", name, value));
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> KafkaConfigWarnings(const KafkaConfig& config) {
  std::map<std::string_view, std::string_view> last;
  for (const KafkaProperty& p : config.properties) last[p.name] = p.value;
  std::vector<std::string> warnings;
  if (last["enable.ssl.certificate.verification"] == "false")
    warnings.push_back("enable.ssl.certificate.verification=false: anybody on the way can pose as the broker.");
  return warnings;
}

std::string RedactSecrets(std::string text, const KafkaConfig& config) {
  for (const KafkaProperty& p : config.properties) {
    // Replacing "a" or "1" would only make the text unreadable, and tell the secret by the gaps.
    if (!p.secret || p.value.size() < 4) continue;
    for (size_t at = 0; (at = text.find(p.value, at)) != std::string::npos; at += kRedacted.size())
      text.replace(at, p.value.size(), kRedacted);
  }
  return text;
}

absl::StatusOr<StartPoint> ParseStartPoint(std::string_view text) {
  using Kind = StartPoint::Kind;
  if (text == "earliest" || text == "beginning") return StartPoint{Kind::kEarliest};
  if (text == "latest" || text == "end") return StartPoint{Kind::kLatest};
  if (text == "committed" || text == "stored") return StartPoint{Kind::kCommitted};
  if (text.starts_with('@')) {
    const std::string_view time = text.substr(1);
    if (const auto ms = ParseInt(time); ms && *ms >= 0) return StartPoint{Kind::kTime, *ms};
    if (const auto ms = ParseUtc(time); ms && *ms >= 0) return StartPoint{Kind::kTime, *ms};
  } else if (const auto n = ParseInt(text); n && *n > INT64_MIN) {
    if (text.front() != '-') return StartPoint{Kind::kOffset, *n};
    return StartPoint{Kind::kBeforeEnd, -*n};
  } else if (text.starts_with('-') && text.size() > 1 && text[1] >= '0' && text[1] <= '9') {
    absl::Duration ago;
    if (absl::ParseDuration(std::string(text.substr(1)), &ago) && ago < absl::Hours(24 * 36500))
      return StartPoint{Kind::kAgo, absl::ToInt64Milliseconds(ago)};
  }
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is no place in a topic. Use earliest, latest, committed, an offset, -N (records before the "
                  "end), @2015-04-30T21:34:00Z, @EPOCH_MS, or -15m.",
                  text));
}

}  // namespace weir
