#include "core/runtime/loaded_model.h"

#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/model/sequence_split.h"

namespace gruserve {
namespace {

// One row, and the largest batch.
absl::Status WarmUp(NetworkReplica& replica) {
  const Network& network = replica.network();
  if (!network.steppable()) return absl::OkStatus();
  const int64_t largest = replica.max_batch_size();
  AlignedBuffer input(network.input_size());
  AlignedBuffer states(largest * network.state_size());
  std::vector<StepRow> rows;
  for (int64_t i = 0; i < largest; ++i)
    rows.push_back({input.data(), states.data() + i * network.state_size(), nullptr});
  GRUSERVE_RETURN_IF_ERROR(replica.RunSteps({rows.data(), 1}));
  return replica.RunSteps(rows);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadedModel::Create(std::string name, int64_t version,
                                                                       std::string weights_sha256,
                                                                       std::shared_ptr<const Network> network,
                                                                       int num_workers,
                                                                       std::optional<StepCosts> step_costs) {
  std::shared_ptr<LoadedModel> loaded(new LoadedModel);
  for (int i = 0; i < num_workers; ++i) {
    GRUSERVE_ASSIGN_OR_RETURN(std::unique_ptr<NetworkReplica> replica, NetworkReplica::Create(network));
    GRUSERVE_RETURN_IF_ERROR(WarmUp(*replica));
    loaded->replicas_.push_back(std::move(replica));
  }
  if (!step_costs) {
    GRUSERVE_ASSIGN_OR_RETURN(step_costs, StepCosts::Measure(*loaded->replicas_.front()));
  }
  loaded->step_costs_ = *std::move(step_costs);
  loaded->shares_lone_step_ = network->bare() != nullptr && SharesLoneStep(*network->bare());
  loaded->slab_ = std::make_unique<StateSlab>(network->state_size());
  loaded->name_ = std::move(name);
  loaded->version_ = version;
  loaded->weights_sha256_ = std::move(weights_sha256);
  loaded->network_ = std::move(network);
  return loaded;
}

}  // namespace gruserve
