#include "core/runtime/background_thread.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "core/base/log.h"

namespace gruserve {
namespace {

// SCHED_IDLE gives way at once to whatever else wants to run; nice 19 soon does.
void YieldToAllOthers() {
  const sched_param none{};
  if (sched_setscheduler(0, SCHED_IDLE, &none) == 0) return;
  if (setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19) == 0) return;
  Log(LogLevel::kWarning, "models load at the priority of everything else",
      {{"reason", "neither SCHED_IDLE nor nice 19 is allowed here"}});
}

}  // namespace

BackgroundThread::BackgroundThread() : thread_([this] { Run(); }) {}

BackgroundThread::~BackgroundThread() {
  {
    const absl::MutexLock lock(&mu_);
    stop_ = true;
    changed_.Signal();
  }
  thread_.join();
}

void BackgroundThread::Post(std::function<void()> work) {
  const absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
  changed_.Signal();
}

void BackgroundThread::Run() {
  YieldToAllOthers();
  while (true) {
    std::function<void()> work;
    {
      const absl::MutexLock lock(&mu_);
      while (!stop_ && queue_.empty()) changed_.Wait(&mu_);
      if (stop_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace gruserve
