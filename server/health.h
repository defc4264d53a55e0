// What grpc.health.v1 says about this server, name by name.

#ifndef GRUSERVE_SERVER_HEALTH_H_
#define GRUSERVE_SERVER_HEALTH_H_

#include <vector>

#include "core/runtime/model_repository.h"

namespace grpc {
class HealthCheckServiceInterface;
}  // namespace grpc

namespace gruserve::server {

// Thread-safe. The names:
//   ""                            the server as a whole
//   gruserve.v1.InferenceService  the same (and the other services)
//   startup                       SERVING from the first readiness on
//   liveness                      SERVING while the process answers
//   model/NAME                    a version of it is READY
// A failed model does not make "" NOT_SERVING.
class Health {
 public:
  // Alive, not ready. REQUIRES: `service` outlives this.
  explicit Health(grpc::HealthCheckServiceInterface* service);

  // Every model is READY or FAILED.
  void SetReady(const std::vector<ModelStatus>& models);
  // Shutting down: all but startup and liveness are NOT_SERVING.
  void SetDraining(const std::vector<ModelStatus>& models);

 private:
  void SetServices(bool serving);

  grpc::HealthCheckServiceInterface* const service_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_HEALTH_H_
