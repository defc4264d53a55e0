#include "tests/bench/ort_model.h"

#include <dlfcn.h>

#include <cstddef>
#include <stdexcept>

namespace gruserve::bench {
namespace {

constexpr size_t kStateDims = 3;

}  // namespace

OrtRuntime::OrtRuntime(const std::string& library, int threads) {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(std::string("ONNX Runtime: ") + dlerror());
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) throw std::runtime_error(library + " has no OrtGetApiBase");
  api_ = get_base()->GetApi(ORT_API_VERSION);
  if (api_ == nullptr) throw std::runtime_error(library + " is older than the header");
  Check(api_->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bench", &env_));
  Check(api_->CreateSessionOptions(&options_));
  Check(api_->SetIntraOpNumThreads(options_, threads));
  Check(api_->SetInterOpNumThreads(options_, 1));
  Check(api_->SetSessionGraphOptimizationLevel(options_, ORT_ENABLE_ALL));
}

void OrtRuntime::Check(OrtStatus* status) const {
  if (status == nullptr) return;
  const std::string message = api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  throw std::runtime_error("ONNX Runtime: " + message);
}

OrtValue* OrtRuntime::MakeTensor(float* data, const std::vector<int64_t>& shape) const {
  size_t count = 1;
  for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
  OrtMemoryInfo* memory = nullptr;
  Check(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  OrtValue* value = nullptr;
  OrtStatus* const status =
      api_->CreateTensorWithDataAsOrtValue(memory, data, count * sizeof(float), shape.data(), shape.size(),
                                           ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value);
  api_->ReleaseMemoryInfo(memory);
  Check(status);
  return value;
}

OrtModel::OrtModel(const OrtRuntime* runtime, const std::string& file) : runtime_(runtime) {
  const OrtApi& api = runtime->api();
  runtime->Check(api.CreateSession(runtime->env(), file.c_str(), runtime->options(), &session_));
  OrtTypeInfo* type = nullptr;
  runtime->Check(api.SessionGetInputTypeInfo(session_, 1, &type));
  const OrtTensorTypeAndShapeInfo* shape = nullptr;
  runtime->Check(api.CastTypeInfoToTensorInfo(type, &shape));
  std::array<int64_t, kStateDims> dims = {};
  runtime->Check(api.GetDimensions(shape, dims.data(), dims.size()));
  api.ReleaseTypeInfo(type);
  layers_ = dims[0];
  hidden_size_ = dims[2];
}

void OrtModel::Run(const std::array<const OrtValue*, 2>& inputs, std::array<OrtValue*, 2> outputs) const {
  static constexpr std::array<const char*, 2> kInputs = {"input", "h_0"};
  static constexpr std::array<const char*, 2> kOutputs = {"output", "h_n"};
  runtime_->Check(runtime_->api().Run(session_, nullptr, kInputs.data(), inputs.data(), inputs.size(),
                                      kOutputs.data(), kOutputs.size(), outputs.data()));
}

}  // namespace gruserve::bench
