// apps/cmd_operators.cc: `weir operators [NAME]`: what can be counted, and what each operator reads, writes
// and takes.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "apps/flag_set.h"
#include "apps/suggest.h"
#include "apps/verbs.h"
#include "engine/status_macros.h"
#include "operators/formats.h"
#include "operators/registry.h"

namespace weir {
namespace {

std::string_view TypeName(ColumnType type) {
  switch (type) {
    case ColumnType::kText:
      return "text";
    case ColumnType::kTextList:
      return "list of texts";
    case ColumnType::kInt:
      return "integer";
    case ColumnType::kExists:
      return "present or not";
  }
  return "?";
}

std::string_view NeedName(FieldNeed need) {
  switch (need) {
    case FieldNeed::kRequired:
      return "";
    case FieldNeed::kOptional:
      return ", may be missing";
    case FieldNeed::kPath:
      return ", or a JSON path";
  }
  return "";
}

std::string Overview() {
  std::string text;
  for (const OperatorInfo& info : Registry()) text += fmt::format("{:<20}  {}\n", info.name, info.summary);
  return text +
         "\n`weir operators NAME` shows fields, columns and parameters; `weir run NAME ...` runs one.\n";
}

// An operator with all parameters at their defaults.
absl::StatusOr<Operator> MakeDefault(const OperatorInfo& info) {
  std::map<std::string, std::string> values;
  for (const OperatorParam& param : info.params) values[param.name] = param.default_value;
  return info.make(values);
}

absl::StatusOr<std::string> Describe(const std::string& name) {
  const OperatorInfo* info = FindOperator(name);
  if (info == nullptr) {
    std::vector<std::string> names;
    for (const OperatorInfo& each : Registry()) names.push_back(each.name);
    return absl::InvalidArgumentError(fmt::format(
        "unknown operator \"{}\".{} Run `weir operators` for the list.", name, DidYouMean(name, names)));
  }
  WEIR_ASSIGN_OR_RETURN(const Operator op, MakeDefault(*info));
  std::string text = fmt::format("{}: {}\n\nreads\n", info->name, info->summary);
  for (const FieldRead& field : op.reads) {
    text += fmt::format("  {:<18}{}{}\n", field.name, TypeName(field.type), NeedName(field.need));
    const FieldPaths* paths = TwitterV1().Find(field.name);
    if (paths == nullptr) continue;
    text += fmt::format("  {:<18}twitter-v1: ", "");
    for (const std::string& path : paths->paths)
      text += (path == paths->paths.front() ? "" : ", else ") + path;
    text += '\n';
  }
  text += fmt::format("\nwrites\n  {}(window_start INTEGER, window_end INTEGER, {} TEXT, {} INTEGER)\n",
                      op.name, op.key_column, op.value_column);
  text += fmt::format("  {}\n", op.aggregate);
  if (info->params.empty()) return text + "\nno parameters\n";
  text += "\nparameters\n";
  for (const OperatorParam& param : info->params) {
    text += fmt::format("  --{:<18}{} [{}]\n", param.name, param.help, param.default_value);
    if (param.choices.empty()) continue;
    text += fmt::format("  {:<20}", "");
    for (const std::string& choice : param.choices)
      text += (choice == param.choices.front() ? "" : " | ") + choice;
    text += '\n';
  }
  return text;
}

}  // namespace

int CmdOperators(int argc, char** argv) {
  FlagTable table;
  table.verb = "operators";
  table.usage = "weir operators [NAME]";
  table.about =
      "Lists the operators, or what one of them reads and writes, and its parameters with their defaults.";
  table.max_positionals = 1;
  table.environment = false;
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  const absl::StatusOr<std::string> text = parsed->help                  ? HelpText(table)
                                           : parsed->positionals.empty() ? Overview()
                                                                         : Describe(parsed->positionals[0]);
  if (!text.ok()) return Fail(text.status());
  return PrintAll(*text);
}

}  // namespace weir
