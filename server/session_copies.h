// Sessions that begin as copies of others: exported, imported, forked. Thread-safe.

#ifndef GRUSERVE_SERVER_SESSION_COPIES_H_
#define GRUSERVE_SERVER_SESSION_COPIES_H_

#include <grpcpp/support/server_callback.h>

#include "gruserve/v1/session_service.pb.h"
#include "server/backend.h"

namespace gruserve::server {

// Of a fork.
constexpr int kMostForks = 64;

// Each is one RPC: the messages outlive it, and what it answers is for gRPC.
grpc::ServerUnaryReactor* StartExport(const Backend& backend, const v1::ExportSessionRequest& request,
                                      v1::ExportSessionResponse* response);
grpc::ServerUnaryReactor* StartImport(const Backend& backend, Tenant* tenant,
                                      const v1::ImportSessionRequest& request,
                                      v1::ImportSessionResponse* response);
grpc::ServerUnaryReactor* StartFork(const Backend& backend, Tenant* tenant,
                                    const v1::ForkSessionRequest& request, v1::ForkSessionResponse* response);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SESSION_COPIES_H_
