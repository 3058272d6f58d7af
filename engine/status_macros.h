// engine/status_macros.h: passing absl::Status up, and checking our own invariants.
#ifndef WEIR_ENGINE_STATUS_MACROS_H_
#define WEIR_ENGINE_STATUS_MACROS_H_

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define WEIR_RETURN_IF_ERROR(expr)                        \
  do {                                                    \
    if (absl::Status weir_status_ = (expr); !weir_status_.ok()) return weir_status_; \
  } while (false)

#define WEIR_CONCAT_(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_(a, b)
#define WEIR_ASSIGN_OR_RETURN_(name, lhs, expr) \
  auto name = (expr);                           \
  if (!name.ok()) return std::move(name).status(); \
  lhs = std::move(name).value()
#define WEIR_ASSIGN_OR_RETURN(lhs, expr) WEIR_ASSIGN_OR_RETURN_(WEIR_CONCAT(weir_or_, __LINE__), lhs, expr)

// Kept in release builds, where going on would corrupt state: ends the process with exit code 70 before anything
// more is committed. Never for what data or a peer can cause.
#define WEIR_CHECK(condition)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      std::fprintf(stderr, "weir: internal error: %s does not hold (%s:%d); nothing was committed after it\n", \
                   #condition, __FILE__, __LINE__);                                                \
      std::_Exit(70);                                                                              \
    }                                                                                              \
  } while (false)

#endif  // WEIR_ENGINE_STATUS_MACROS_H_
