#include "apps/job_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "apps/print.h"
#include "apps/parse.h"
#include "apps/suggest.h"
#include "apps/verbs.h"
#include "engine/sink/text.h"
#include "engine/source/file_source.h"
#include "engine/source/kafka_config.h"
#include "engine/source/kafka_source.h"
#include "engine/status_macros.h"
#include "operators/formats.h"
#include "operators/registry.h"
#include "operators/text.h"

namespace weir {
namespace {

std::string Join(std::vector<std::string> items, std::string_view separator) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : std::string(separator)) + item;
  return out;
}

std::string Sorted(std::vector<std::string> items) {
  std::sort(items.begin(), items.end());
  return Join(std::move(items), ",");
}

std::string TimeFieldText(const TimeField& field) {
  switch (field.encoding) {
    case TimeEncoding::kAuto: return field.path;
    case TimeEncoding::kSeconds: return field.path + ":s";
    case TimeEncoding::kMillis: return field.path + ":ms";
    case TimeEncoding::kMicros: return field.path + ":us";
    case TimeEncoding::kIso: return field.path + ":iso";
    case TimeEncoding::kTwitter: return field.path + ":twitter";
  }
  return field.path;
}

bool ReadsMessageAttributes(const ColumnPlan& plan) {
  const auto around = [](const std::string& path) { return path.starts_with("@key") || path.starts_with("@header."); };
  for (const ColumnSpec& column : plan.projection.columns)
    if (std::any_of(column.paths.begin(), column.paths.end(), around)) return true;
  for (const TimeField& time : plan.projection.times)
    if (around(time.path)) return true;
  return false;
}

}  // namespace

int Fail(const absl::Status& status) {
  std::string text = "weir: ";
  std::string_view rest(status.message().data(), status.message().size());
  for (;;) {  // messages may have several lines; what they quote may not make more
    const size_t end = rest.find('\n');
    text += Printable(rest.substr(0, end)) + '\n';
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  PrintTo(stderr, text);
  return ExitCode(status);
}

int PrintAll(std::string_view text) {
  errno = 0;
  PrintTo(stdout, text);
  // A flush succeeds when what did not fit its buffer failed before.
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  return Fail(absl::UnknownError(fmt::format("stdout cannot be written: {}.", std::strerror(errno == 0 ? EIO : errno))));
}

std::optional<RunFlags> ReadRunFlags(int argc, char** argv, int& exit_code) {
  absl::StatusOr<RunFlags> flags = ParseRunFlags(argc, argv, Registry());
  if (flags.ok() && flags->help) {
    exit_code = PrintAll(HelpText(RunFlagTable(Registry(), argv[0])));
    return std::nullopt;
  }
  const absl::Status status = flags.ok() ? Validate(*flags) : flags.status();
  if (!status.ok()) {
    exit_code = Fail(status);
    return std::nullopt;
  }
  for (const std::string& warning : Warnings(*flags)) PrintTo(stderr, fmt::format("weir: {}\n", warning));
  return *std::move(flags);
}

absl::StatusOr<std::vector<Operator>> MakeOperators(const RunFlags& flags) {
  std::vector<Operator> operators;
  for (const std::string& name : flags.operators) {
    const OperatorInfo* const info = FindOperator(name);
    if (info == nullptr) return absl::InvalidArgumentError(fmt::format("unknown operator \"{}\"", name));
    const auto params = flags.params.find(name);
    WEIR_ASSIGN_OR_RETURN(Operator op, info->make(params == flags.params.end() ? std::map<std::string, std::string>() : params->second));
    operators.push_back(std::move(op));
  }
  return operators;
}

absl::Status CheckFields(const RunFlags& flags, const std::vector<Operator>& operators) {
  std::vector<std::string> read;
  for (const Operator& op : operators)
    for (const FieldRead& field : op.reads) read.push_back(field.name);
  if (!flags.track.empty()) read.push_back("text");
  if (!flags.langs.empty()) read.push_back("lang");
  for (const FieldMapping& field : flags.fields)
    if (std::find(read.begin(), read.end(), field.name) == read.end())
      return absl::InvalidArgumentError(fmt::format("--field {}: nothing in this run reads a field of that name.{} It reads {}.", field.name,
                                                    DidYouMean(field.name, read), Join(read, ", ")));
  return absl::OkStatus();
}

absl::StatusOr<JobOptions> MakeJobOptions(const RunFlags& flags) {
  JobOptions options;
  const Format* const format = FindFormat(flags.format);
  if (format == nullptr)
    return absl::InvalidArgumentError(fmt::format("unknown format \"{}\".{}", flags.format, DidYouMean(flags.format, FormatNames())));
  options.format = *format;
  for (const FieldMapping& field : flags.fields) options.format.fields.push_back({field.name, {field.path}});
  if (flags.time_field) options.format.times = {*flags.time_field};
  options.window = flags.window();
  options.time = flags.time;
  options.watermark_delay_ms = flags.watermark_delay_ms;
  options.allowed_lateness_ms = flags.allowed_lateness_ms;
  options.idle_timeout_ms = flags.idle_timeout_ms;
  options.max_future_ms = flags.max_future_ms;
  options.max_jump_ms = flags.max_jump_ms;
  options.validate_full = flags.validate_full;
  std::string buffer;
  for (const std::string& word : flags.track) options.track.emplace_back(FoldCase(word, buffer));
  options.langs = flags.langs;
  options.top = static_cast<size_t>(flags.top);
  options.batch = absl::Milliseconds(flags.batch_ms);
  options.batch_records = flags.batch_records;
  options.batch_bytes = static_cast<size_t>(flags.batch_bytes);
  // A batch's columns and the rows it closes take about as much again as its payloads.
  if (flags.max_memory_bytes > 0)
    options.batch_bytes = std::min(options.batch_bytes, std::max<size_t>(static_cast<size_t>(flags.max_memory_bytes) / 16, 1 << 20));
  options.workers = static_cast<int>(flags.workers);
  options.limit = flags.limit;
  if (flags.run_for_ms != kForever) options.run_for = absl::Milliseconds(flags.run_for_ms);
  return options;
}

size_t QueueBytes(const RunFlags& flags) {
  constexpr size_t kDefault = 64 << 20;
  if (flags.max_memory_bytes == 0) return kDefault;
  return std::clamp<size_t>(static_cast<size_t>(flags.max_memory_bytes) / 4, 4 << 20, kDefault);
}

absl::StatusOr<std::unique_ptr<Source>> MakeSource(const RunFlags& flags, const ColumnPlan& plan,
                                                   const std::vector<PartitionPosition>& ends) {
  if (!flags.kafka()) {
    FileSourceOptions options;
    options.paths = flags.inputs;
    options.follow = flags.follow;
    options.on_data_loss = flags.skip_lost ? OnDataLoss::kSkip : OnDataLoss::kFail;
    return FileSource::Create(std::move(options));
  }
  KafkaSourceOptions options;
  options.config.brokers = flags.brokers;
  for (const std::string& file : flags.property_files) WEIR_RETURN_IF_ERROR(AddKafkaPropertyFile(file, options.config));
  for (const std::string& item : flags.properties) WEIR_RETURN_IF_ERROR(AddKafkaProperty(item, options.config));
  for (const std::string& warning : KafkaConfigWarnings(options.config)) PrintTo(stderr, fmt::format("weir: {}\n", warning));
  options.topics = flags.topics;
  options.group = flags.group;
  if (flags.from) {
    WEIR_ASSIGN_OR_RETURN(options.from, ParseStartPoint(*flags.from));
  }
  if (flags.to) {
    WEIR_ASSIGN_OR_RETURN(options.to, ParseStartPoint(*flags.to));
  }
  options.connect_timeout = absl::Milliseconds(flags.connect_timeout_ms);
  options.stall_timeout =
      flags.stall_timeout_ms == kForever ? absl::InfiniteDuration() : absl::Milliseconds(flags.stall_timeout_ms);
  options.queue_bytes = QueueBytes(flags);
  options.keep_metadata = ReadsMessageAttributes(plan);
  options.ends = ends;
  options.on_data_loss = flags.skip_lost ? OnDataLoss::kSkip : OnDataLoss::kFail;
  return KafkaSource::Create(std::move(options));
}

std::vector<std::pair<std::string, std::string>> DescribeJob(const RunFlags& flags) {
  std::vector<std::pair<std::string, std::string>> job;
  job.emplace_back("operators", Sorted(flags.operators));
  for (const auto& [op, params] : flags.params)
    for (const auto& [name, value] : params) job.emplace_back("--" + name, value);
  if (!flags.name.empty()) job.emplace_back("--name", flags.name);
  if (flags.kafka()) job.emplace_back("--topic", Sorted(flags.topics));
  else job.emplace_back("--input", Sorted(flags.inputs));
  job.emplace_back("--format", flags.format);
  std::vector<std::string> fields;
  for (const FieldMapping& field : flags.fields) fields.push_back(field.name + "=" + field.path);
  if (!fields.empty()) job.emplace_back("--field", Sorted(fields));
  if (flags.time_field) job.emplace_back("--time-field", TimeFieldText(*flags.time_field));
  job.emplace_back("--validate", flags.validate_full ? "full" : "fast");
  job.emplace_back("--window", FormatDuration(flags.window_ms));
  job.emplace_back("--slide", FormatDuration(flags.slide_ms));
  job.emplace_back("--time", flags.time == TimeKind::kEvent ? "event" : flags.time == TimeKind::kKafka ? "kafka" : "processing");
  job.emplace_back("--watermark-delay", FormatDuration(flags.watermark_delay_ms));
  job.emplace_back("--allowed-lateness", FormatDuration(flags.allowed_lateness_ms));
  job.emplace_back("--max-future", FormatDuration(flags.max_future_ms));
  job.emplace_back("--max-jump", FormatDuration(flags.max_jump_ms));
  if (!flags.track.empty()) job.emplace_back("--track", Join(flags.track, ","));
  if (!flags.langs.empty()) job.emplace_back("--lang", Sorted(flags.langs));
  job.emplace_back("--top", fmt::format("{}", flags.top));
  return job;
}

std::vector<OperatorColumns> OutputColumns(const RunFlags& flags, const std::vector<Operator>& operators) {
  std::vector<OperatorColumns> columns;
  for (const Operator& op : operators)
    columns.push_back({flags.name.empty() ? op.name : flags.name, op.key_column, op.value_column, true});
  return columns;
}

}  // namespace weir
