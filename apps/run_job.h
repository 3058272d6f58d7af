// apps/run_job.h: runs the job that flags describe, in this process.
#ifndef WEIR_APPS_RUN_JOB_H_
#define WEIR_APPS_RUN_JOB_H_

#include "absl/status/status.h"
#include "apps/run_flags.h"

namespace weir {

// Keeps the signals that end a job from the threads that are made from now on: call it before making any. They wait until
// RunJob takes them.
void BlockJobSignals();

// Until the input ends, a limit is reached or a signal comes; prints rows, progress and the summary.
absl::Status RunJob(const RunFlags& flags);

}  // namespace weir

#endif  // WEIR_APPS_RUN_JOB_H_
