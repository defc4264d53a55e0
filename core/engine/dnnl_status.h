// Turns oneDNN's two ways to fail into Status. The only catch in the house.

#ifndef GRUSERVE_CORE_ENGINE_DNNL_STATUS_H_
#define GRUSERVE_CORE_ENGINE_DNNL_STATUS_H_

#include <oneapi/dnnl/dnnl_types.h>

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace gruserve {

// Runs `action`; a dnnl::error becomes Internal: what was done, and why it failed.
absl::Status CatchDnnlError(const std::string& doing, const std::function<void()>& action);

// The same for an answer of oneDNN's C API.
absl::Status FromDnnlStatus(const char* doing, dnnl_status_t status);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_DNNL_STATUS_H_
