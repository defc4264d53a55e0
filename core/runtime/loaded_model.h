// One version of a model, ready to run: what it is, one replica a worker, and
// the slab that its sessions' states live in.
//
// Handed out as a ModelHandle; unloading waits for the last one, so weights
// never change under a sequence. Thread-safe, except `replica(i)`, which
// belongs to worker i alone.

#ifndef GRUSERVE_CORE_RUNTIME_LOADED_MODEL_H_
#define GRUSERVE_CORE_RUNTIME_LOADED_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/network/network.h"
#include "core/network/network_replica.h"
#include "core/runtime/state_slab.h"
#include "core/runtime/step_costs.h"

namespace gruserve {

class LoadedModel {
 public:
  // Makes `num_workers` replicas of `network`, runs each once, so that no session's first
  // step has to, and measures what its steps cost unless that is given, as a test must
  // that is not to depend on a clock. Internal where oneDNN fails.
  static absl::StatusOr<std::shared_ptr<const LoadedModel>> Create(
      std::string name, int64_t version, std::string weights_sha256, std::shared_ptr<const Network> network,
      int num_workers, std::optional<StepCosts> step_costs = std::nullopt);

  const std::string& name() const { return name_; }
  int64_t version() const { return version_; }
  // SHA-256 of the weights file, hex.
  const std::string& weights_sha256() const { return weights_sha256_; }
  const Network& network() const { return *network_; }
  const std::shared_ptr<const Network>& shared_network() const { return network_; }
  // REQUIRES: it is one GRU and nothing else, network().bare() != nullptr.
  const GruConfig& config() const { return network_->bare_config(); }
  NetworkReplica& replica(int worker) const { return *replicas_[static_cast<size_t>(worker)]; }
  StateSlab& slab() const { return *slab_; }
  // Memory of its weights, as 32-bit floats.
  int64_t weight_bytes() const { return network_->parameter_count() * static_cast<int64_t>(sizeof(float)); }
  // As given, or measured when it was loaded.
  const StepCosts& step_costs() const { return step_costs_; }
  // Whether two idle workers do a step of one row sooner than one (SharedStep).
  bool shares_lone_step() const { return shares_lone_step_; }

 private:
  LoadedModel() = default;

  std::string name_;
  int64_t version_ = 0;
  std::string weights_sha256_;
  std::shared_ptr<const Network> network_;
  std::vector<std::unique_ptr<NetworkReplica>> replicas_;
  std::unique_ptr<StateSlab> slab_;
  StepCosts step_costs_;
  bool shares_lone_step_ = false;
};

using ModelHandle = std::shared_ptr<const LoadedModel>;

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_LOADED_MODEL_H_
