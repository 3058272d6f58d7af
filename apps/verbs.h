// apps/verbs.h: the verbs of the `weir` command, one file each. argv[0] is the verb; the result is the exit
// code.
#ifndef WEIR_APPS_VERBS_H_
#define WEIR_APPS_VERBS_H_

#include <cstdio>
#include <string>

#include "absl/status/status.h"

namespace weir {

int CmdRun(int argc, char** argv);
int CmdDemo(int argc, char** argv);
int CmdQuery(int argc, char** argv);
int CmdOperators(int argc, char** argv);
int CmdExplain(int argc, char** argv);
int CmdGenerate(int argc, char** argv);
int CmdProduce(int argc, char** argv);
int CmdVerify(int argc, char** argv);
int CmdVersion(int argc, char** argv);

// docs/reference.md, section 1: exit codes.
inline int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
      return 2;
    case absl::StatusCode::kDataLoss:
      return 3;
    case absl::StatusCode::kOutOfRange:
      return 4;
    case absl::StatusCode::kDeadlineExceeded:
      return 5;
    case absl::StatusCode::kNotFound:
      return 66;
    case absl::StatusCode::kUnavailable:
      return 69;
    case absl::StatusCode::kInternal:
      return 70;
    case absl::StatusCode::kAborted:
      return 75;
    case absl::StatusCode::kFailedPrecondition:
      return 78;
    default:
      return 74;  // the results file
  }
}

// Says on stderr what went wrong, control characters made visible; returns the exit code.
int Fail(const absl::Status& status);

// Prints what was asked for on stdout; returns the exit code, 74 when not all of it could be written.
int PrintAll(std::string_view text);

}  // namespace weir

#endif  // WEIR_APPS_VERBS_H_
