// What grpc.health.v1 says about this server, name by name.

#ifndef GRUSERVE_SERVER_HEALTH_H_
#define GRUSERVE_SERVER_HEALTH_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
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
  void SetReady(const std::vector<ModelStatus>& models) ABSL_LOCKS_EXCLUDED(mu_);
  // The versions of `name`, which changed, are among `models`.
  void SetModel(const std::string& name, const std::vector<ModelStatus>& models) ABSL_LOCKS_EXCLUDED(mu_);
  // Shutting down, for good: all but startup and liveness are NOT_SERVING.
  void SetDraining(const std::vector<ModelStatus>& models) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void SetServices(bool serving) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  grpc::HealthCheckServiceInterface* const service_;

  absl::Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_HEALTH_H_
