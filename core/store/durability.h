// What of a session outlives its server.

#ifndef GRUSERVE_CORE_STORE_DURABILITY_H_
#define GRUSERVE_CORE_STORE_DURABILITY_H_

#include <cstdint>

namespace gruserve {

// The numbers are those of a checkpoint's bytes.
enum class Durability : uint8_t {
  kNone = 1,   // Nothing: the state lives in memory.
  kAsync = 2,  // Checkpoints in the background.
  kSync = 3,   // A response is given once its step is durable.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_DURABILITY_H_
