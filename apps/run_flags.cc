#include "apps/run_flags.h"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "apps/suggest.h"
#include "engine/status_macros.h"
#include "operators/formats.h"

namespace weir {
namespace {

// Flags that only one kind of source understands.
constexpr std::string_view kKafkaFlags[] = {"brokers", "topic",           "group", "X",
                                            "F",       "connect-timeout", "from",  "to",
                                            "stall-timeout"};
constexpr std::string_view kFileFlags[] = {"input", "follow"};

// Reads values into variables; a flag that is not given leaves its variable as it is. The first error sticks.
class Reader {
 public:
  explicit Reader(const ParsedFlags& parsed) : parsed_(parsed) {}

  void Duration(std::string_view name, int64_t& out, DurationRules rules = {}) {
    if (const auto value = parsed_.Get(name)) Take(ParseDuration(value->name, value->text, rules), out);
  }
  void Number(std::string_view name, int64_t least, int64_t greatest, int64_t& out) {
    if (const auto value = parsed_.Get(name))
      Take(ParseNumber(value->name, value->text, least, greatest), out);
  }
  void Size(std::string_view name, int64_t& out) {
    if (const auto value = parsed_.Get(name)) Take(ParseSize(value->name, value->text), out);
  }
  void List(std::string_view name, std::vector<std::string>& out) {
    if (const auto value = parsed_.Get(name)) Take(ParseList(value->name, value->text), out);
  }
  void Text(std::string_view name, std::string& out) {
    const auto value = parsed_.Get(name);
    if (!value) return;
    if (value->text.empty())
      Refuse(fmt::format("{} is empty. Give a value, or leave the flag out.", value->name));
    out = value->text;
  }
  void Texts(std::string_view name, std::vector<std::string>& out) {
    for (const FlagValue& value : parsed_.GetAll(name)) {
      if (value.text.empty())
        Refuse(fmt::format("{} is empty. Give a value, or leave the flag out.", value.name));
      out.push_back(value.text);
    }
  }
  // Stores the number of the choice: what an enum in the same order holds.
  template <typename T>
  void Choice(std::string_view name, const std::vector<std::string>& choices, T first, T& out) {
    const auto value = parsed_.Get(name);
    if (!value) return;
    const auto choice = ParseChoice(value->name, value->text, choices);
    if (!choice.ok()) return Refuse(std::string(choice.status().message()));
    const auto at = std::find(choices.begin(), choices.end(), *choice) - choices.begin();
    out = static_cast<T>(static_cast<int>(first) + static_cast<int>(at));
  }
  template <typename T, typename U>
  void Take(absl::StatusOr<T> value, U& out) {
    if (value.ok()) {
      out = *std::move(value);
    } else if (status_.ok()) {
      status_ = value.status();
    }
  }
  void Refuse(std::string message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(std::move(message));
  }
  const absl::Status& status() const { return status_; }

 private:
  const ParsedFlags& parsed_;
  absl::Status status_;
};

absl::Status Refused(std::string message) { return absl::InvalidArgumentError(std::move(message)); }

std::string Joined(const std::vector<std::string>& items, std::string_view separator) {
  std::string joined;
  for (const std::string& item : items) joined += (joined.empty() ? "" : std::string(separator)) + item;
  return joined;
}

// Of the two kinds of source the command line's wins: variables that configure the other one are no
// contradiction.
void DropOtherSource(ParsedFlags& parsed) {
  const auto on_command_line = [&](std::string_view name) {
    return parsed.Given(name) && !parsed.FromEnvironment(name);
  };
  if (on_command_line("input")) {
    for (std::string_view name : kKafkaFlags) parsed.DropFromEnvironment(name);
  } else if (on_command_line("brokers") || on_command_line("topic")) {
    for (std::string_view name : kFileFlags) parsed.DropFromEnvironment(name);
  }
}

absl::Status ReadOperators(const ParsedFlags& parsed, std::span<const OperatorInfo> known, RunFlags& flags) {
  std::vector<std::string> names;
  for (const OperatorInfo& op : known) names.push_back(op.name);
  if (parsed.positionals.empty())
    return Refused(fmt::format("no operator given. There are {}; `weir operators` describes them.",
                               Joined(names, ", ")));
  WEIR_ASSIGN_OR_RETURN(flags.operators, ParseList("OPERATOR", parsed.positionals[0]));
  std::set<std::string_view> seen;
  for (const std::string& name : flags.operators) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      return Refused(fmt::format("unknown operator \"{}\".{} Run `weir operators` for the list.", name,
                                 DidYouMean(name, names)));
    if (!seen.insert(name).second)
      return Refused(fmt::format("operator {} is given twice. Give it once.", name));
  }
  return absl::OkStatus();
}

// A parameter holds for every operator of the run that has it, and must have one.
absl::Status ReadParams(const ParsedFlags& parsed, std::span<const OperatorInfo> known, RunFlags& flags) {
  std::map<std::string, std::vector<std::string>> owners;
  std::set<std::string> used;
  for (const OperatorInfo& op : known) {
    const bool runs =
        std::find(flags.operators.begin(), flags.operators.end(), op.name) != flags.operators.end();
    if (runs) flags.params[op.name];
    for (const OperatorParam& param : op.params) {
      owners[param.name].push_back(op.name);
      if (!runs) continue;
      used.insert(param.name);
      std::string& value = flags.params[op.name][param.name];
      value = param.default_value;
      const auto given = parsed.Get(param.name);
      if (!given) continue;
      if (!param.choices.empty()) {
        WEIR_ASSIGN_OR_RETURN(value, ParseChoice(given->name, given->text, param.choices));
      } else if (given->text.empty()) {
        return Refused(fmt::format("{} is empty. Give a value, or leave the flag out.", given->name));
      } else {
        value = given->text;
      }
    }
  }
  for (const auto& [param, operators] : owners)
    if (parsed.Given(param) && !parsed.FromEnvironment(param) && !used.contains(param))
      return Refused(fmt::format(
          "--{} is a parameter of {}, which this run does not have. Leave the flag out, or add the operator.",
          param, Joined(operators, " and ")));
  return absl::OkStatus();
}

absl::Status CheckTopic(std::string_view topic) {
  if (topic.starts_with('^')) return absl::OkStatus();
  constexpr size_t kLongest = 249;  // Kafka's own limits
  if (topic.find(',') != topic.npos)
    return Refused(fmt::format(
        "--topic {} holds a comma, which no topic's name does. Repeat the flag for each topic.", topic));
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (topic.empty() || topic.size() > kLongest || !std::all_of(topic.begin(), topic.end(), allowed))
    return Refused(fmt::format(
        "--topic \"{}\" is no topic's name: letters, digits, . _ and -, at most 249 of them. A regular "
        "expression begins with ^.",
        topic));
  return absl::OkStatus();
}

absl::Status CheckUnique(std::string_view flag, const std::vector<std::string>& values) {
  std::set<std::string_view> seen;
  for (const std::string& value : values)
    if (!seen.insert(value).second)
      return Refused(
          fmt::format("{} {} is given twice: its records would count twice. Give it once.", flag, value));
  return absl::OkStatus();
}

absl::Status ValidateSource(const RunFlags& flags) {
  const bool kafka_given = !flags.brokers.empty() || !flags.topics.empty();
  if (!flags.inputs.empty() && kafka_given)
    return Refused(
        "--input and --brokers/--topic exclude each other: a run reads either files or Kafka. Leave one "
        "out.");
  if (flags.inputs.empty() && !kafka_given)
    return Refused(
        "no input given. Use --input PATH (- is stdin) for files, or --brokers LIST and --topic NAME for "
        "Kafka.");
  if (flags.inputs.empty() && flags.brokers.empty())
    return Refused(
        fmt::format("--topic {} needs the brokers it is on. Add --brokers HOST:PORT.", flags.topics[0]));
  if (flags.inputs.empty() && flags.topics.empty())
    return Refused(fmt::format("--brokers {} needs a topic to read. Add --topic NAME.", flags.brokers));
  WEIR_RETURN_IF_ERROR(CheckUnique("--input", flags.inputs));
  WEIR_RETURN_IF_ERROR(CheckUnique("--topic", flags.topics));
  for (const std::string& topic : flags.topics) WEIR_RETURN_IF_ERROR(CheckTopic(topic));
  if (flags.kafka()) {
    if (flags.follow)
      return Refused(
          "--follow is for files; a topic is always followed. Leave it out, or use --to latest to end.");
    return absl::OkStatus();
  }
  if (flags.from)
    return Refused(fmt::format("--from {} is for Kafka; files are read from their beginning. Leave it out.",
                               *flags.from));
  if (flags.to)
    return Refused(
        fmt::format("--to {} is for Kafka; files are read to their end. Leave it out.", *flags.to));
  if (!flags.properties.empty() || !flags.property_files.empty())
    return Refused("-X and -F configure the connection to Kafka; this run reads files. Leave them out.");
  if (flags.follow && flags.reads_stdin())
    return Refused("--follow is for files; stdin is read until its writer closes it. Leave it out.");
  return absl::OkStatus();
}

absl::Status ValidateTime(const RunFlags& flags) {
  for (const auto& [name, ms] :
       {std::pair{"--window", flags.window_ms}, {"--slide", flags.slide_ms}, {"--batch", flags.batch_ms}})
    if (ms <= 0 || ms > kMaxEventTime)
      return Refused(fmt::format("{} {} is out of range: more than zero, at most {}.", name,
                                 FormatDuration(ms), FormatDuration(kMaxEventTime)));
  if (flags.slide_ms > flags.window_ms)
    return Refused(fmt::format(
        "--slide {0} is longer than --window {1}: records between two windows would be counted in none. "
        "Use --slide {1} or less.",
        FormatDuration(flags.slide_ms), FormatDuration(flags.window_ms)));
  constexpr int64_t kMaxOverlap = 100'000;
  if (flags.window_ms / flags.slide_ms > kMaxOverlap)
    return Refused(fmt::format("--window {} and --slide {} put each record in {} windows, more than {}. Use a longer slide or a shorter window.",
                               FormatDuration(flags.window_ms), FormatDuration(flags.slide_ms), flags.window_ms / flags.slide_ms, kMaxOverlap));
  if (flags.watermark_delay_ms == kForever && !flags.bounded())
    return Refused(
        "--watermark-delay inf closes windows at the end of the run, and this run has none. Add --to latest, "
        "--limit or --for, "
        "or give a delay like 10s.");
  if (flags.time == TimeKind::kKafka && !flags.kafka())
    return Refused(
        "--time kafka is the broker's time stamp, which records of files do not have. Use --time event or "
        "processing.");
  if (flags.time_field && flags.time != TimeKind::kEvent)
    return Refused(fmt::format("--time-field {} has no effect without --time event. Leave one of them out.",
                               flags.time_field->path));
  if (flags.time != TimeKind::kProcessing) return absl::OkStatus();
  for (const auto& [name, ms] : {std::pair{"--window", flags.window_ms}, {"--slide", flags.slide_ms}})
    if (ms % flags.batch_ms != 0)
      return Refused(fmt::format(
          "{} {} is no multiple of --batch {}: with --time processing a record's time is its batch's. "
          "Use a batch that divides it.",
          name, FormatDuration(ms), FormatDuration(flags.batch_ms)));
  return absl::OkStatus();
}

absl::Status ValidateFormat(const RunFlags& flags) {
  if (std::find(FormatNames().begin(), FormatNames().end(), flags.format) == FormatNames().end())
    return ParseChoice("--format", flags.format, FormatNames()).status();
  if (flags.format != "json") {
    if (flags.fields.empty()) return absl::OkStatus();
    return Refused(fmt::format("--field {}={} is for --format json; {} knows its fields.",
                               flags.fields[0].name, flags.fields[0].path, flags.format));
  }
  std::set<std::string_view> seen;
  for (const FieldMapping& field : flags.fields)
    if (!seen.insert(field.name).second)
      return Refused(fmt::format("--field {} is given twice. Give it one path.", field.name));
  if (flags.time == TimeKind::kEvent && !flags.time_field)
    return Refused(
        "--format json does not know which field holds the time. Add --time-field PATH, or --time kafka or "
        "processing.");
  return absl::OkStatus();
}

absl::Status ValidateResults(const RunFlags& flags) {
  if (flags.operators.size() > 1) {
    if (!flags.name.empty())
      return Refused(fmt::format(
          "{} {} names one table, and this run has {} operators. Leave it out, or run one operator.",
          flags.name_from, flags.name, flags.operators.size()));
    if (flags.row_format == RunFlags::Output::kCsv)
      return Refused(
          fmt::format("{} csv has one header, and this run has {} operators. Use --stdout jsonl, or "
                      "run one operator.",
                      flags.row_format_from, flags.operators.size()));
  }
  if (flags.reset && flags.output.empty())
    return Refused(
        "--reset forgets what a results file holds, and none is given. Add --output PATH, or leave it out.");
  if (flags.verbose && flags.quiet) return Refused("-v and -q exclude each other. Give one of them.");
  return absl::OkStatus();
}

}  // namespace

bool RunFlags::reads_stdin() const { return std::find(inputs.begin(), inputs.end(), "-") != inputs.end(); }

FlagTable RunFlagTable(std::span<const OperatorInfo> operators, std::string_view verb) {
  const auto on_off = [](std::string names, std::string help) {
    return FlagSpec{.names = std::move(names), .value = "", .help = std::move(help), .default_text = ""};
  };
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
  table.verb = verb;
  table.usage = fmt::format("weir {} OPERATOR[,OPERATOR...] [flags]", verb);
  table.about =
      verb == "explain"
          ? "Prints the plan of what `weir run` with the same arguments would do."
          : "Counts in sliding windows over Kafka topics, files or stdin, until the input ends or a signal "
            "comes. Each flag may "
            "also be given in the environment, as WEIR_ and its name (WEIR_WATERMARK_DELAY); the flag wins. "
            "Durations are written 250ms, 60s, 1m30s, 2h, 1d; sizes 64M, 2G (powers of 1024).";
  table.max_positionals = 1;
  table.planned = {
      {"--plugin",
       "is not available yet: this version has no plug-ins. `weir operators` lists the operators it has."},
      {"-c", "is not available yet: this version reads no job files. Give the job as flags."}};
  table.groups.push_back(
      {"Kafka",
       {flag("-b,--brokers", "LIST", "bootstrap servers, host:port, comma-separated"),
        repeatable(flag("-t,--topic", "NAME", "topic; ^... is a regular expression")),
        flag("-g,--group", "NAME", "consumer group; offsets are committed to it for lag tools only",
             "weir-<operators>"),
        repeatable(flag("-X", "KEY=VALUE", "librdkafka property; secrets as KEY=env:NAME or KEY=file:PATH")),
        repeatable(flag("-F", "FILE", "file of librdkafka properties, one KEY=VALUE a line")),
        flag("--connect-timeout", "D",
             "for reaching broker and topics at start; later outages never end the run", "30s"),
        flag("--stall-timeout", "D",
             "a partition that stands still for so long is assigned anew, then --on-data-loss decides; inf: never",
             "60s"),
        flag("--from", "POINT",
             "where to start: earliest, latest, committed, an offset, @TIME (ISO 8601 UTC or epoch ms), -15m",
             "earliest"),
        flag("--to", "POINT", "where to end, as for --from; latest: what is there at start", "never")}});
  table.groups.push_back(
      {"Files",
       {repeatable(flag("-i,--input", "PATH",
                        "NDJSON file, one partition each; - is stdin; gzip and zstd are recognised")),
        on_off("--follow", "go on when the files grow")}});
  table.groups.push_back(
      {"Records",
       {flag("--format", "NAME", "twitter-v1, or json with --field", "twitter-v1"),
        repeatable(flag("--field", "NAME=PATH",
                        "with --format json: where a field is, for example location=user.city")),
        flag("--validate", "HOW",
             "fast: well-formed in what the job reads; full: in the whole grammar of JSON", "fast"),
        flag("--track", "WORDS",
             "keep only records whose text holds one of these, comma-separated; ASCII case is ignored"),
        flag("--lang", "TAGS", "keep only records in one of these languages, comma-separated")}});
  table.groups.push_back(
      {"Windows and time",
       {flag("--window", "D", "window length", "60s"),
        flag("--slide", "D", "from one window's start to the next", "= --window"),
        flag("--time", "KIND",
             "event: a field of the record; kafka: the broker's time stamp; processing: the batch's",
             "event"),
        flag("--time-field", "PATH[:HOW]",
             "field that holds the event time; HOW is s, ms, us, iso or twitter", "the format's"),
        flag("--watermark-delay", "D",
             "how far out of order records of a partition may be; inf: windows close at the end", "10s"),
        flag("--allowed-lateness", "D", "closed windows are still corrected for this long", "0s"),
        flag("--idle-timeout", "D", "a silent partition holds windows open for this long", "10s"),
        flag("--max-future", "D", "records dated further ahead of the clock are quarantined; inf: none is",
             "5m"),
        flag("--max-jump", "D", "a greater leap in time must be confirmed by 16 records; inf: no leap must",
             "1h")}});
  table.groups.push_back(
      {"Results",
       {flag("-o,--output", "PATH", "SQLite file for results and state; the run can be resumed from it",
             "none"),
        on_off("--reset", "forget what the results file holds of this job, and start over"),
        flag("--durability", "HOW",
             "normal or full: SQLite's synchronous; with normal a power cut costs reading again", "normal"),
        flag("--name", "NAME", "the results table, with one operator", "the operator's"),
        flag("--stdout", "HOW", "closed windows on stdout: table, jsonl, csv (one operator) or none",
             "table on a terminal, else jsonl"),
        flag("--top", "N", "keep the N greatest keys of each window, everywhere; 0: all", "0"),
        flag("--show", "N", "rows that the table format prints per window", "10")}});
  table.groups.push_back(
      {"Batches and resources",
       {flag("--batch", "D", "the longest that a record waits for its commit when the job keeps up", "1s"),
        flag("--batch-records", "N", "a batch ends after N records too", "none"),
        flag("--batch-bytes", "SIZE", "a batch ends after so many bytes too", "32M"),
        flag("--workers", "N", "threads that parse and fold", "cores"),
        flag("--max-memory", "SIZE", "memory budget", "none"), flag("--limit", "N", "end after N records"),
        flag("--for", "D", "end after this time"),
        flag("--on-data-loss", "HOW",
             "when the source lost records that were not read yet: fail, or skip and note the gap", "fail")}});

  FlagGroup params{"Operators' parameters", {}};
  for (const OperatorInfo& op : operators) {
    for (const OperatorParam& param : op.params) {
      const std::string names = "--" + param.name;
      const auto same = std::find_if(params.flags.begin(), params.flags.end(),
                                     [&](const FlagSpec& f) { return f.names == names; });
      if (same != params.flags.end()) continue;
      std::string help = fmt::format("{}: {}", op.name, param.help);
      if (!param.choices.empty()) help += fmt::format(" ({})", Joined(param.choices, ", "));
      params.flags.push_back(flag(names, param.choices.empty() ? "VALUE" : "HOW", help, param.default_value));
    }
  }
  if (!params.flags.empty()) table.groups.push_back(std::move(params));
  table.groups.push_back(
      {"Messages",
       {repeatable(on_off("-v", "more on stderr")), repeatable(on_off("-q", "less on stderr: no summary")),
        flag("--progress", "WHEN", "a progress line on stderr: auto (on a terminal), always or never",
             "auto")}});
  return table;
}

absl::StatusOr<RunFlags> ParseRunFlags(int argc, const char* const* argv,
                                       std::span<const OperatorInfo> operators) {
  const FlagTable table = RunFlagTable(operators, argc > 0 ? argv[0] : "run");
  WEIR_ASSIGN_OR_RETURN(ParsedFlags parsed, ParseFlags(table, argc, argv));
  RunFlags flags;
  flags.help = parsed.help;
  if (flags.help) return flags;
  DropOtherSource(parsed);
  WEIR_RETURN_IF_ERROR(ReadOperators(parsed, operators, flags));
  WEIR_RETURN_IF_ERROR(ReadParams(parsed, operators, flags));

  Reader read(parsed);
  read.Text("brokers", flags.brokers);
  read.Texts("topic", flags.topics);
  flags.group = "weir-" + Joined(flags.operators, "-");
  read.Text("group", flags.group);
  read.Texts("X", flags.properties);
  read.Texts("F", flags.property_files);
  read.Duration("connect-timeout", flags.connect_timeout_ms);
  read.Duration("stall-timeout", flags.stall_timeout_ms, {.infinite = true});
  if (parsed.Given("from")) read.Text("from", flags.from.emplace());
  if (parsed.Given("to")) read.Text("to", flags.to.emplace());
  read.Texts("input", flags.inputs);
  flags.follow = parsed.On("follow");

  if (const auto value = parsed.Get("format"))
    read.Take(ParseChoice(value->name, value->text, FormatNames()), flags.format);
  for (const FlagValue& value : parsed.GetAll("field"))
    read.Take(ParseFieldMapping(value.name, value.text), flags.fields.emplace_back());
  read.Choice("validate", {"fast", "full"}, false, flags.validate_full);
  read.List("track", flags.track);
  read.List("lang", flags.langs);

  read.Duration("window", flags.window_ms);
  flags.slide_ms = flags.window_ms;
  read.Duration("slide", flags.slide_ms);
  read.Choice("time", {"event", "kafka", "processing"}, TimeKind::kEvent, flags.time);
  if (const auto value = parsed.Get("time-field"))
    read.Take(ParseTimeField(value->name, value->text), flags.time_field);
  read.Duration("watermark-delay", flags.watermark_delay_ms, {.zero = true, .infinite = true});
  read.Duration("allowed-lateness", flags.allowed_lateness_ms, {.zero = true});
  read.Duration("idle-timeout", flags.idle_timeout_ms, {.zero = true});
  read.Duration("max-future", flags.max_future_ms, {.zero = true, .infinite = true});
  read.Duration("max-jump", flags.max_jump_ms, {.zero = true, .infinite = true});

  read.Text("output", flags.output);
  flags.reset = parsed.On("reset");
  read.Choice("durability", {"normal", "full"}, false, flags.durability_full);
  if (const auto value = parsed.Get("name")) read.Take(ParseTableName(value->name, value->text), flags.name);
  read.Choice("stdout", {"table", "jsonl", "csv", "none"}, RunFlags::Output::kTable, flags.row_format);
  if (const auto value = parsed.Get("name")) flags.name_from = value->name;
  if (const auto value = parsed.Get("stdout")) flags.row_format_from = value->name;
  read.Number("top", 0, INT64_MAX, flags.top);
  read.Number("show", 0, INT64_MAX, flags.show);

  read.Duration("batch", flags.batch_ms);
  read.Number("batch-records", 1, INT64_MAX, flags.batch_records);
  read.Size("batch-bytes", flags.batch_bytes);
  flags.workers = std::max(1u, std::thread::hardware_concurrency());
  constexpr int64_t kMostWorkers = 1024;
  read.Number("workers", 1, kMostWorkers, flags.workers);
  read.Size("max-memory", flags.max_memory_bytes);
  read.Number("limit", 1, INT64_MAX, flags.limit);
  read.Duration("for", flags.run_for_ms);
  read.Choice("on-data-loss", {"fail", "skip"}, false, flags.skip_lost);
  flags.verbose = parsed.On("v");
  flags.quiet = parsed.On("q");
  read.Choice("progress", {"auto", "always", "never"}, RunFlags::Progress::kAuto, flags.progress);
  WEIR_RETURN_IF_ERROR(read.status());
  return flags;
}

absl::Status Validate(const RunFlags& flags) {
  WEIR_RETURN_IF_ERROR(ValidateSource(flags));
  WEIR_RETURN_IF_ERROR(ValidateTime(flags));
  WEIR_RETURN_IF_ERROR(ValidateFormat(flags));
  return ValidateResults(flags);
}

std::vector<std::string> Warnings(const RunFlags& flags) {
  std::vector<std::string> warnings;
  if (flags.output.empty() && flags.row_format == RunFlags::Output::kNone)
    warnings.push_back("neither --output nor --stdout: nothing will see the results of this run.");
  if (flags.durability_full && flags.output.empty())
    warnings.push_back("--durability full has no effect without --output.");
  return warnings;
}

}  // namespace weir
