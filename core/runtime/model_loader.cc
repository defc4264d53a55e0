#include "core/runtime/model_loader.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/import/state_dict_importer.h"
#include "core/network/import/model_config_reader.h"
#include "core/network/import/onnx/model_folder.h"
#include "core/network/import/onnx/onnx_importer.h"
#include "core/network/import/onnx/onnx_reader.h"
#include "core/network/import/pipeline_importer.h"

namespace gruserve {
namespace {

constexpr const char* kSafetensors = "model.safetensors";
constexpr const char* kOnnx = "model.onnx";
constexpr const char* kConfig = "model.json";

// Of one part after another.
absl::StatusOr<std::string> Sha256Hex(const std::vector<std::span<const char>>& parts) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const std::span<const char> part : parts)
    good = good && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  good = good && EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1;
  if (!good) return absl::InternalError("SHA-256 of the weights failed");
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

// Whether steps of both run the same arithmetic on other numbers.
bool SameShape(const Network& one, const Network& other) {
  const auto same = [](const NetworkModule& a, const NetworkModule& b) {
    return a.kind == b.kind && a.output_size == b.output_size;
  };
  return one.input_size() == other.input_size() && one.output_size() == other.output_size() &&
         one.state_size() == other.state_size() && one.cells_per_step() == other.cells_per_step() &&
         one.parameter_count() == other.parameter_count() &&
         one.kernel_fingerprint() == other.kernel_fingerprint() &&
         one.not_steppable() == other.not_steppable() &&
         std::equal(one.modules().begin(), one.modules().end(), other.modules().begin(),
                    other.modules().end(), same);
}

struct Loaded {
  std::string weights_sha256;
  std::shared_ptr<const Network> network;
};

absl::StatusOr<Loaded> LoadSafetensors(const std::filesystem::path& folder, const ModelConfig& config,
                                       ComputeDtype dtype) {
  if (config.linear_before_reset.has_value())
    return absl::InvalidArgumentError(
        "model.json: linear_before_reset is there, expected it beside a model.onnx only");
  Loaded loaded;
  GRUSERVE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Read(folder / kSafetensors));
  GRUSERVE_ASSIGN_OR_RETURN(loaded.weights_sha256, Sha256Hex({file.contents()}));
  GRUSERVE_ASSIGN_OR_RETURN(loaded.network, LoadStateDict(config, file, dtype));
  return loaded;
}

absl::StatusOr<Loaded> LoadOnnx(const std::filesystem::path& folder, const ModelConfig& config,
                                ComputeDtype dtype) {
  if (!config.modules.empty())
    return absl::InvalidArgumentError(
        "model.json: modules is there, expected it beside a model.safetensors only: an ONNX file says it "
        "all");
  Loaded loaded;
  Graph graph;
  {
    const ModelFolder files(folder);
    GRUSERVE_ASSIGN_OR_RETURN(const std::string bytes, files.Read(kOnnx, kOnnx));
    GRUSERVE_ASSIGN_OR_RETURN(const OnnxModel model, ParseOnnx(bytes, &files));
    // Weights outside of the file are part of what the model is.
    std::vector<std::span<const char>> parts = {bytes};
    for (const OnnxTensorPtr& tensor : model.external) {
      parts.emplace_back(reinterpret_cast<const char*>(tensor->floats.data()),
                         tensor->floats.size() * sizeof(float));
      parts.emplace_back(reinterpret_cast<const char*>(tensor->ints.data()),
                         tensor->ints.size() * sizeof(int64_t));
    }
    GRUSERVE_ASSIGN_OR_RETURN(loaded.weights_sha256, Sha256Hex(parts));
    GRUSERVE_ASSIGN_OR_RETURN(
        graph, ImportOnnx(model, {.reset_before_confirmed = config.linear_before_reset == false}));
  }
  GRUSERVE_ASSIGN_OR_RETURN(loaded.network, Network::Create(std::move(graph), dtype));
  return loaded;
}

}  // namespace

absl::StatusOr<ModelHandle> LoadModel(const std::filesystem::path& folder, const std::string& name,
                                      int64_t version, int num_workers, ComputeDtype compute_dtype,
                                      const LoadedModel* like) {
  GRUSERVE_RETURN_IF_ERROR(CheckFiles(folder));
  GRUSERVE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(folder / kConfig));
  const ComputeDtype dtype = config.compute_dtype.value_or(compute_dtype);
  std::error_code ignored;
  const bool is_onnx = std::filesystem::exists(folder / kOnnx, ignored);
  GRUSERVE_ASSIGN_OR_RETURN(
      Loaded loaded, is_onnx ? LoadOnnx(folder, config, dtype) : LoadSafetensors(folder, config, dtype));
  std::optional<StepCosts> costs;
  if (like != nullptr && SameShape(like->network(), *loaded.network)) costs = like->step_costs();
  return LoadedModel::Create(name, version, std::move(loaded.weights_sha256), std::move(loaded.network),
                             num_workers, std::move(costs));
}

}  // namespace gruserve
