// apps/cmd_query.cc: `weir query DB [SQL]`, its flags.
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "apps/flag_set.h"
#include "apps/parse.h"
#include "apps/query.h"
#include "apps/verbs.h"

namespace weir {
namespace {

FlagTable QueryFlags() {
  FlagTable table;
  table.verb = "query";
  table.usage = "weir query DB [SQL] [flags]";
  table.about =
      "Reads a results file, also while a job writes it, and never changes it. Without SQL: the newest "
      "closed window of each "
      "operator. SQL is one statement that only reads; each operator has a table of its name, and the views "
      "NAME_latest and NAME_view.";
  table.max_positionals = 2;
  table.environment = false;  // WEIR_FORMAT is the format of a run's records
  table.groups = {{"Flags",
                   {{.names = "--format",
                     .value = "NAME",
                     .help = "table, jsonl or csv",
                     .default_text = "table on a terminal, else jsonl"},
                    {.names = "--show",
                     .value = "N",
                     .help = "without SQL, as table: rows per window; 0: all",
                     .default_text = "0"}}}};
  return table;
}

absl::StatusOr<QueryOptions> ReadOptions(const ParsedFlags& parsed) {
  QueryOptions options;
  if (parsed.positionals.empty())
    return absl::InvalidArgumentError("no results file given. Usage: weir query DB [SQL]");
  options.path = parsed.positionals[0];
  if (parsed.positionals.size() > 1) options.sql = parsed.positionals[1];
  if (const auto value = parsed.Get("format")) {
    const std::string names[] = {"table", "jsonl", "csv"};
    const auto name = ParseChoice(value->name, value->text, names);
    if (!name.ok()) return name.status();
    const auto format = ParseRowFormat(*name);
    if (!format.ok()) return format.status();
    options.format = *format;
  }
  if (const auto value = parsed.Get("show")) {
    const auto show = ParseNumber(value->name, value->text, 0);
    if (!show.ok()) return show.status();
    options.show = static_cast<size_t>(*show);
  }
  return options;
}

}  // namespace

int CmdQuery(int argc, char** argv) {
  const FlagTable table = QueryFlags();
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) return PrintAll(HelpText(table));
  const auto options = ReadOptions(*parsed);
  return options.ok() ? RunQuery(*options, stdout, stderr) : Fail(options.status());
}

}  // namespace weir
