#include "server/health.h"

#include <grpcpp/health_check_service_interface.h>

#include <map>
#include <string>

namespace gruserve::server {

Health::Health(grpc::HealthCheckServiceInterface* service) : service_(service) {
  SetServices(false);
  service_->SetServingStatus("startup", false);
  service_->SetServingStatus("liveness", true);
}

void Health::SetReady(const std::vector<ModelStatus>& models) {
  std::map<std::string, bool> serving;
  for (const ModelStatus& model : models) serving[model.name] |= model.state == ModelState::kReady;
  for (const auto& [name, ready] : serving) service_->SetServingStatus("model/" + name, ready);
  SetServices(true);
  service_->SetServingStatus("startup", true);
}

void Health::SetDraining(const std::vector<ModelStatus>& models) {
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
