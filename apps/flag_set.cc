#include "apps/flag_set.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "apps/parse.h"
#include "apps/suggest.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kHelpColumn = 32;

std::vector<std::string> Names(const FlagSpec& flag) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= flag.names.size();) {
    const size_t comma = std::min(flag.names.find(',', begin), flag.names.size());
    names.push_back(flag.names.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return names;
}

// "--window" as it is typed, and "window" as it is known.
std::string Typed(const FlagSpec& flag) { return Names(flag).back(); }
std::string Known(const FlagSpec& flag) {
  const std::string typed = Typed(flag);
  return typed.substr(typed.find_first_not_of('-'));
}

std::vector<std::string> AllTyped(const FlagTable& table) {
  std::vector<std::string> all = {"--help"};
  for (const FlagGroup& group : table.groups)
    for (const FlagSpec& flag : group.flags)
      for (std::string& name : Names(flag)) all.push_back(std::move(name));
  return all;
}

absl::Status UnknownFlag(const FlagTable& table, std::string_view argument) {
  const std::string name(argument.substr(0, argument.find('=')));
  if (const auto planned = table.planned.find(name); planned != table.planned.end())
    return absl::InvalidArgumentError(fmt::format("{} {}", name, planned->second));
  // One letter resembles every other one.
  const std::string meant = name.starts_with("--") ? DidYouMean(name, AllTyped(table)) : "";
  return absl::InvalidArgumentError(
      fmt::format("unknown flag {}.{} Run `weir {} --help` for the list.", name, meant, table.verb));
}

// Splits what belongs to no flag: unknown flags are refused, the others are arguments.
absl::Status TakeRest(const FlagTable& table, const std::vector<std::string>& rest, ParsedFlags& parsed) {
  bool flags_ended = false;
  for (const std::string& argument : rest) {
    if (!flags_ended && argument == "--") {
      flags_ended = true;
    } else if (!flags_ended && argument.size() > 1 && argument.front() == '-') {
      return UnknownFlag(table, argument);
    } else {
      parsed.positionals.push_back(argument);
    }
  }
  return absl::OkStatus();
}

// Breaks `text` at spaces into lines that fit behind the help column.
std::vector<std::string> Wrapped(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  while (text.size() > width) {
    size_t space = text.rfind(' ', width);
    if (space == text.npos || space == 0) space = std::min(text.find(' '), text.size());
    lines.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  lines.emplace_back(text);
  return lines;
}

void AppendFlag(std::string_view left, std::string_view help, std::string& out) {
  out += fmt::format("  {}", left);
  size_t column = left.size() + 2;
  for (const std::string& line : Wrapped(help, kWidth - kHelpColumn)) {
    if (column + 2 > kHelpColumn && column != 0) {
      out += '\n';
      column = 0;
    }
    out += fmt::format("{}{}\n", std::string(kHelpColumn - column, ' '), line);
    column = 0;
  }
}

}  // namespace

const FlagSpec* FlagTable::Find(std::string_view name) const {
  for (const FlagGroup& group : groups)
    for (const FlagSpec& flag : group.flags)
      if (Known(flag) == name) return &flag;
  return nullptr;
}

const ParsedFlags::Entry* ParsedFlags::Find(std::string_view name) const {
  const auto entry = entries_.find(name);
  return entry == entries_.end() ? nullptr : &entry->second;
}

bool ParsedFlags::FromEnvironment(std::string_view name) const {
  const Entry* entry = Find(name);
  return entry != nullptr && entry->from_environment;
}

std::optional<FlagValue> ParsedFlags::Get(std::string_view name) const {
  const Entry* entry = Find(name);
  if (entry == nullptr) return std::nullopt;
  return entry->values.front();
}

std::vector<FlagValue> ParsedFlags::GetAll(std::string_view name) const {
  const Entry* entry = Find(name);
  return entry == nullptr ? std::vector<FlagValue>() : entry->values;
}

bool ParsedFlags::On(std::string_view name) const {
  const std::optional<FlagValue> value = Get(name);
  return value && ParseSwitch(value->name, value->text).value_or(false);
}

void ParsedFlags::DropFromEnvironment(std::string_view name) {
  if (const auto entry = entries_.find(name); entry != entries_.end() && entry->second.from_environment)
    entries_.erase(entry);
}

std::string EnvironmentName(std::string_view flag) {
  std::string name = "WEIR_";
  for (char c : flag) name += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

absl::StatusOr<ParsedFlags> ParseFlags(const FlagTable& table, int argc, const char* const* argv) {
  ParsedFlags parsed;
  try {
    CLI::App app;
    app.set_help_flag();  // ours has groups, defaults and a width
    app.allow_extras();   // an unknown flag gets a better message than CLI11's
    const CLI::Option* help = app.add_flag("-h,--help");
    std::vector<std::pair<const FlagSpec*, const CLI::Option*>> options;
    for (const FlagGroup& group : table.groups) {
      for (const FlagSpec& flag : group.flags) {
        CLI::Option* option;
        if (flag.value.empty()) {
          option = app.add_flag(flag.names);
        } else {
          option = app.add_option(flag.names)->expected(1)->allow_extra_args(false);
        }
        option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        options.emplace_back(&flag, option);
      }
    }
    // CLI11 reads "--name=" as if the value came next, and lets a switch have a value.
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      const size_t equals = argument.find('=');
      if (argument == "--") break;
      if (!argument.starts_with("--") || equals == argument.npos) continue;
      const FlagSpec* flag = table.Find(argument.substr(2, equals - 2));
      if (flag == nullptr) continue;
      if (flag->value.empty())
        return absl::InvalidArgumentError(
            fmt::format("{} gives a value to a switch. Write {}, or leave it out.", argument, Typed(*flag)));
      if (equals == argument.size() - 1)
        return absl::InvalidArgumentError(
            fmt::format("{} has nothing behind the =. Give a value, or leave the flag out.", argument));
    }

    std::vector<std::string> reversed;
    for (int i = argc - 1; i > 0; --i) reversed.emplace_back(argv[i]);
    app.parse(std::move(reversed));
    if (help->count() > 0) {
      parsed.help = true;
      return parsed;
    }
    WEIR_RETURN_IF_ERROR(TakeRest(table, app.remaining(), parsed));

    const std::vector<std::string> all = AllTyped(table);
    for (const auto& [flag, option] : options) {
      if (option->count() == 0) continue;
      if (option->count() > 1 && !flag->repeatable)
        return absl::InvalidArgumentError(
            fmt::format("{} is given {} times. Give it once.", Typed(*flag), option->count()));
      ParsedFlags::Entry& entry = parsed.entries_[Known(*flag)];
      for (const std::string& text : option->results()) {
        if (!flag->value.empty() && std::find(all.begin(), all.end(), text) != all.end())
          return absl::InvalidArgumentError(fmt::format("{} needs a value ({}), but the flag {} follows it.",
                                                        Typed(*flag), flag->value, text));
        entry.values.push_back({.name = Typed(*flag), .text = text});
      }
    }
    if (parsed.positionals.size() > table.max_positionals)
      return absl::InvalidArgumentError(fmt::format("\"{}\" is one argument too many. Usage: {}",
                                                    parsed.positionals[table.max_positionals], table.usage));
  } catch (const CLI::ArgumentMismatch& error) {
    // The last flag lacks its value.
    const std::string_view last = argc > 1 ? argv[argc - 1] : "";
    for (const FlagGroup& group : table.groups)
      for (const FlagSpec& flag : group.flags) {
        const std::vector<std::string> names = Names(flag);
        if (!flag.value.empty() && std::find(names.begin(), names.end(), last) != names.end())
          return absl::InvalidArgumentError(fmt::format("{} needs a value ({}).", Typed(flag), flag.value));
      }
    return absl::InvalidArgumentError(error.what());
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }

  if (!table.environment) return parsed;
  for (const FlagGroup& group : table.groups) {
    for (const FlagSpec& flag : group.flags) {
      const std::string name = EnvironmentName(Known(flag));
      const char* text = std::getenv(name.c_str());
      if (text == nullptr || *text == '\0' || parsed.entries_.contains(Known(flag))) continue;
      if (flag.value.empty()) {
        WEIR_ASSIGN_OR_RETURN(const bool on, ParseSwitch(name, text));
        if (!on) continue;
      }
      parsed.entries_[Known(flag)] = {.values = {{.name = name, .text = text}}, .from_environment = true};
    }
  }
  return parsed;
}

std::string HelpText(const FlagTable& table) {
  std::string out = fmt::format("Usage: {}\n", table.usage);
  if (!table.about.empty()) {
    out += '\n';
    for (const std::string& line : Wrapped(table.about, kWidth)) out += line + '\n';
  }
  for (const FlagGroup& group : table.groups) {
    out += fmt::format("\n{}:\n", group.title);
    for (const FlagSpec& flag : group.flags) {
      std::string left;
      const std::vector<std::string> names = Names(flag);
      // Long names stand in one column, whether there is a short one or not.
      if (names.size() == 1 && names[0].starts_with("--")) left = "    ";
      for (const std::string& name : names) left += (name == names.front() ? "" : ", ") + name;
      if (!flag.value.empty()) left += ' ' + flag.value;
      std::string help = flag.help;
      if (flag.repeatable && !flag.value.empty()) help += "; repeatable";
      if (!flag.default_text.empty()) help += fmt::format(" [{}]", flag.default_text);
      AppendFlag(left, help, out);
    }
    if (&group == &table.groups.back()) AppendFlag("-h, --help", "this text", out);
  }
  if (table.groups.empty()) {
    out += '\n';
    AppendFlag("-h, --help", "this text", out);
  }
  return out;
}

std::string FlagLibraryVersion() { return CLI11_VERSION; }

}  // namespace weir
