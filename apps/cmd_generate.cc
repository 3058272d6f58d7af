// apps/cmd_generate.cc: `weir generate`: synthetic tweets on stdout or into a file.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "apps/print.h"
#include "apps/flag_set.h"
#include "apps/parse.h"
#include "apps/tweet_generator.h"
#include "apps/verbs.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

FlagTable GenerateFlags() {
  const auto flag = [](std::string names, std::string value, std::string help, std::string default_text) {
    return FlagSpec{.names = std::move(names),
                    .value = std::move(value),
                    .help = std::move(help),
                    .default_text = std::move(default_text)};
  };
  FlagTable table;
  table.verb = "generate";
  table.usage = "weir generate [flags]";
  table.about = "Prints synthetic tweets, one JSON document a line. The same flags give the same bytes.";
  table.environment = false;
  table.groups = {
      {"Stream",
       {flag("--seed", "N", "another stream for each number", "1"),
        flag("--count", "N", "lines of every kind; -1: without end", "100000"),
        flag("--rate", "N", "lines per second of event time", "1000"),
        flag("--start", "TIME", "event time of the first tweet: ISO 8601 UTC, or epoch ms",
             "2015-04-30T21:34:00Z"),
        flag("--disorder", "D", "how far a tweet may be behind the newest one before it", "0s"),
        flag("--size", "SIZE",
             "full: every field of a real tweet, 2.5-4.5 kB; small: what operators read, 300 bytes", "full"),
        flag("-o,--output", "FILE", "write to this file, which is replaced", "stdout")}},
      {"Shares of the lines, 0 to 1, that are something else",
       {flag("--invalid", "SHARE", "damaged JSON", "0"),
        flag("--notices", "SHARE", "delete and limit notices, which have no time", "0"),
        flag("--late", "SHARE", "tweets that are --late-by behind", "0"),
        flag("--late-by", "D", "how far those are behind", "10m"),
        flag("--outliers", "SHARE", "tweets dated one to three years ahead of the stream", "0"),
        flag("--future", "SHARE", "tweets dated 2099", "0")}}};
  return table;
}

// Stores the value of a flag, if it was given.
template <typename T, typename U>
absl::Status Store(const absl::StatusOr<T>& value, U& out) {
  if (value.ok()) out = static_cast<U>(*value);
  return value.status();
}

absl::StatusOr<TweetGeneratorOptions> ReadOptions(const ParsedFlags& parsed) {
  TweetGeneratorOptions options;
  if (const auto v = parsed.Get("seed"))
    WEIR_RETURN_IF_ERROR(Store(ParseNumber(v->name, v->text, 0), options.seed));
  if (const auto v = parsed.Get("count"))
    WEIR_RETURN_IF_ERROR(Store(ParseNumber(v->name, v->text, -1), options.count));
  if (const auto v = parsed.Get("rate"))
    WEIR_RETURN_IF_ERROR(Store(ParseNumber(v->name, v->text, 1, 1'000'000'000), options.rate));
  if (const auto v = parsed.Get("start"))
    WEIR_RETURN_IF_ERROR(Store(ParseTimePoint(v->name, v->text), options.start_ms));
  if (const auto v = parsed.Get("disorder"))
    WEIR_RETURN_IF_ERROR(Store(ParseDuration(v->name, v->text, {.zero = true}), options.disorder_ms));
  if (const auto v = parsed.Get("late-by"))
    WEIR_RETURN_IF_ERROR(Store(ParseDuration(v->name, v->text), options.late_by_ms));
  if (const auto v = parsed.Get("size")) {
    const std::string sizes[] = {"full", "small"};
    WEIR_ASSIGN_OR_RETURN(const std::string size, ParseChoice(v->name, v->text, sizes));
    options.size = size == "full" ? TweetGeneratorOptions::Size::kFull : TweetGeneratorOptions::Size::kSmall;
  }
  struct Share {
    const char* name;
    double& value;
  };
  for (const Share& share : {Share{"invalid", options.invalid},
                             {"notices", options.notices},
                             {"late", options.late},
                             {"outliers", options.outliers},
                             {"future", options.future}})
    if (const auto v = parsed.Get(share.name))
      WEIR_RETURN_IF_ERROR(Store(ParseFraction(v->name, v->text), share.value));
  return options;
}

absl::Status WriteAll(TweetGenerator& generator, std::FILE* out, const std::string& name) {
  std::string line;
  bool written = true;
  while (written && generator.Next(line)) {
    line += '\n';
    written = std::fwrite(line.data(), 1, line.size(), out) == line.size();
  }
  if (written && std::fflush(out) == 0) return absl::OkStatus();
  // `weir generate | head`: the reader has what it wanted.
  if (errno == EPIPE) return absl::OkStatus();
  return absl::UnknownError(fmt::format("{} cannot be written: {}", name, std::strerror(errno)));
}

absl::Status Generate(const ParsedFlags& parsed) {
  WEIR_ASSIGN_OR_RETURN(const TweetGeneratorOptions options, ReadOptions(parsed));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<TweetGenerator> generator, TweetGenerator::Create(options));
  const auto path = parsed.Get("output");
  if (!path || path->text == "-") return WriteAll(*generator, stdout, "stdout");
  std::FILE* file = std::fopen(path->text.c_str(), "wb");
  if (file == nullptr)
    return absl::UnknownError(
        fmt::format("--output {} cannot be created: {}", path->text, std::strerror(errno)));
  const absl::Status written = WriteAll(*generator, file, "--output " + path->text);
  if (std::fclose(file) != 0 && written.ok())
    return absl::UnknownError(
        fmt::format("--output {} cannot be written: {}", path->text, std::strerror(errno)));
  return written;
}

}  // namespace

int CmdGenerate(int argc, char** argv) {
  const FlagTable table = GenerateFlags();
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) return PrintAll(HelpText(table));
  const absl::Status status = Generate(*parsed);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace weir
