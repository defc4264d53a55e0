// A SequenceQueue of two workers, whose turns take as long as the test says.

#ifndef GRUSERVE_TESTS_SUPPORT_SEQUENCE_QUEUE_FIXTURE_H_
#define GRUSERVE_TESTS_SUPPORT_SEQUENCE_QUEUE_FIXTURE_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/runtime/sequence_queue.h"
#include "gtest/gtest.h"

namespace gruserve {

class SequenceQueueFixture : public ::testing::Test {
 protected:
  SequenceQueue::Turn Take(int worker) { return queue_.Take(worker, now_); }
  std::optional<absl::Status> Finish(const SequenceQueue::Turn& turn, const absl::Status& status,
                                     bool others_are_idle = false) {
    now_ = turn.begun + turn_takes_;
    return queue_.Finish(turn, status, now_, others_are_idle);
  }
  std::optional<absl::Status> Do(const SequenceQueue::Turn& turn, bool others_are_idle = false) {
    return Finish(turn, SequenceQueue::Run(turn, 0).value(), others_are_idle);
  }

  absl::Time now_ = absl::UnixEpoch();
  absl::Duration turn_takes_ = absl::Milliseconds(1);
  SequenceQueue queue_{2};
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_SEQUENCE_QUEUE_FIXTURE_H_
