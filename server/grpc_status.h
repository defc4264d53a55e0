// Statuses of the house as gRPC statuses. Thread-safe: no state.

#ifndef GRUSERVE_SERVER_GRPC_STATUS_H_
#define GRUSERVE_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace gruserve::server {

// The codes are equal, number for number. The message is cut: it travels in a
// trailer, whose size clients bound.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_GRPC_STATUS_H_
