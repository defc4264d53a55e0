// ONNX Runtime, opened at run time, and a GRU model in it.

#ifndef GRUSERVE_TESTS_BENCH_ORT_MODEL_H_
#define GRUSERVE_TESTS_BENCH_ORT_MODEL_H_

#include <onnxruntime_c_api.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gruserve::bench {

// Constant after construction, so thread-safe; lives as long as the process.
class OrtRuntime {
 public:
  // Throws std::runtime_error where `library` is no ONNX Runtime that knows our header's version.
  OrtRuntime(const std::string& library, int threads);
  OrtRuntime(const OrtRuntime&) = delete;
  OrtRuntime& operator=(const OrtRuntime&) = delete;

  const OrtApi& api() const { return *api_; }
  OrtEnv* env() const { return env_; }
  const OrtSessionOptions* options() const { return options_; }
  // Throws std::runtime_error where `status` is a failure.
  void Check(OrtStatus* status) const;
  // A tensor over `data`, which must outlive it.
  OrtValue* MakeTensor(float* data, const std::vector<int64_t>& shape) const;

 private:
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtSessionOptions* options_ = nullptr;
};

// A graph with the inputs `input` [T, B, I] and `h_0` [L, B, H], and the outputs
// `output` [T, B, H] and `h_n` [L, B, H]. Thread-safe.
class OrtModel {
 public:
  // Throws std::runtime_error. REQUIRES: `runtime` outlives the model.
  OrtModel(const OrtRuntime* runtime, const std::string& file);
  OrtModel(const OrtModel&) = delete;
  OrtModel& operator=(const OrtModel&) = delete;
  ~OrtModel() { runtime_->api().ReleaseSession(session_); }

  const OrtRuntime& runtime() const { return *runtime_; }
  int64_t layers() const { return layers_; }
  int64_t hidden_size() const { return hidden_size_; }

  // `inputs` are input and h_0, `outputs` output and h_n.
  void Run(const std::array<const OrtValue*, 2>& inputs, std::array<OrtValue*, 2> outputs) const;

 private:
  const OrtRuntime* const runtime_;
  OrtSession* session_ = nullptr;
  int64_t layers_ = 0;
  int64_t hidden_size_ = 0;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_ORT_MODEL_H_
