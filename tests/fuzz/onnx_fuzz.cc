// Any bytes as model.onnx, up to where primitives would be made. A graph that comes out
// has passed CheckGraph; whatever does not says why.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/network/import/onnx/onnx_importer.h"
#include "core/network/import/onnx/onnx_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = gruserve::ParseOnnx(std::string(reinterpret_cast<const char*>(data), size), nullptr);
  if (!model.ok()) {
    if (model.status().message().empty()) std::abort();
    return 0;
  }
  const auto graph = gruserve::ImportOnnx(*model, {.reset_before_confirmed = true});
  if (!graph.ok() && graph.status().message().empty()) std::abort();
  return 0;
}
