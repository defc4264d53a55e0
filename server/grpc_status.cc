#include "server/grpc_status.h"

#include "server/message_text.h"

namespace gruserve::server {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), MessageText(status)};
}

}  // namespace gruserve::server
