#include "server/polling_threads.h"

#include <grpc/support/cpu.h>

#include <algorithm>

#include "absl/time/time.h"
#include "core/base/log.h"
#include "core/runtime/usable_processors.h"
#include "server/poller_call.h"

namespace gruserve::server {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(2);

// As gRPC computes it (completion_queue_cc.cc).
int ThreadsOfGrpc() { return std::clamp(static_cast<int>(gpr_cpu_num_cores()) / 2, 2, 16); }

}  // namespace

// What one of them does, until `release`. The destructor waits for that.
class PollingThreads::Wait {
 public:
  // Null: it does nothing, and goes on.
  explicit Wait(const absl::Notification* release)
      : call_([this, release] {
          begun_.Notify();
          if (release != nullptr) release->WaitForNotification();
        }) {
    call_.Start();
  }

  // Whether a thread came for it, in time.
  bool Begins() const { return begun_.WaitForNotificationWithTimeout(kPatience); }

 private:
  absl::Notification begun_;
  PollerCall call_;
};

PollingThreads::PollingThreads(int wanted) {
  const int polling = wanted > 0 ? wanted : std::max(1, UsableProcessors() / 4);
  bool held = true;
  for (int i = polling; held && i < ThreadsOfGrpc(); ++i) {
    waits_.push_back(std::make_unique<Wait>(&release_));
    held = waits_.back()->Begins();
  }
  const Wait probe(nullptr);
  if (held && probe.Begins()) return;
  Log(LogLevel::kWarning, "gRPC has fewer polling threads than expected: all are left polling");
  Release();
}

PollingThreads::~PollingThreads() { Release(); }

void PollingThreads::Release() {
  if (!release_.HasBeenNotified()) release_.Notify();
  waits_.clear();
}

}  // namespace gruserve::server
