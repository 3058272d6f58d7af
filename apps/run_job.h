// apps/run_job.h: runs the job that flags describe, in this process.
#ifndef WEIR_APPS_RUN_JOB_H_
#define WEIR_APPS_RUN_JOB_H_

#include "absl/status/status.h"
#include "apps/run_flags.h"

namespace weir {

// Until the input ends, a limit is reached or a signal comes; prints rows, progress and the summary. Call it before other
// threads are made: it blocks the signals that it waits for.
absl::Status RunJob(const RunFlags& flags);

}  // namespace weir

#endif  // WEIR_APPS_RUN_JOB_H_
