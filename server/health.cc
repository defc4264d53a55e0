#include "server/health.h"

#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <map>
#include <string>

namespace gruserve::server {

Health::Health(grpc::HealthCheckServiceInterface* service) : service_(service) {
  const absl::MutexLock lock(&mu_);
  SetServices(false);
  service_->SetServingStatus("startup", false);
  service_->SetServingStatus("liveness", true);
}

void Health::SetReady(const std::vector<ModelStatus>& models) {
  const absl::MutexLock lock(&mu_);
  if (draining_) return;
  std::map<std::string, bool> serving;
  for (const ModelStatus& model : models) serving[model.name] |= model.state == ModelState::kReady;
  for (const auto& [name, ready] : serving) service_->SetServingStatus("model/" + name, ready);
  SetServices(true);
  service_->SetServingStatus("startup", true);
}

void Health::SetModel(const std::string& name, const std::vector<ModelStatus>& models) {
  const absl::MutexLock lock(&mu_);
  if (draining_) return;
  const bool ready = std::any_of(models.begin(), models.end(), [&name](const ModelStatus& model) {
    return model.name == name && model.state == ModelState::kReady;
  });
  service_->SetServingStatus("model/" + name, ready);
}

void Health::SetDraining(const std::vector<ModelStatus>& models) {
  const absl::MutexLock lock(&mu_);
  draining_ = true;
  SetServices(false);
  for (const ModelStatus& model : models) service_->SetServingStatus("model/" + model.name, false);
}

void Health::SetServices(bool serving) {
  for (const char* name :
       {"", "gruserve.v1.InferenceService", "gruserve.v1.SessionService", "gruserve.v1.ModelService"}) {
    service_->SetServingStatus(name, serving);
  }
}

}  // namespace gruserve::server
