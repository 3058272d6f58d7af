#include <fmt/format.h>

#include <algorithm>

#include "engine/runtime/job.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

int AddColumn(ProjectionSpec& spec, ColumnSpec column) {
  const auto there = std::find(spec.columns.begin(), spec.columns.end(), column);
  if (there != spec.columns.end()) return static_cast<int>(there - spec.columns.begin());
  spec.columns.push_back(std::move(column));
  return static_cast<int>(spec.columns.size()) - 1;
}

absl::Status NoField(const Format& format, std::string_view who, std::string_view field) {
  std::string known;
  for (const FieldPaths& f : format.fields) known += (known.empty() ? "" : ", ") + f.name;
  return absl::InvalidArgumentError(
      fmt::format("{} reads the field \"{}\", which format {} does not have{}. Name it with --format json --field {}=PATH.", who, field,
                  format.name, known.empty() ? "" : fmt::format(" (it has {})", known), field));
}

}  // namespace

absl::StatusOr<ColumnPlan> PlanColumns(const JobOptions& options, const std::vector<Operator>& operators) {
  ColumnPlan plan;
  ProjectionSpec& spec = plan.projection;
  const Format& format = options.format;
  spec.validate_full = options.validate_full;
  switch (options.time) {
    case TimeKind::kEvent:
      if (format.times.empty())
        return absl::InvalidArgumentError(fmt::format(
            "format {} does not say where a record's time is. Add --time-field PATH, or --time processing.", format.name));
      spec.times = format.times;
      break;
    case TimeKind::kKafka: spec.broker_time = true; break;
    case TimeKind::kProcessing: break;
  }
  for (const Operator& op : operators) {
    std::vector<int>& columns = plan.columns.emplace_back();
    for (const FieldRead& read : op.reads) {
      ColumnSpec column{read.type, {}};
      if (const FieldPaths* field = format.Find(read.name)) column.paths = field->paths;
      else if (read.need == FieldNeed::kPath) column.paths = {read.name};
      else if (read.need == FieldNeed::kRequired) return NoField(format, op.name, read.name);
      columns.push_back(AddColumn(spec, std::move(column)));
    }
  }
  const auto filter = [&](const char* flag, const char* name, const std::vector<std::string>& wanted, int& column) -> absl::Status {
    if (wanted.empty()) return absl::OkStatus();
    const FieldPaths* field = format.Find(name);
    if (field == nullptr) return NoField(format, flag, name);
    column = AddColumn(spec, {ColumnType::kText, field->paths});
    return absl::OkStatus();
  };
  spec.track = options.track;
  spec.langs = options.langs;
  WEIR_RETURN_IF_ERROR(filter("--track", "text", options.track, spec.text_column));
  WEIR_RETURN_IF_ERROR(filter("--lang", "lang", options.langs, spec.lang_column));
  return plan;
}

}  // namespace weir
