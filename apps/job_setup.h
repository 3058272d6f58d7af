// apps/job_setup.h: from flags to a job: what `weir run`, `weir explain` and `weir demo` share.
#ifndef WEIR_APPS_JOB_SETUP_H_
#define WEIR_APPS_JOB_SETUP_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "apps/run_flags.h"
#include "engine/runtime/job.h"
#include "engine/sink/row_writer.h"
#include "engine/source/source.h"

namespace weir {

// Reads argv (argv[0] is the verb) into flags that were validated. Prints the help, warnings and errors itself: then, and only
// then, nullopt, with the exit code in `exit_code`.
std::optional<RunFlags> ReadRunFlags(int argc, char** argv, int& exit_code);

// Errors, of all here: kInvalidArgument, or what the opened thing says.
absl::StatusOr<std::vector<Operator>> MakeOperators(const RunFlags& flags);
// Every --field is read by something: a misspelt one would silently be absent.
absl::Status CheckFields(const RunFlags& flags, const std::vector<Operator>& operators);
absl::StatusOr<JobOptions> MakeJobOptions(const RunFlags& flags);
// `ends`: as KafkaSourceOptions::ends.
absl::StatusOr<std::unique_ptr<Source>> MakeSource(const RunFlags& flags, const ColumnPlan& plan,
                                                   const std::vector<PartitionPosition>& ends = {});

// What makes the job this job: name and value, in the words of the flags. Holds no secrets.
std::vector<std::pair<std::string, std::string>> DescribeJob(const RunFlags& flags);

// What `weir run` with these flags would do, in lines of text: `weir explain`, and `-v`.
absl::StatusOr<std::string> ExplainJob(const RunFlags& flags);

// Table, key and value columns by operator.
std::vector<OperatorColumns> OutputColumns(const RunFlags& flags, const std::vector<Operator>& operators);

// Prefetch queue of a Kafka source, in bytes, for the memory budget.
size_t QueueBytes(const RunFlags& flags);

}  // namespace weir

#endif  // WEIR_APPS_JOB_SETUP_H_
