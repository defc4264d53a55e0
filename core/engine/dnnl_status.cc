#include "core/engine/dnnl_status.h"

#include <oneapi/dnnl/dnnl_debug.h>

#include <oneapi/dnnl/dnnl.hpp>

#include "absl/strings/str_cat.h"

namespace gruserve {

absl::Status CatchDnnlError(const std::string& doing, const std::function<void()>& action) {
  try {
    action();
  } catch (const dnnl::error& error) {
    return absl::InternalError(
        absl::StrCat(doing, ": ", error.what(), " (oneDNN says ", dnnl_status2str(error.status), ")"));
  }
  return absl::OkStatus();
}

absl::Status FromDnnlStatus(const char* doing, dnnl_status_t status) {
  if (status == dnnl_success) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(doing, ": oneDNN says ", dnnl_status2str(status)));
}

}  // namespace gruserve
