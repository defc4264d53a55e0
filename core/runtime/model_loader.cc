#include "core/runtime/model_loader.h"

#include <openssl/evp.h>

#include <array>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/import/state_dict_importer.h"
#include "core/network/import/model_config_reader.h"
#include "core/network/import/pipeline_importer.h"

namespace gruserve {
namespace {

constexpr const char* kSafetensors = "model.safetensors";
constexpr const char* kOnnx = "model.onnx";
constexpr const char* kConfig = "model.json";

absl::StatusOr<std::string> Sha256Hex(const std::string& bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("SHA-256 of the weights failed");
  }
  return absl::BytesToHexString(std::string(reinterpret_cast<const char*>(digest.data()), size));
}

// Says what is wrong with the folder's files, before any is opened.
absl::Status CheckFiles(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto has = [&](const char* file) { return std::filesystem::exists(folder / file, ignored); };
  if (has(kSafetensors) && has(kOnnx)) {
    return absl::FailedPreconditionError(
        "model.safetensors and model.onnx are both here, expected one of them");
  }
  if (has(kOnnx)) {
    return absl::FailedPreconditionError(
        "model.onnx is a format that this version does not read: save the GRU's state_dict as "
        "model.safetensors");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Network>> LoadStateDict(const ModelConfig& config,
                                                             const SafetensorsFile& file,
                                                             ComputeDtype dtype) {
  if (config.modules.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(GruNetwork gru, ImportStateDict(file));
    gru.config.compute_dtype = dtype;
    return Network::Create(std::move(gru));
  }
  GRUSERVE_ASSIGN_OR_RETURN(Graph graph, ImportPipeline(config, file));
  return Network::Create(std::move(graph), dtype);
}

}  // namespace

absl::StatusOr<ModelHandle> LoadModel(const std::filesystem::path& folder, const std::string& name,
                                      int64_t version, int num_workers, ComputeDtype compute_dtype) {
  GRUSERVE_RETURN_IF_ERROR(CheckFiles(folder));
  GRUSERVE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(folder / kConfig));
  const ComputeDtype dtype = config.compute_dtype.value_or(compute_dtype);
  std::string weights_sha256;
  std::shared_ptr<const Network> network;
  {
    GRUSERVE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Read(folder / kSafetensors));
    GRUSERVE_ASSIGN_OR_RETURN(weights_sha256, Sha256Hex(file.contents()));
    GRUSERVE_ASSIGN_OR_RETURN(network, LoadStateDict(config, file, dtype));
  }
  return LoadedModel::Create(name, version, std::move(weights_sha256), std::move(network), num_workers);
}

}  // namespace gruserve
