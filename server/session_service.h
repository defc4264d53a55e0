// gruserve.v1.SessionService: the sessions of StreamSteps, from outside of a
// stream. Thread-safe.

#ifndef GRUSERVE_SERVER_SESSION_SERVICE_H_
#define GRUSERVE_SERVER_SESSION_SERVICE_H_

#include "gruserve/v1/session_service.grpc.pb.h"
#include "server/backend.h"

namespace gruserve::server {

class SessionService final : public v1::SessionService::CallbackService {
 public:
  // A longer page is cut to this.
  static constexpr int kMaxPageSize = 1000;

  explicit SessionService(const Backend* backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* GetSession(grpc::CallbackServerContext* context,
                                       const v1::GetSessionRequest* request,
                                       v1::GetSessionResponse* response) override;
  grpc::ServerUnaryReactor* ListSessions(grpc::CallbackServerContext* context,
                                         const v1::ListSessionsRequest* request,
                                         v1::ListSessionsResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context,
                                         const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse* response) override;
  grpc::ServerUnaryReactor* EvictSession(grpc::CallbackServerContext* context,
                                         const v1::EvictSessionRequest* request,
                                         v1::EvictSessionResponse* response) override;
  grpc::ServerUnaryReactor* ExportSession(grpc::CallbackServerContext* context,
                                          const v1::ExportSessionRequest* request,
                                          v1::ExportSessionResponse* response) override;
  grpc::ServerUnaryReactor* ImportSession(grpc::CallbackServerContext* context,
                                          const v1::ImportSessionRequest* request,
                                          v1::ImportSessionResponse* response) override;
  grpc::ServerUnaryReactor* ForkSession(grpc::CallbackServerContext* context,
                                        const v1::ForkSessionRequest* request,
                                        v1::ForkSessionResponse* response) override;

 private:
  const Backend* const backend_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SESSION_SERVICE_H_
