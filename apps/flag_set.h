// apps/flag_set.h: a verb's flags as a table, from which both the parsing and the help text come.
//
// A flag's value comes from the command line, else from the environment variable WEIR_<FLAG> (dashes are
// underscores; an empty variable counts as absent). Meaning and defaults are the verb's. CLI11 does the
// splitting, in flag_set.cc only.
#ifndef WEIR_APPS_FLAG_SET_H_
#define WEIR_APPS_FLAG_SET_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace weir {

struct FlagSpec {
  std::string names;         // "-b,--brokers", "--follow", "-X"; known by the last one, without dashes
  std::string value;         // "LIST": what the help shows for the value; empty: a switch
  std::string help;          // one phrase, no period at its end
  std::string default_text;  // as the help shows it; empty: none
  bool repeatable = false;
};

struct FlagGroup {
  std::string title;
  std::vector<FlagSpec> flags;
};

struct FlagTable {
  std::string verb;               // "run"
  std::string usage;              // "weir run OPERATOR[,OPERATOR...] [flags]"
  std::string about;              // the text between usage and flags
  std::vector<FlagGroup> groups;  // -h, --help is added to the last one
  size_t max_positionals = 0;
  bool environment = true;  // false: variables are not looked at
  std::map<std::string, std::string>
      planned;  // flag, as typed -> what to say: known, but not in this version

  const FlagSpec* Find(std::string_view name) const;  // by name without dashes
};

struct FlagValue {
  std::string name;  // where it came from, for messages: "--window", "WEIR_WINDOW"
  std::string text;
};

class ParsedFlags {
 public:
  bool help = false;  // asked for: nothing else was looked at
  std::vector<std::string> positionals;

  // By name without dashes, "window". A name that the table does not have is a bug.
  bool Given(std::string_view name) const { return Find(name) != nullptr; }
  bool FromEnvironment(std::string_view name) const;
  std::optional<FlagValue> Get(std::string_view name) const;
  std::vector<FlagValue> GetAll(std::string_view name) const;
  // A switch. Never fails: what it was in the environment has been checked.
  bool On(std::string_view name) const;
  // Takes back what the environment said, where a flag of the command line rules it out.
  void DropFromEnvironment(std::string_view name);

 private:
  friend absl::StatusOr<ParsedFlags> ParseFlags(const FlagTable& table, int argc, const char* const* argv);
  struct Entry {
    std::vector<FlagValue> values;
    bool from_environment = false;
  };
  const Entry* Find(std::string_view name) const;
  std::map<std::string, Entry, std::less<>> entries_;
};

// argv[0] is the verb. Errors: kInvalidArgument (unknown flag with the nearest one, missing value, flag given
// twice, too many arguments).
absl::StatusOr<ParsedFlags> ParseFlags(const FlagTable& table, int argc, const char* const* argv);

// At most 100 columns wide.
std::string HelpText(const FlagTable& table);

// "watermark-delay" -> "WEIR_WATERMARK_DELAY".
std::string EnvironmentName(std::string_view flag);

// The version of the library that splits the command line, "2.1.2".
std::string FlagLibraryVersion();

}  // namespace weir

#endif  // WEIR_APPS_FLAG_SET_H_
