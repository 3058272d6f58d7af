// apps/cmd_demo.cc: `weir demo`: the main job, live, with nothing but this binary: a broker in this process, generated
// tweets, tweets by location and user mentions, a table on the terminal, a results file to query.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "absl/time/clock.h"
#include "apps/print.h"
#include "apps/flag_set.h"
#include "apps/job_setup.h"
#include "apps/run_job.h"
#include "apps/tweet_generator.h"
#include "apps/verbs.h"
#include "engine/source/embedded_broker.h"
#include "engine/source/kafka_producer.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr char kTopic[] = "tweets";
constexpr int kPartitions = 3;

FlagTable DemoFlags() {
  FlagTable table;
  table.verb = "demo";
  table.usage = "weir demo [flags]";
  table.about =
      "Runs the main job live on this machine alone: a Kafka broker in this process, tweets that are made up as they go, "
      "tweets_by_location and user_mentions over a sliding window, and a results file that can be queried meanwhile from "
      "another terminal. Ctrl-C ends it.";
  const auto flag = [](std::string names, std::string value, std::string help, std::string default_text) {
    return FlagSpec{.names = std::move(names), .value = std::move(value), .help = std::move(help), .default_text = std::move(default_text)};
  };
  table.groups.push_back({"Flags",
                          {flag("--for", "D", "end after this time", "until Ctrl-C"), flag("--rate", "N", "tweets per second", "2000"),
                           flag("--window", "D", "window length", "20s"), flag("--slide", "D", "from one window to the next", "5s"),
                           flag("-o,--output", "PATH", "results file; a name that is free, or the default, which is begun anew", "weir-demo.db"), flag("--seed", "N", "of the tweets", "1"),
                           flag("--stdout", "HOW", "table, jsonl or none", "table")}});
  return table;
}

// Produces tweets dated now, at a steady rate, until told to stop.
class Feed {
 public:
  Feed(std::unique_ptr<TweetGenerator> tweets, std::unique_ptr<KafkaProducer> producer, int64_t rate)
      : tweets_(std::move(tweets)), producer_(std::move(producer)), rate_(rate), thread_([this] { Loop(); }) {}
  ~Feed() {
    stop_.store(true);
    thread_.join();
  }

 private:
  void Loop() {
    const absl::Time start = absl::Now();
    std::string tweet;
    for (int64_t sent = 0; !stop_.load();) {
      const auto due = static_cast<int64_t>(absl::ToDoubleSeconds(absl::Now() - start) * static_cast<double>(rate_));
      for (; sent < due && tweets_->Next(tweet); ++sent)
        if (!producer_->Produce(kTopic, {.payload = tweet}).ok()) return;
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  const std::unique_ptr<TweetGenerator> tweets_;
  const std::unique_ptr<KafkaProducer> producer_;
  const int64_t rate_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

absl::Status Demo(const ParsedFlags& parsed) {
  const auto text = [&](const char* name, const char* otherwise) {
    const auto value = parsed.Get(name);
    return value ? value->text : std::string(otherwise);
  };
  WEIR_ASSIGN_OR_RETURN(const int64_t rate, ParseNumber("--rate", text("rate", "2000"), 1, 50'000));
  WEIR_ASSIGN_OR_RETURN(const int64_t seed, ParseNumber("--seed", text("seed", "1"), 0));
  const std::string output = text("output", "weir-demo.db");

  if (parsed.Given("output") && ::access(output.c_str(), F_OK) == 0)
    return absl::InvalidArgumentError(fmt::format("{} {} exists, and the demo begins its file anew. Give a name that is free.",
                                                  parsed.Get("output")->name, output));
  BlockJobSignals();
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<EmbeddedBroker> broker, EmbeddedBroker::Start());
  WEIR_RETURN_IF_ERROR(broker->CreateTopic(kTopic, kPartitions));
  TweetGeneratorOptions options;
  options.seed = static_cast<uint64_t>(seed);
  options.count = -1;
  options.rate = static_cast<double>(rate);
  options.start_ms = absl::ToUnixMillis(absl::Now());
  options.disorder_ms = 1'000;
  options.invalid = 0.001;
  options.notices = 0.01;
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<TweetGenerator> tweets, TweetGenerator::Create(options));
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<KafkaProducer> producer, KafkaProducer::Create({.brokers = broker->bootstrap()}));

  std::vector<std::string> arguments = {"run", "tweets_by_location,user_mentions", "-b", broker->bootstrap(), "-t", kTopic,
                                        "--watermark-delay", "2s", "--batch", "500ms", "-o", output, "--reset", "--show", "5"};
  // What comes from the environment the run finds there itself, and its messages then name the variable.
  for (const auto& [name, otherwise] : {std::pair{"window", "20s"}, {"slide", "5s"}, {"stdout", "table"}, {"for", ""}})
    if (const std::string value = text(name, otherwise); !value.empty() && !parsed.FromEnvironment(name))
      arguments.insert(arguments.end(), {std::string("--") + name, value});
  std::vector<const char*> argv;
  for (const std::string& a : arguments) argv.push_back(a.c_str());
  WEIR_ASSIGN_OR_RETURN(const RunFlags flags, ParseRunFlags(static_cast<int>(argv.size()), argv.data(), Registry()));
  WEIR_RETURN_IF_ERROR(Validate(flags));
  PrintTo(stderr, fmt::format("weir demo: a broker at {}, {} tweets a second into topic {} ({} partitions), results in {}\n"
             "Meanwhile, in another terminal: weir query {}\n\n",
             broker->bootstrap(), rate, kTopic, kPartitions, output, output));
  const Feed feed(std::move(tweets), std::move(producer), rate);
  return RunJob(flags);
}

}  // namespace

int CmdDemo(int argc, char** argv) {
  const FlagTable table = DemoFlags();
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) return PrintAll(HelpText(table));
  const absl::Status status = Demo(*parsed);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace weir
