// apps/main.cc: the `weir` command: finds the verb, and is the last to see an error.
#include <fcntl.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "apps/suggest.h"
#include "apps/verbs.h"

namespace weir {
namespace {

struct Verb {
  const char* name;
  int (*run)(int argc, char** argv);
  const char* summary;
};

constexpr Verb kVerbs[] = {
    {"run", CmdRun, "count in sliding windows over topics, files or stdin"},
    {"demo", CmdDemo, "see it work: an embedded broker, generated tweets, the main operators"},
    {"query", CmdQuery, "read a results file: its newest windows, or SQL"},
    {"operators", CmdOperators, "what can be counted: operators, their fields, columns, parameters"},
    {"explain", CmdExplain, "the plan of what `weir run` with the same flags would do"},
    {"generate", CmdGenerate, "synthetic tweets, the same ones for the same flags"},
    {"produce", CmdProduce, "lines of a file or stdin into a topic"},
    {"verify", CmdVerify, "read the log again, count in another way, and compare with a results file"},
    {"version", CmdVersion, "build, library versions, optional features"},
};

std::string Overview() {
  std::string text =
      "weir counts in sliding windows over Kafka topics and files, and keeps the results in SQLite.\n\n";
  for (const Verb& verb : kVerbs) text += fmt::format("  weir {:<10}  {}\n", verb.name, verb.summary);
  text +=
      "\n`weir VERB --help` explains a verb. For a start:\n\n"
      "  weir demo\n"
      "  weir run user_mentions -b localhost:9092 -t tweets --window 60s --slide 5s -o results.db\n"
      "  weir query results.db\n";
  return text;
}

int Main(int argc, char** argv) {
  if (argc < 2) return PrintAll(Overview());
  std::string name = argv[1];
  if (name == "--version") name = "version";
  if (name == "--help" || name == "-h" || name == "help") {
    if (name != "help" || argc < 3) return PrintAll(Overview());
    // `weir help run` is `weir run --help`.
    static char help[] = "--help";
    name = argv[2];
    argv[1] = argv[2];
    argv[2] = help;
    argc = 3;
  }
  std::vector<std::string> known = {"help"};
  for (const Verb& verb : kVerbs) {
    if (name == verb.name) return verb.run(argc - 1, argv + 1);
    known.emplace_back(verb.name);
  }
  return Fail(absl::InvalidArgumentError(
      fmt::format("unknown verb \"{}\".{} Run `weir` for the list.", name, DidYouMean(name, known))));
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  // A standard descriptor that the caller had closed must not become some file of ours: it fails like a closed one instead.
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return 70;
  // Likewise a file size limit (ulimit -f).
  std::signal(SIGXFSZ, SIG_IGN);
  // A reader that goes away is an error of the write, told like every other one.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return weir::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("weir: out of memory. Lower --max-memory, --batch-bytes or the number of keys.\n", stderr);
  } catch (const std::exception& error) {
    const auto* const system = dynamic_cast<const std::system_error*>(&error);
    if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again)  // what std::thread throws
      std::fprintf(stderr, "weir: a thread cannot be started: %s. Lower --workers, or raise the limits of processes (ulimit -u) and memory.\n",
                   error.what());
    else
      std::fprintf(stderr, "weir: internal error: %s\n", error.what());
  }
  return 70;
}
