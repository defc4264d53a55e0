// What every service works with. Owned by Server, which outlives its services.

#ifndef GRUSERVE_SERVER_BACKEND_H_
#define GRUSERVE_SERVER_BACKEND_H_

#include <cstdint>

#include "core/base/clock.h"
#include "core/durability/session_opener.h"
#include "core/runtime/executor.h"
#include "core/runtime/model_repository.h"
#include "core/session/session_table.h"
#include "core/store/checkpoint_seal.h"
#include "server/call_gate.h"
#include "server/call_observer.h"
#include "server/metrics.h"
#include "server/session_codec.h"

namespace gruserve::server {

class StreamRegistry;
class Tenants;

// Each pointee is thread-safe.
struct Backend {
  ModelRepository* models = nullptr;
  SessionTable* sessions = nullptr;
  SessionOpener* opener = nullptr;
  const CheckpointSeal* seal = nullptr;
  Executor* executor = nullptr;
  Clock* clock = nullptr;
  Metrics* metrics = nullptr;
  CallObserver* observer = nullptr;
  CallGate* gate = nullptr;
  StreamRegistry* streams = nullptr;
  Tenants* tenants = nullptr;

  // Bytes of results and of what lies between layers, a call.
  int64_t max_result_bytes = int64_t{64} << 20;
  // A stream reads on while it owes its reader no more than this.
  int64_t max_owed_bytes = int64_t{1} << 20;
  StepLimits step_limits;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_BACKEND_H_
