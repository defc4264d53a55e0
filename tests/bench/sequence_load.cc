#include "tests/bench/sequence_load.h"

#include <grpcpp/client_context.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/bench/latencies.h"
#include "tests/bench/process_meter.h"
#include "tests/bench/run_window.h"
#include "tests/bench/step_messages.h"
#include "tests/bench/window_watch.h"

namespace gruserve::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

double MeanMagnitude(const std::string& raw) {
  double sum = 0;
  for (size_t at = 0; at + sizeof(float) <= raw.size(); at += sizeof(float)) {
    float value;
    std::memcpy(&value, raw.data() + at, sizeof value);
    sum += std::fabs(value);
  }
  return raw.empty() ? 0 : sum * sizeof(float) / static_cast<double>(raw.size());
}

// Thread-safe; outlives its calls: wait for them before it goes.
class SequenceLoad {
 public:
  explicit SequenceLoad(const LoadOptions& options) : closed_loop_(options.rate <= 0) {
    for (const auto& channel : OpenChannels(options.server, options.connections)) {
      stubs_.push_back(v1::InferenceService::NewStub(channel));
    }
    request_.mutable_model()->set_name(options.model);
    *request_.mutable_input() =
        InputTensor({options.time_steps, options.batch_size, options.input_size}, /*seed=*/1);
  }

  RunWindow& window() { return window_; }

  // Connects, and keeps the size of an answer's numbers.
  void CallOnce() {
    grpc::ClientContext context;
    v1::InferSequenceResponse response;
    const grpc::Status status = stubs_[0]->InferSequence(&context, request_, &response);
    if (!status.ok()) window_.Fail("first call: " + status.error_message());
    magnitude_ = MeanMagnitude(response.output().raw());
  }

  void Call(int64_t number, int64_t due) ABSL_LOCKS_EXCLUDED(mu_) {
    auto* call = new OneCall{.number = number, .due = due, .sent = NowNanos()};
    {
      const absl::MutexLock lock(&mu_);
      ++in_flight_;
    }
    stubs_[static_cast<size_t>(number) % stubs_.size()]->async()->InferSequence(
        &call->context, &request_, &call->response,
        [this, call](const grpc::Status& status) { Done(std::unique_ptr<OneCall>(call), status); });
  }

  // Waits for the last answers.
  void Finish() ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    const auto idle = +[](int64_t* in_flight) { return *in_flight == 0; };
    if (mu_.AwaitWithTimeout(absl::Condition(idle, &in_flight_), kPatience)) return;
    window_.Fail("calls did not end in time");
    mu_.Await(absl::Condition(idle, &in_flight_));
  }

  void Report(nlohmann::json* result) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    (*result)["operations"] = done_.count();
    (*result)["latency"] = done_.Summary();
    (*result)["refused"] = refused_.Summary();
    (*result)["magnitude"] = magnitude_;
    if (!window_.fault().empty()) (*result)["fault"] = window_.fault();
  }

 private:
  struct OneCall {
    int64_t number;
    int64_t due;
    int64_t sent;
    grpc::ClientContext context;
    v1::InferSequenceResponse response;
  };

  void Done(std::unique_ptr<OneCall> call, const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mu_) {
    const int64_t now = NowNanos();
    const bool refused = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (!status.ok() && !refused) window_.Fail("call: " + status.error_message());
    if (closed_loop_ && status.ok() && !window_.IsOver(now)) Call(call->number, now);
    const absl::MutexLock lock(&mu_);
    if (window_.Contains(now) && status.ok()) done_.Add(now - call->due);
    if (window_.Contains(now) && refused) refused_.Add(now - call->sent);
    --in_flight_;
  }

  // Constant after construction and CallOnce.
  const bool closed_loop_;
  std::vector<std::unique_ptr<v1::InferenceService::Stub>> stubs_;
  v1::InferSequenceRequest request_;
  double magnitude_ = 0;

  RunWindow window_;
  absl::Mutex mu_;
  int64_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  Latencies done_ ABSL_GUARDED_BY(mu_);
  Latencies refused_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

nlohmann::json RunSequenceLoad(const LoadOptions& options) {
  SequenceLoad load(options);
  load.CallOnce();
  WindowWatch watch(options);
  watch.Begin(&load.window());
  nlohmann::json result = watch.Watch([&] {
    if (options.rate > 0) {
      Pace(options.rate, load.window(), [&](int64_t number, int64_t due) { load.Call(number, due); });
      return;
    }
    for (int64_t i = 0; i < options.concurrency; ++i) load.Call(i, NowNanos());
  });
  load.Finish();
  load.Report(&result);
  return result;
}

}  // namespace gruserve::bench
