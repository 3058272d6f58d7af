#include "apps/run_flags.h"

#include <cstdlib>
#include <initializer_list>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace weir {
namespace {

const std::vector<OperatorInfo>& Operators() {
  static const auto& operators = *new std::vector<OperatorInfo>{
      {"tweets_by_location",
       "Tweets per location",
       {{"location-field", "the field to count by", "user.location", {}},
        {"normalize", "fold ASCII", "none", {"none", "casefold"}}},
       nullptr},
      {"user_mentions",
       "Mentions per user",
       {{"mention-weight", "what a mention counts", "one", {"one", "retweets", "max-per-status"}},
        {"normalize", "fold", "none", {"none", "casefold"}}},
       nullptr},
      {"hashtags", "Uses per hashtag", {}, nullptr},
  };
  return operators;
}

// A variable of the environment for as long as the object lives.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~ScopedEnv() { unsetenv(name_); }
  ScopedEnv(const ScopedEnv&) = delete;
  ScopedEnv& operator=(const ScopedEnv&) = delete;

 private:
  const char* name_;
};

absl::StatusOr<RunFlags> Parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"run"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  auto flags = ParseRunFlags(static_cast<int>(argv.size()), argv.data(), Operators());
  if (!flags.ok()) return flags;
  if (const absl::Status valid = Validate(*flags); !valid.ok()) return valid;
  return flags;
}

std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream in(line);
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

RunFlags Accept(const std::string& line) {
  const auto flags = Parse(Words(line));
  EXPECT_TRUE(flags.ok()) << line << ": " << flags.status();
  return flags.ok() ? *flags : RunFlags();
}

std::string Refuse(const std::string& line) {
  const auto flags = Parse(Words(line));
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument) << line << ": " << flags.status();
  return std::string(flags.status().message());
}

TEST(RunFlagsTest, Defaults) {
  const RunFlags flags = Accept("hashtags -i tweets.ndjson");
  EXPECT_EQ(flags.operators, std::vector<std::string>({"hashtags"}));
  EXPECT_EQ(flags.group, "weir-hashtags");
  EXPECT_EQ(flags.connect_timeout_ms, 30'000);
  EXPECT_FALSE(flags.from || flags.to || flags.follow || flags.reset || flags.time_field);
  EXPECT_EQ(flags.format, "twitter-v1");
  EXPECT_FALSE(flags.validate_full);
  EXPECT_EQ(flags.batch_ms, 1'000);
  EXPECT_EQ(flags.batch_records, 0);
  EXPECT_EQ(flags.batch_bytes, 32 << 20);
  EXPECT_EQ(flags.window_ms, 60'000);
  EXPECT_EQ(flags.slide_ms, 60'000);
  EXPECT_EQ(flags.time, TimeKind::kEvent);
  EXPECT_EQ(flags.watermark_delay_ms, 10'000);
  EXPECT_EQ(flags.allowed_lateness_ms, 0);
  EXPECT_EQ(flags.idle_timeout_ms, 10'000);
  EXPECT_EQ(flags.max_future_ms, 300'000);
  EXPECT_EQ(flags.max_jump_ms, 3'600'000);
  EXPECT_TRUE(flags.output.empty() && flags.name.empty() && flags.track.empty() && flags.langs.empty());
  EXPECT_FALSE(flags.durability_full);
  EXPECT_EQ(flags.row_format, RunFlags::Output::kAuto);
  EXPECT_EQ(flags.top, 0);
  EXPECT_EQ(flags.show, 10);
  EXPECT_GE(flags.workers, 1);
  EXPECT_EQ(flags.max_memory_bytes, 0);
  EXPECT_EQ(flags.limit, 0);
  EXPECT_EQ(flags.run_for_ms, kForever);
  EXPECT_EQ(flags.progress, RunFlags::Progress::kAuto);
  EXPECT_FALSE(flags.verbose || flags.quiet || flags.help);
}

TEST(RunFlagsTest, EveryKafkaFlag) {
  const RunFlags flags = Accept(
      "tweets_by_location,user_mentions -b one:9092,two:9092 -t tweets -t ^more.* -g readers -X client.id=me "
      "-X sasl.password=env:PW -F k.properties "
      "--connect-timeout 5s --stall-timeout inf --from -15m --to latest --time kafka -o r.db --reset");
  EXPECT_EQ(flags.operators, std::vector<std::string>({"tweets_by_location", "user_mentions"}));
  EXPECT_EQ(flags.brokers, "one:9092,two:9092");
  EXPECT_EQ(flags.topics, std::vector<std::string>({"tweets", "^more.*"}));
  EXPECT_EQ(flags.group, "readers");
  EXPECT_EQ(flags.properties, std::vector<std::string>({"client.id=me", "sasl.password=env:PW"}));
  EXPECT_EQ(flags.property_files, std::vector<std::string>({"k.properties"}));
  EXPECT_EQ(flags.connect_timeout_ms, 5'000);
  EXPECT_EQ(flags.stall_timeout_ms, kForever);
  EXPECT_EQ(Accept("hashtags -b h:1 -t t").stall_timeout_ms, 60'000);
  EXPECT_EQ(flags.from, "-15m") << "a value may begin with a dash";
  EXPECT_EQ(flags.to, "latest");
  EXPECT_EQ(flags.time, TimeKind::kKafka);
  EXPECT_TRUE(flags.reset && flags.kafka() && flags.bounded());
  EXPECT_EQ(Accept("user_mentions,hashtags -b h:1 -t t").group, "weir-user_mentions-hashtags");
}

TEST(RunFlagsTest, EveryOtherFlag) {
  const RunFlags flags = Accept(
      "hashtags --input a.ndjson -i b.ndjson.gz --follow --format json --field hashtags=tags[] --field "
      "text=body --validate full --batch 500ms "
      "--batch-records 777 --batch-bytes 64K --window 1m30s --slide=30s --time-field ts:us --watermark-delay "
      "2s --allowed-lateness 1m "
      "--idle-timeout 0s --max-future inf --max-jump inf --output r.db --durability full --name tags "
      "--stdout csv --top 20 --show 5 --track a,b "
      "--lang en,fr --workers 3 --max-memory 64M --limit 10 --for 2h --on-data-loss skip -v --progress "
      "never");
  EXPECT_EQ(flags.inputs, std::vector<std::string>({"a.ndjson", "b.ndjson.gz"}));
  EXPECT_TRUE(flags.follow);
  EXPECT_EQ(flags.format, "json");
  EXPECT_EQ(flags.fields, std::vector<FieldMapping>({{"hashtags", "tags[]"}, {"text", "body"}}));
  EXPECT_TRUE(flags.validate_full);
  EXPECT_EQ(flags.batch_ms, 500);
  EXPECT_EQ(flags.batch_records, 777);
  EXPECT_EQ(flags.batch_bytes, 65'536);
  EXPECT_EQ(flags.window_ms, 90'000);
  EXPECT_EQ(flags.slide_ms, 30'000);
  ASSERT_TRUE(flags.time_field);
  EXPECT_EQ(flags.time_field->path, "ts");
  EXPECT_EQ(flags.time_field->encoding, TimeEncoding::kMicros);
  EXPECT_EQ(flags.watermark_delay_ms, 2'000);
  EXPECT_EQ(flags.allowed_lateness_ms, 60'000);
  EXPECT_EQ(flags.idle_timeout_ms, 0);
  EXPECT_EQ(flags.max_future_ms, kForever);
  EXPECT_EQ(flags.max_jump_ms, kForever);
  EXPECT_EQ(flags.output, "r.db");
  EXPECT_TRUE(flags.durability_full);
  EXPECT_EQ(flags.name, "tags");
  EXPECT_EQ(flags.row_format, RunFlags::Output::kCsv);
  EXPECT_EQ(flags.top, 20);
  EXPECT_EQ(flags.show, 5);
  EXPECT_EQ(flags.track, std::vector<std::string>({"a", "b"}));
  EXPECT_EQ(flags.langs, std::vector<std::string>({"en", "fr"}));
  EXPECT_EQ(flags.workers, 3);
  EXPECT_EQ(flags.max_memory_bytes, 64 << 20);
  EXPECT_EQ(flags.limit, 10);
  EXPECT_EQ(flags.run_for_ms, 7'200'000);
  EXPECT_TRUE(flags.skip_lost);
  EXPECT_FALSE(Accept("hashtags -i a").skip_lost);
  EXPECT_FALSE(Accept("hashtags -i a --on-data-loss fail").skip_lost);
  EXPECT_TRUE(flags.verbose);
  EXPECT_EQ(flags.progress, RunFlags::Progress::kNever);
}

TEST(RunFlagsTest, ChoicesBecomeTheirEnum) {
  EXPECT_EQ(Accept("hashtags -i a --stdout table").row_format, RunFlags::Output::kTable);
  EXPECT_EQ(Accept("hashtags -i a --stdout jsonl").row_format, RunFlags::Output::kJsonl);
  EXPECT_EQ(Accept("hashtags -i a --stdout none").row_format, RunFlags::Output::kNone);
  EXPECT_EQ(Accept("hashtags -i a --time processing").time, TimeKind::kProcessing);
  EXPECT_EQ(Accept("hashtags -i a --progress always").progress, RunFlags::Progress::kAlways);
  EXPECT_FALSE(Accept("hashtags -i a --validate fast --durability normal").validate_full);
}

TEST(RunFlagsTest, WhereFlagsStandDoesNotMatter) {
  for (const char* line : {"hashtags -i - --top 3", "--top 3 hashtags -i -", "-i - --top=3 hashtags",
                           "-i- --top 3 -- hashtags"}) {
    const RunFlags flags = Accept(line);
    EXPECT_EQ(flags.operators, std::vector<std::string>({"hashtags"})) << line;
    EXPECT_TRUE(flags.reads_stdin()) << line;
    EXPECT_EQ(flags.top, 3) << line;
  }
}

// A slide that is not given follows the window: tumbling.
TEST(RunFlagsTest, SlideIsTheWindowWhenAbsent) {
  EXPECT_EQ(Accept("hashtags -i a --window 7s").slide_ms, 7'000);
  EXPECT_EQ(Accept("hashtags -i a --window 7s --slide 2s").window().pane_ms(), 1'000);
}

TEST(RunFlagsTest, ParametersOfOperators) {
  RunFlags flags =
      Accept("tweets_by_location,user_mentions -i a --mention-weight max-per-status --normalize casefold");
  EXPECT_EQ(flags.params["user_mentions"]["mention-weight"], "max-per-status");
  EXPECT_EQ(flags.params["user_mentions"]["normalize"], "casefold")
      << "a parameter holds for each operator that has it";
  EXPECT_EQ(flags.params["tweets_by_location"]["normalize"], "casefold");
  EXPECT_EQ(flags.params["tweets_by_location"]["location-field"], "user.location") << "default";
  EXPECT_EQ(Accept("hashtags -i a").params.at("hashtags").size(), 0u);

  EXPECT_EQ(Refuse("hashtags -i a --mention-weight one"),
            "--mention-weight is a parameter of user_mentions, which this run does not have. Leave the flag "
            "out, or add the operator.");
  EXPECT_EQ(Refuse("hashtags -i a --normalize none"),
            "--normalize is a parameter of tweets_by_location and user_mentions, which this run does not "
            "have. Leave the flag out, or add the "
            "operator.");
  EXPECT_EQ(Refuse("user_mentions -i a --mention-weight retweet"),
            "--mention-weight retweet is unknown. Did you mean \"retweets\"? It is one of one, retweets or "
            "max-per-status.");
}

TEST(RunFlagsTest, BoundedRuns) {
  struct Case {
    const char* line;
    bool bounded;
  };
  for (const Case& c : {Case{"hashtags -i a", true},
                        {"hashtags -i -", true},
                        {"hashtags -i a --follow", false},
                        {"hashtags -i a --follow --limit 5", true},
                        {"hashtags -i a --follow --for 5s", true},
                        {"hashtags -b h -t t", false},
                        {"hashtags -b h -t t --to latest", true},
                        {"hashtags -b h -t t --limit 5", true},
                        {"hashtags -b h -t t --for 1h", true}}) {
    EXPECT_EQ(Accept(c.line).bounded(), c.bounded) << c.line;
    if (c.bounded) {
      EXPECT_EQ(Accept(std::string(c.line) + " --watermark-delay inf").watermark_delay_ms, kForever);
    } else {
      EXPECT_NE(
          Refuse(std::string(c.line) + " --watermark-delay inf")
              .find("--watermark-delay inf closes windows at the end of the run, and this run has none."),
          std::string::npos);
    }
  }
}

// Each refusal names the flag, the value and the way out.
TEST(RunFlagsTest, Refusals) {
  struct Case {
    const char *line, *message;
  };
  const Case cases[] = {
      // Operators and arguments.
      {"",
       "no operator given. There are tweets_by_location, user_mentions, hashtags; `weir operators` describes "
       "them."},
      {"-i a",
       "no operator given. There are tweets_by_location, user_mentions, hashtags; `weir operators` describes "
       "them."},
      {"user_mention -i a",
       "unknown operator \"user_mention\". Did you mean \"user_mentions\"? Run `weir operators` for the "
       "list."},
      {"hashtags,xyzzy -i a", "unknown operator \"xyzzy\". Run `weir operators` for the list."},
      {"hashtags,hashtags -i a", "operator hashtags is given twice. Give it once."},
      {"hashtags, -i a", "OPERATOR hashtags, has an empty item. Write items between commas: a,b,c."},
      {"hashtags user_mentions -i a",
       "\"user_mentions\" is one argument too many. Usage: weir run OPERATOR[,OPERATOR...] [flags]"},
      // Flags.
      {"hashtags -i a --windwo 60s",
       "unknown flag --windwo. Did you mean \"--window\"? Run `weir run --help` for the list."},
      {"hashtags -i a --windwo=60s",
       "unknown flag --windwo. Did you mean \"--window\"? Run `weir run --help` for the list."},
      {"hashtags -i a -Z", "unknown flag -Z. Run `weir run --help` for the list."},
      {"hashtags -i a --plugin x.so",
       "--plugin is not available yet: this version has no plug-ins. `weir operators` lists the operators it "
       "has."},
      {"-c job.toml", "-c is not available yet: this version reads no job files. Give the job as flags."},
      {"hashtags -i a --window", "--window needs a value (D)."},
      {"hashtags -i a --window --slide 5s", "--window needs a value (D), but the flag --slide follows it."},
      {"hashtags -i a --window=", "--window= has nothing behind the =. Give a value, or leave the flag out."},
      {"hashtags -i a --window 5s --window 6s", "--window is given 2 times. Give it once."},
      {"hashtags -i a -b x -b y", "--brokers is given 2 times. Give it once."},
      {"hashtags -i a --follow --follow", "--follow is given 2 times. Give it once."},
      {"hashtags -i a -v -q", "-v and -q exclude each other. Give one of them."},
      {"hashtags -i a --progress yes", "--progress yes is unknown. It is one of auto, always or never."},
      // Input.
      {"hashtags",
       "no input given. Use --input PATH (- is stdin) for files, or --brokers LIST and --topic NAME for "
       "Kafka."},
      {"hashtags -i a -b h -t t",
       "--input and --brokers/--topic exclude each other: a run reads either files or Kafka. Leave one out."},
      {"hashtags -i a -t t",
       "--input and --brokers/--topic exclude each other: a run reads either files or Kafka. Leave one out."},
      {"hashtags -b h", "--brokers h needs a topic to read. Add --topic NAME."},
      {"hashtags -t t", "--topic t needs the brokers it is on. Add --brokers HOST:PORT."},
      {"hashtags -i a -i b -i a", "--input a is given twice: its records would count twice. Give it once."},
      {"hashtags -b h -t t -t t", "--topic t is given twice: its records would count twice. Give it once."},
      {"hashtags -b h -t a,b",
       "--topic a,b holds a comma, which no topic's name does. Repeat the flag for each topic."},
      {"hashtags -b h -t a/b",
       "--topic \"a/b\" is no topic's name: letters, digits, . _ and -, at most 249 of them. A regular "
       "expression begins with ^."},
      {"hashtags -i a --from latest",
       "--from latest is for Kafka; files are read from their beginning. Leave it out."},
      {"hashtags -i a --to latest", "--to latest is for Kafka; files are read to their end. Leave it out."},
      {"hashtags -i a -X a=b",
       "-X and -F configure the connection to Kafka; this run reads files. Leave them out."},
      {"hashtags -i a -F f",
       "-X and -F configure the connection to Kafka; this run reads files. Leave them out."},
      {"hashtags -b h -t t --follow",
       "--follow is for files; a topic is always followed. Leave it out, or use --to latest to end."},
      {"hashtags -i - --follow",
       "--follow is for files; stdin is read until its writer closes it. Leave it out."},
      {"hashtags -b h -t t --connect-timeout 0s",
       "--connect-timeout 0s is not more than zero. Write a duration like 60s."},
      // Windows and time.
      {"hashtags -i a --window 60", "--window 60 has no unit. Write 60s for seconds, 60ms for milliseconds."},
      {"hashtags -i a --window 0s", "--window 0s is not more than zero. Write a duration like 60s."},
      {"hashtags -i a --window -60s", "--window -60s is negative. Durations here are counted from zero up."},
      {"hashtags -i a --window inf", "--window inf has to end some time: this flag takes no inf."},
      {"hashtags -i a --window 99999999999999999d",
       "--window 99999999999999999d is too long: at most 1152921504606846976ms can be counted."},
      {"hashtags -i a --window 60s --slide 90s",
       "--slide 90s is longer than --window 60s: records between two windows would be counted in none. Use "
       "--slide 60s or less."},
      {"hashtags -i a --slide 0s", "--slide 0s is not more than zero. Write a duration like 60s."},
      {"hashtags -i a --batch 0s", "--batch 0s is not more than zero. Write a duration like 60s."},
      {"hashtags -i a --watermark-delay 10",
       "--watermark-delay 10 has no unit. Write 10s for seconds, 10ms for milliseconds."},
      {"hashtags -i a --watermark-delay -1s",
       "--watermark-delay -1s is negative. Durations here are counted from zero up."},
      {"hashtags -i a --allowed-lateness inf",
       "--allowed-lateness inf has to end some time: this flag takes no inf."},
      {"hashtags -i a --idle-timeout -1s",
       "--idle-timeout -1s is negative. Durations here are counted from zero up."},
      {"hashtags -i a --max-future -1s",
       "--max-future -1s is negative. Durations here are counted from zero up."},
      {"hashtags -i a --max-jump 1", "--max-jump 1 has no unit. Write 1s for seconds, 1ms for milliseconds."},
      {"hashtags -i a --time evnt",
       "--time evnt is unknown. Did you mean \"event\"? It is one of event, kafka or processing."},
      {"hashtags -i a --time kafka",
       "--time kafka is the broker's time stamp, which records of files do not have. Use --time event or "
       "processing."},
      {"hashtags -i a --time processing --window 10s --batch 3s",
       "--window 10s is no multiple of --batch 3s: with --time processing a record's time is its batch's. "
       "Use a batch that divides it."},
      {"hashtags -i a --time processing --window 9s --slide 4s --batch 3s",
       "--slide 4s is no multiple of --batch 3s: with --time processing a record's time is its batch's. Use "
       "a batch that divides it."},
      {"hashtags -i a --time processing --time-field ts",
       "--time-field ts has no effect without --time event. Leave one of them out."},
      {"hashtags -i a --time-field ts:sec",
       "--time-field ts:sec ends in the unknown encoding \"sec\". There are :s, :ms, :us, :iso and "
       ":twitter."},
      // Format.
      {"hashtags -i a --format twiter-v1",
       "--format twiter-v1 is unknown. Did you mean \"twitter-v1\"? It is one of twitter-v1 or json."},
      {"hashtags -i a --field a=b", "--field a=b is for --format json; twitter-v1 knows its fields."},
      {"hashtags -i a --format json --field a",
       "--field a is not NAME=PATH. Write for example --field location=user.city."},
      {"hashtags -i a --format json --field a=b..c",
       "--field b..c has an empty key. Write keys with dots between: user.location."},
      {"hashtags -i a --format json --field a=b --field a=c --time-field t",
       "--field a is given twice. Give it one path."},
      {"hashtags -i a --format json --field a=b",
       "--format json does not know which field holds the time. Add --time-field PATH, or --time kafka or "
       "processing."},
      {"hashtags -i a --validate strict", "--validate strict is unknown. It is one of fast or full."},
      {"hashtags -i a --track a,,b", "--track a,,b has an empty item. Write items between commas: a,b,c."},
      {"hashtags -i a --lang ,", "--lang , has an empty item. Write items between commas: a,b,c."},
      // Results.
      {"hashtags,user_mentions -i a --name x",
       "--name x names one table, and this run has 2 operators. Leave it out, or run one operator."},
      {"hashtags -i a --name 9x",
       "--name 9x is no table name: letters, digits and _ (no digit first), at most 63 of them."},
      {"hashtags -i a --name weir_x",
       "--name weir_x begins with weir_, which is kept for tables of weir itself. Choose another name."},
      {"hashtags,user_mentions -i a --stdout csv",
       "--stdout csv has one header, and this run has 2 operators. Use --stdout jsonl, or run one operator."},
      {"hashtags -i a --stdout cvs",
       "--stdout cvs is unknown. Did you mean \"csv\"? It is one of table, jsonl, csv or none."},
      {"hashtags -i a --durability fll",
       "--durability fll is unknown. Did you mean \"full\"? It is one of normal or full."},
      {"hashtags -i a --reset",
       "--reset forgets what a results file holds, and none is given. Add --output PATH, or leave it out."},
      {"hashtags -i a --top -1", "--top -1 is too small: at least 0 is needed."},
      {"hashtags -i a --show -1", "--show -1 is too small: at least 0 is needed."},
      {"hashtags -i a --show many", "--show many is no whole number."},
      // Resources.
      {"hashtags -i a --workers 0", "--workers 0 is too small: at least 1 is needed."},
      {"hashtags -i a --workers 1025", "--workers 1025 is too great: at most 1024 is possible."},
      {"hashtags -i a --limit 0", "--limit 0 is too small: at least 1 is needed."},
      {"hashtags -i a --limit 99999999999999999999", "--limit 99999999999999999999 is too great a number."},
      {"hashtags -i a --for 0s", "--for 0s is not more than zero. Write a duration like 60s."},
      {"hashtags -i a --batch-records 0", "--batch-records 0 is too small: at least 1 is needed."},
      {"hashtags -i a --batch-bytes 0",
       "--batch-bytes 0 is not more than zero. Write a size like 64M or 2G, in powers of 1024."},
      {"hashtags -i a --max-memory lots",
       "--max-memory lots is no size. Write a size like 64M or 2G, in powers of 1024."},
      {"hashtags -i a --on-data-loss ignore", "--on-data-loss ignore is unknown. It is one of fail or skip."},
  };
  for (const Case& c : cases) EXPECT_EQ(Refuse(c.line), c.message) << c.line;
}

TEST(RunFlagsTest, EmptyValuesAreRefused) {
  for (const char* flag : {"-b", "-t", "-g", "-X", "-F", "--from", "--to", "-i", "-o", "--location-field",
                           "--name", "--window", "--top", "--track"}) {
    const auto flags = Parse({"tweets_by_location", flag, ""});
    EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument) << flag;
  }
}

TEST(RunFlagsTest, ASwitchTakesNoValue) {
  EXPECT_EQ(Refuse("hashtags -i a --follow=1"),
            "--follow=1 gives a value to a switch. Write --follow, or leave it out.");
  EXPECT_TRUE(Accept("hashtags -i a -vv").verbose);
}

// Precedence: flag > environment > default.
TEST(EnvironmentTest, StandsBetweenFlagAndDefault) {
  EXPECT_EQ(EnvironmentName("watermark-delay"), "WEIR_WATERMARK_DELAY");
  ScopedEnv delay("WEIR_WATERMARK_DELAY", "3s"), workers("WEIR_WORKERS", ""), follow("WEIR_FOLLOW", "yes"),
      quiet("WEIR_Q", "0");
  ScopedEnv input("WEIR_INPUT", "from-env.ndjson"), weight("WEIR_MENTION_WEIGHT", "retweets");
  RunFlags flags = Accept("user_mentions");
  EXPECT_EQ(flags.watermark_delay_ms, 3'000);
  EXPECT_GE(flags.workers, 1) << "an empty variable counts as absent";
  EXPECT_TRUE(flags.follow);
  EXPECT_FALSE(flags.quiet);
  EXPECT_EQ(flags.inputs, std::vector<std::string>({"from-env.ndjson"}));
  EXPECT_EQ(flags.params["user_mentions"]["mention-weight"], "retweets");

  flags = Accept("user_mentions --watermark-delay 4s -i given.ndjson --mention-weight one");
  EXPECT_EQ(flags.watermark_delay_ms, 4'000);
  EXPECT_EQ(flags.inputs, std::vector<std::string>({"given.ndjson"})) << "replaces, does not add";
  EXPECT_EQ(flags.params["user_mentions"]["mention-weight"], "one");
}

TEST(EnvironmentTest, ErrorsNameTheVariable) {
  {
    ScopedEnv window("WEIR_WINDOW", "60");
    EXPECT_EQ(Refuse("hashtags -i a"),
              "WEIR_WINDOW 60 has no unit. Write 60s for seconds, 60ms for milliseconds.");
    Accept("hashtags -i a --window 60s");
  }
  ScopedEnv follow("WEIR_FOLLOW", "perhaps");
  EXPECT_EQ(Refuse("hashtags -i a"), "WEIR_FOLLOW perhaps is neither on nor off. Write 1 or 0.");
}

TEST(EnvironmentTest, WhatDoesNotGoTogetherNamesTheVariable) {
  {
    ScopedEnv name("WEIR_NAME", "x");
    EXPECT_NE(Refuse("hashtags,user_mentions -i a").find("WEIR_NAME x"), std::string::npos);
  }
  ScopedEnv rows("WEIR_STDOUT", "csv");
  EXPECT_NE(Refuse("hashtags,user_mentions -i a").find("WEIR_STDOUT csv"), std::string::npos);
}

// A shell that always has WEIR_BROKERS can still read a file, and the other way round.
TEST(EnvironmentTest, TheSourceOnTheCommandLineRulesOutTheOtherOnesVariables) {
  ScopedEnv brokers("WEIR_BROKERS", "h:9092"), topic("WEIR_TOPIC", "t"), from("WEIR_FROM", "latest"),
      property("WEIR_X", "client.id=a");
  EXPECT_TRUE(Accept("hashtags").kafka());
  const RunFlags flags = Accept("hashtags -i a");
  EXPECT_FALSE(flags.kafka());
  EXPECT_TRUE(flags.brokers.empty() && flags.topics.empty() && !flags.from && flags.properties.empty());

  ScopedEnv input("WEIR_INPUT", "a");
  EXPECT_TRUE(Accept("hashtags -t u").kafka());
  EXPECT_NE(Refuse("hashtags").find("exclude each other"), std::string::npos)
      << "nothing says which one is meant";
}

TEST(EnvironmentTest, ParametersOfOtherOperatorsAreNotMeant) {
  ScopedEnv weight("WEIR_MENTION_WEIGHT", "nonsense");
  Accept("hashtags -i a");
  Refuse("user_mentions -i a");
}

TEST(WarningsTest, NothingWouldSeeTheResults) {
  EXPECT_EQ(Warnings(Accept("hashtags -i a --stdout none")).size(), 1u);
  EXPECT_EQ(Warnings(Accept("hashtags -i a --durability full")).size(), 1u);
  EXPECT_TRUE(Warnings(Accept("hashtags -i a --stdout none -o r.db")).empty());
  EXPECT_TRUE(Warnings(Accept("hashtags -i a")).empty());
}

TEST(HelpTest, HasEveryFlagOnceInAHundredColumns) {
  const FlagTable table = RunFlagTable(Operators());
  const std::string help = HelpText(table);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
  for (const char* flag : {"-b, --brokers LIST",
                           "-t, --topic NAME",
                           "-g, --group NAME",
                           "-X KEY=VALUE",
                           "-F FILE",
                           "--connect-timeout D",
                           "-i, --input PATH",
                           "--follow",
                           "--from POINT",
                           "--to POINT",
                           "--reset",
                           "--format NAME",
                           "--field NAME=PATH",
                           "--validate HOW",
                           "--batch D",
                           "--batch-records N",
                           "--batch-bytes SIZE",
                           "--window D",
                           "--slide D",
                           "--time KIND",
                           "--time-field PATH[:HOW]",
                           "--watermark-delay D",
                           "--allowed-lateness D",
                           "--idle-timeout D",
                           "--max-future D",
                           "--max-jump D",
                           "-o, --output PATH",
                           "--durability HOW",
                           "--name NAME",
                           "--stdout HOW",
                           "--top N",
                           "--show N",
                           "--track WORDS",
                           "--lang TAGS",
                           "--workers N",
                           "--max-memory SIZE",
                           "--limit N",
                           "--for D",
                           "--on-data-loss HOW",
                           "--stall-timeout D",
                           "  -v ",
                           "  -q ",
                           "--progress WHEN",
                           "--mention-weight HOW",
                           "--location-field VALUE",
                           "-h, --help"}) {
    const size_t at = help.find(flag);
    ASSERT_NE(at, std::string::npos) << flag;
    EXPECT_EQ(help.find(flag, at + 1), std::string::npos) << flag;
  }
  EXPECT_NE(help.find("[10s]"), std::string::npos) << "defaults are shown";
}

// Help is asked for: whatever else stands on the line is not looked at.
TEST(HelpTest, WinsOverErrors) {
  EXPECT_TRUE(
      ParseRunFlags(2, std::initializer_list<const char*>{"run", "--help"}.begin(), Operators())->help);
  const char* argv[] = {"run", "nonsense", "--windwo", "1", "-h"};
  EXPECT_TRUE(ParseRunFlags(5, argv, Operators())->help);
}

}  // namespace
}  // namespace weir
