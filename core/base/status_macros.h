// The only two macros of the house: pass an error on to the caller.

#ifndef GRUSERVE_CORE_BASE_STATUS_MACROS_H_
#define GRUSERVE_CORE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define GRUSERVE_STATUS_CONCAT_INNER(a, b) a##b
#define GRUSERVE_STATUS_CONCAT(a, b) GRUSERVE_STATUS_CONCAT_INNER(a, b)

// Returns from the enclosing function where `expr` is an error.
#define GRUSERVE_RETURN_IF_ERROR(expr)                            \
  do {                                                            \
    if (absl::Status status_or_ok = (expr); !status_or_ok.ok()) { \
      return status_or_ok;                                        \
    }                                                             \
  } while (false)

// Assigns the value of the StatusOr `expr` to `lhs`, or returns its error.
#define GRUSERVE_ASSIGN_OR_RETURN(lhs, expr) \
  GRUSERVE_ASSIGN_OR_RETURN_INNER(GRUSERVE_STATUS_CONCAT(status_or_, __LINE__), lhs, expr)

#define GRUSERVE_ASSIGN_OR_RETURN_INNER(status_or, lhs, expr) \
  auto status_or = (expr);                                    \
  if (!status_or.ok()) return std::move(status_or).status();  \
  lhs = *std::move(status_or)

#endif  // GRUSERVE_CORE_BASE_STATUS_MACROS_H_
