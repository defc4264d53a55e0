// bench-ort LIBRARY THREADS FOLDER PORT_FILE
//
// The peer that a good engineer writes in a day: ONNX Runtime behind the same gRPC
// stream, a session's state in the stream and bound to its tensors once, each step
// run by the thread that read it, no batching. Serves FOLDER/<model>.onnx.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/ort_model.h"
#include "tests/bench/peer_server.h"

namespace gruserve::bench {
namespace {

// Owns the values it makes over the caller's memory.
class Tensor {
 public:
  Tensor(const OrtRuntime& runtime, float* data, const std::vector<int64_t>& shape)
      : runtime_(runtime), value_(runtime.MakeTensor(data, shape)) {}
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor() { runtime_.api().ReleaseValue(value_); }
  OrtValue* value() const { return value_; }

 private:
  const OrtRuntime& runtime_;
  OrtValue* const value_;
};

class OrtSessionState final : public PeerSession {
 public:
  OrtSessionState(const OrtModel* model, int64_t input_size)
      : model_(model),
        x_(static_cast<size_t>(input_size)),
        y_(static_cast<size_t>(model->hidden_size())),
        h_{std::vector<float>(static_cast<size_t>(model->layers() * model->hidden_size())), {}} {
    h_[1] = h_[0];
    const OrtRuntime& runtime = model->runtime();
    const std::vector<int64_t> state = {model->layers(), 1, model->hidden_size()};
    x_value_ = std::make_unique<Tensor>(runtime, x_.data(), std::vector<int64_t>{1, 1, input_size});
    y_value_ = std::make_unique<Tensor>(runtime, y_.data(), std::vector<int64_t>{1, 1, model->hidden_size()});
    for (size_t i : {0, 1}) h_value_[i] = std::make_unique<Tensor>(runtime, h_[i].data(), state);
  }

  void Step(const v1::StepInput& step, v1::StepOutput* output) override {
    const std::string& raw = step.input().raw();
    std::memcpy(x_.data(), raw.data(), std::min(raw.size(), x_.size() * sizeof(float)));
    model_->Run({x_value_->value(), h_value_[0]->value()}, {y_value_->value(), h_value_[1]->value()});
    std::swap(h_value_[0], h_value_[1]);
    output->set_index(++steps_);
    output->set_gru_cell_count(model_->layers());
    output->mutable_output()->add_shape(model_->hidden_size());
    output->mutable_output()->set_raw(y_.data(), y_.size() * sizeof(float));
  }

 private:
  const OrtModel* const model_;
  int64_t steps_ = 0;
  std::vector<float> x_;
  std::vector<float> y_;
  std::array<std::vector<float>, 2> h_;  // Before and after a step, in turn.
  std::unique_ptr<Tensor> x_value_;
  std::unique_ptr<Tensor> y_value_;
  std::array<std::unique_ptr<Tensor>, 2> h_value_;
};

class OrtBackend final : public PeerBackend {
 public:
  OrtBackend(const OrtRuntime* runtime, const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".onnx") continue;
      models_[entry.path().stem()] = std::make_unique<OrtModel>(runtime, entry.path());
    }
  }

  // The models of the steps have inputs as large as their states.
  std::unique_ptr<PeerSession> OpenSession(const std::string& name) override {
    const auto model = models_.find(name);
    if (model == models_.end()) return nullptr;
    return std::make_unique<OrtSessionState>(model->second.get(), model->second->hidden_size());
  }

  grpc::Status InferSequence(const v1::InferSequenceRequest& request,
                             v1::InferSequenceResponse* response) override {
    const auto found = models_.find(request.model().name());
    if (found == models_.end()) return {grpc::StatusCode::NOT_FOUND, "no such model"};
    const OrtModel& model = *found->second;
    const v1::Tensor& input = request.input();
    const std::vector<int64_t> x_shape(input.shape().begin(), input.shape().end());
    const std::vector<int64_t> y_shape = {x_shape[0], x_shape[1], model.hidden_size()};
    const std::vector<int64_t> h_shape = {model.layers(), x_shape[1], model.hidden_size()};
    std::vector<float> h_0(static_cast<size_t>(h_shape[0] * h_shape[1] * h_shape[2]));
    float* const y = Resize(y_shape, response->mutable_output());
    float* const h_n = Resize(h_shape, response->mutable_h_n());
    const OrtRuntime& runtime = model.runtime();
    auto* const x = reinterpret_cast<float*>(const_cast<char*>(input.raw().data()));
    const Tensor x_value(runtime, x, x_shape), h_value(runtime, h_0.data(), h_shape);
    const Tensor y_value(runtime, y, y_shape), n_value(runtime, h_n, h_shape);
    model.Run({x_value.value(), h_value.value()}, {y_value.value(), n_value.value()});
    return grpc::Status::OK;
  }

 private:
  // Makes room in `tensor`; ONNX Runtime writes the answer where it is sent from.
  static float* Resize(const std::vector<int64_t>& shape, v1::Tensor* tensor) {
    size_t bytes = sizeof(float);
    for (const int64_t dim : shape) {
      tensor->add_shape(dim);
      bytes *= static_cast<size_t>(dim);
    }
    tensor->mutable_raw()->resize(bytes);
    return reinterpret_cast<float*>(tensor->mutable_raw()->data());
  }

  std::map<std::string, std::unique_ptr<OrtModel>> models_;  // Constant after construction.
};

}  // namespace
}  // namespace gruserve::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: bench-ort LIBRARY THREADS FOLDER PORT_FILE\n", stderr);
    return 2;
  }
  try {
    const gruserve::bench::OrtRuntime runtime(argv[1], std::atoi(argv[2]));
    gruserve::bench::OrtBackend backend(&runtime, argv[3]);
    return gruserve::bench::ServePeer(&backend, argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
