#include "client/cli/session_text.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace gruserve::client {
namespace {

const char* NameOf(Durability durability) {
  switch (durability) {
    case Durability::kAsync:
      return "async";
    case Durability::kSync:
      return "sync";
    default:
      return "none";
  }
}

}  // namespace

nlohmann::ordered_json ToJson(const SessionInfo& info) {
  return {{"session_id", info.session_id},
          {"model", info.model.name},
          {"version", info.model.version},
          {"batch_size", info.batch_size},
          {"next_step", info.next_step},
          {"durable_step", info.durable_step},
          {"durability", NameOf(info.durability)},
          {"epoch", info.epoch},
          {"attached", info.attached},
          {"bit_exact", info.bit_exact},
          {"max_inflight", info.max_inflight},
          {"queued", info.queued},
          {"last_latency_us", absl::ToInt64Microseconds(info.last_latency)},
          {"memory_bytes", info.memory_bytes},
          {"age_ms", absl::ToInt64Milliseconds(info.age)},
          {"idle_ms", absl::ToInt64Milliseconds(info.idle)}};
}

void PrintObject(const nlohmann::ordered_json& values, bool json, std::ostream* out) {
  if (json) {
    *out << values.dump() << "\n";
    return;
  }
  for (const auto& [key, value] : values.items()) {
    *out << absl::StrFormat("%-16s %s\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
}

void PrintSessions(const std::vector<SessionInfo>& sessions, bool json, std::ostream* out) {
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const SessionInfo& info : sessions) list.push_back(ToJson(info));
    *out << list.dump() << "\n";
    return;
  }
  *out << absl::StrFormat("%-34s  %-20s  %9s  %8s  %s\n", "SESSION", "MODEL", "NEXT STEP", "IDLE", "STREAM");
  for (const SessionInfo& info : sessions) {
    *out << absl::StrFormat("%-34s  %-20s  %9d  %7.1fs  %s\n", info.session_id,
                            absl::StrCat(info.model.name, "/", info.model.version), info.next_step,
                            absl::ToDoubleSeconds(info.idle), info.attached ? "attached" : "detached");
  }
}

}  // namespace gruserve::client
