// What the server counts and measures, as Prometheus reads it.
//
// Thread-safe; recording takes no lock of ours.

#ifndef GRUSERVE_SERVER_METRICS_H_
#define GRUSERVE_SERVER_METRICS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/durability/store_writer.h"
#include "core/runtime/model_repository.h"
#include "core/session/session_table.h"

namespace gruserve::server {

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // One RPC ended. `method` is one of ours: a name, not what a client sent.
  void CountRpc(const std::string& method, absl::StatusCode code, absl::Duration took);
  // One operation of a session ended, `took` after it had been received.
  void CountSteps(int64_t time_steps, absl::StatusCode code, absl::Duration took);
  // One whole sequence ended.
  void CountSequence(int64_t row_steps, absl::Duration took);
  // One batch of steps ran.
  void CountBatch(int64_t rows, absl::Duration waited, absl::Duration ran);
  // A stream stopped reading because its reader owes too much.
  void CountReadPause();

  // Everything, in Prometheus' text format; `store` where there is one.
  std::string Text(const SessionTable::Counters& sessions, const std::vector<ModelStatus>& models,
                   const ModelRepository::Counters& repository,
                   const std::optional<StoreWriter::Counters>& store) const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_METRICS_H_
