// gRPC's status as ours: code and message, number for number.

#ifndef GRUSERVE_CLIENT_WIRE_GRPC_STATUS_H_
#define GRUSERVE_CLIENT_WIRE_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace gruserve::client {

inline absl::Status FromGrpcStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_GRPC_STATUS_H_
