// engine/record/format.h: formats are data: canonical field -> JSON paths, in order of preference.
#ifndef WEIR_ENGINE_RECORD_FORMAT_H_
#define WEIR_ENGINE_RECORD_FORMAT_H_

#include <string>
#include <string_view>
#include <vector>

namespace weir {

// How a field that holds an event time is read. kAuto: a number below 1e11 is seconds, else milliseconds; a string is
// tried as digits, ISO 8601, twitter.
enum class TimeEncoding { kAuto, kSeconds, kMillis, kMicros, kIso, kTwitter };

struct TimeField {
  std::string path;            // JSON path, or a message attribute (see FieldPath)
  TimeEncoding encoding = TimeEncoding::kAuto;
};

// A field path is dotted JSON object keys, `[]` behind a key for every element of an array
// ("entities.hashtags[].text"), or a message attribute: "@key", "@topic", "@partition", "@offset", "@timestamp",
// "@header.NAME".
struct FieldPaths {
  std::string name;                 // canonical name, "location"
  std::vector<std::string> paths;   // the first that the record has, counts
};

struct Format {
  std::string name;
  std::vector<FieldPaths> fields;
  std::vector<TimeField> times;     // the first usable one counts

  const FieldPaths* Find(std::string_view field) const {
    for (const FieldPaths& f : fields)
      if (f.name == field) return &f;
    return nullptr;
  }
};

}  // namespace weir

#endif  // WEIR_ENGINE_RECORD_FORMAT_H_
