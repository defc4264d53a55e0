// A function of oneDNN's, of each of some numbers, in place.
//
// Not thread-safe. Make and run it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_IN_PLACE_FUNCTION_H_
#define GRUSERVE_CORE_ENGINE_IN_PLACE_FUNCTION_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "core/engine/dnnl_compat.h"

namespace gruserve {

class InPlaceFunction {
 public:
  InPlaceFunction() = default;
  // Of `count` numbers. May throw dnnl::error.
  InPlaceFunction(dnnl::algorithm algorithm, int64_t count);
  // The same for another thread: what takes long to make is shared. May throw dnnl::error.
  InPlaceFunction Again() const;

  InPlaceFunction(InPlaceFunction&&) noexcept = default;
  InPlaceFunction& operator=(InPlaceFunction&&) noexcept = default;

  // Internal where oneDNN fails.
  absl::Status Apply(float* numbers);

 private:
  InPlaceFunction(dnnl::primitive primitive, const dnnl::memory::desc& numbers);

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  dnnl::memory memory_;
  std::array<dnnl_exec_arg_t, 2> args_{};
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_IN_PLACE_FUNCTION_H_
