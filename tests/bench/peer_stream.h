// StreamSteps as the servers that we compare with have it: sessions are the
// stream's own, and every step is answered by the thread that read it.

#ifndef GRUSERVE_TESTS_BENCH_PEER_STREAM_H_
#define GRUSERVE_TESTS_BENCH_PEER_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gruserve/v1/inference_service.grpc.pb.h"

namespace gruserve::bench {

// One session's state. Not thread-safe: its stream's reading thread owns it.
class PeerSession {
 public:
  virtual ~PeerSession() = default;
  virtual void Step(const v1::StepInput& step, v1::StepOutput* output) = 0;
};

// What a peer does behind its transport. Thread-safe.
class PeerBackend {
 public:
  virtual ~PeerBackend() = default;
  // Null where there is no such model.
  virtual std::unique_ptr<PeerSession> OpenSession(const std::string& model) = 0;
  virtual grpc::Status InferSequence(const v1::InferSequenceRequest& request,
                                     v1::InferSequenceResponse* response) = 0;
};

// Deletes itself when gRPC is done with it. Reads the next message while the
// answer to the last is written.
class PeerStream final : public grpc::ServerBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse> {
 public:
  // REQUIRES: `backend` outlives the stream.
  explicit PeerStream(PeerBackend* backend);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override { delete this; }

 private:
  static constexpr size_t kResponses = 2;

  void Answer(const v1::SessionCommand& command, v1::SessionEvent* event);
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  PeerBackend* const backend_;
  // The reading thread's.
  v1::StreamStepsRequest request_;
  std::unordered_map<uint32_t, std::unique_ptr<PeerSession>> sessions_;

  absl::Mutex mu_;
  // A ring; those from first_ on, ready_ of them, wait to be written or are being.
  std::array<v1::StreamStepsResponse, kResponses> responses_;
  size_t first_ ABSL_GUARDED_BY(mu_) = 0;
  size_t ready_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = true;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;  // Nothing more to read.
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_PEER_STREAM_H_
