#include "core/store/session_store.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace gruserve {

const char* Name(StoreOutcome outcome) {
  switch (outcome) {
    case StoreOutcome::kOk:
      return "OK";
    case StoreOutcome::kExists:
      return "EXISTS";
    case StoreOutcome::kAbsent:
      return "ABSENT";
    case StoreOutcome::kFenced:
      return "FENCED";
    case StoreOutcome::kStale:
      return "STALE";
    case StoreOutcome::kDamaged:
      return "DAMAGED";
    case StoreOutcome::kUnavailable:
      return "UNAVAILABLE";
  }
  return "?";
}

const char* Name(DurabilityClass durability) {
  switch (durability) {
    case DurabilityClass::kMemory:
      return "memory";
    case DurabilityClass::kProcessCrash:
      return "process crash";
    case DurabilityClass::kPowerLoss:
      return "power loss";
  }
  return "?";
}

void ChooseCheckpoint(const std::string& newest, const std::string& previous, Acquired* acquired) {
  absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(newest);
  if (!decoded.ok() && !previous.empty()) {
    const std::string why(decoded.status().message());
    decoded = DecodeCheckpoint(previous);
    acquired->fell_back = decoded.ok();
    if (decoded.ok()) acquired->message = absl::StrCat("the newest checkpoint cannot be read: ", why);
  }
  if (decoded.ok()) {
    acquired->outcome = StoreOutcome::kOk;
    acquired->checkpoint = *std::move(decoded);
    return;
  }
  acquired->outcome = StoreOutcome::kDamaged;
  acquired->message = std::string(decoded.status().message());
}

}  // namespace gruserve
