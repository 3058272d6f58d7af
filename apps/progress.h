// apps/progress.h: what a run says on stderr: one status line on a terminal, a summary at the end.
#ifndef WEIR_APPS_PROGRESS_H_
#define WEIR_APPS_PROGRESS_H_

#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "apps/run_flags.h"
#include "engine/runtime/job.h"

namespace weir {

// Thread: any; lines do not mix.
class Progress {
 public:
  explicit Progress(const RunFlags& flags);
  ~Progress() { Clear(); }

  // Renews the status line, at most four times a second.
  void Update(const JobReport& report);
  // A line for the user, above the status line. Control characters are made visible.
  void Note(const std::string& text);
  void Clear();
  // Clears the status line, and keeps it away while the result lives.
  std::unique_lock<std::mutex> GiveWay();

  // At most five lines. `stopped`: by a signal.
  static std::string Summary(const JobReport& report, const RunFlags& flags, bool stopped);
  static std::string StatusLine(const JobReport& report, double records_per_second);

 private:
  std::mutex mutex_;
  bool line_ = false;      // show a status line
  bool terminal_ = false;  // renew it in place
  bool shown_ = false;
  absl::Time last_;
  int64_t last_records_ = 0;
};

}  // namespace weir

#endif  // WEIR_APPS_PROGRESS_H_
