// Short ways to call a session store about one session, `a`. Thread-safe: no state.

#ifndef GRUSERVE_TESTS_CORE_STORE_STORE_CALLS_H_
#define GRUSERVE_TESTS_CORE_STORE_STORE_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/store/session_store.h"

namespace gruserve {

inline Checkpoint At(int64_t step, size_t size = 16) {
  Checkpoint checkpoint;
  checkpoint.model_name = "demo";
  checkpoint.step = step;
  checkpoint.state_shapes = {{"h", {static_cast<int64_t>(size)}}};
  checkpoint.state.assign(size, static_cast<float>(step));
  return checkpoint;
}

inline Acquired Acquire(SessionStore& store, AcquireMode mode, const std::string& owner) {
  return store.Acquire({"a", mode, owner, EncodeCheckpoint(At(0)), 0});
}
inline StorePut PutOf(uint64_t epoch, const std::string& owner, int64_t step, bool recreate = false) {
  StorePut put{{"a", epoch, owner}, step, EncodeCheckpoint(At(step))};
  put.recreate = recreate;
  return put;
}
inline StoreResult Put(SessionStore& store, const StorePut& put) { return store.PutBatch({&put, 1}).at(0); }

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_STORE_STORE_CALLS_H_
