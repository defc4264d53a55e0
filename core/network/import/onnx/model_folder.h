// The files of one model's folder, and none outside of it: a name from a file cannot
// lead elsewhere, through "..", links of either kind, or an absolute path.
//
// Thread-safe.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_MODEL_FOLDER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_MODEL_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace gruserve {

class ModelFolder {
 public:
  explicit ModelFolder(std::filesystem::path path) : path_(std::move(path)) {}

  // Bytes [offset, offset + length) of a file; without a length, up to its end.
  // NotFound, FailedPrecondition for what is no plain file of this folder,
  // InvalidArgument where it is shorter. `what` begins the message.
  absl::StatusOr<std::string> Read(const std::string& what, const std::string& file, uint64_t offset = 0,
                                   std::optional<uint64_t> length = std::nullopt) const;

 private:
  const std::filesystem::path path_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_MODEL_FOLDER_H_
