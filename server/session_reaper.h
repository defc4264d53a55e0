// The thread that ends sessions which are due, and gives the memory that many
// ended sessions leave behind back to the system.
//
// Owns the thread; the destructor stops it.

#ifndef GRUSERVE_SERVER_SESSION_REAPER_H_
#define GRUSERVE_SERVER_SESSION_REAPER_H_

#include <cstdint>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/session/session_table.h"

namespace gruserve::server {

class SessionReaper {
 public:
  // A session ends at most `slack` after its time. `also` is called at each pass.
  // REQUIRES: `table` and `clock` outlive the reaper; slack > 0.
  SessionReaper(SessionTable* table, Clock* clock, absl::Duration slack,
                std::function<void()> also = nullptr);
  ~SessionReaper();

  // One pass, now; answers when the next is due. Any thread may call it.
  absl::Time Pass() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  SessionTable* const table_;
  Clock* const clock_;
  const absl::Duration slack_;
  const std::function<void()> also_;

  absl::Mutex mu_;
  absl::CondVar stop_changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  int64_t ended_at_last_trim_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SESSION_REAPER_H_
