// One replica of a server below its transport: sessions, an executor that a test
// cranks, and a writer to a store that it may share with other replicas.

#ifndef GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_REPLICA_H_
#define GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_REPLICA_H_

#include <latch>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/durability/session_opener.h"
#include "core/durability/store_writer.h"
#include "gtest/gtest.h"
#include "tests/support/failing_store.h"
#include "tests/support/hand_cranked_executor.h"
#include "tests/support/recording_sink.h"

namespace gruserve {

class DurableReplica {
 public:
  // Nothing is written but by Flush. REQUIRES: all outlive it.
  DurableReplica(SessionStore* store, Clock* clock, SessionOpener::FindModel find_model,
                 SessionOpener::Options options = {}, absl::Duration flush_interval = absl::Hours(1))
      : executor_(clock),
        store_(store),
        writer_({.flush_interval = flush_interval, .retry_interval = absl::ZeroDuration()}, &store_, clock),
        table_(TableOptions(&writer_), &executor_, clock),
        opener_(std::move(options), &table_, std::move(find_model), &writer_) {}
  // As a process that is killed: nothing more is written.
  ~DurableReplica() { writer_.Stop(); }

  absl::StatusOr<std::shared_ptr<Session>> Open(OpenSessionOptions options) {
    absl::StatusOr<std::shared_ptr<Session>> opened;
    std::latch done(1);
    opener_.Open(std::move(options), [&](absl::StatusOr<std::shared_ptr<Session>> session) {
      opened = std::move(session);
      done.count_down();
    });
    done.wait();
    return opened;
  }
  // Submits `op` and runs all that waits.
  void Run(Session& session, SessionOp op, const std::shared_ptr<RecordingSink>& sink) {
    session.Submit(std::move(op), sink);
    executor_.RunAll();
  }
  bool Flush() { return writer_.Flush(absl::Seconds(30)); }

  FailingStore& store() { return store_; }
  StoreWriter& writer() { return writer_; }
  SessionTable& table() { return table_; }
  HandCrankedExecutor& executor() { return executor_; }

 private:
  static SessionTable::Options TableOptions(SessionKeeper* keeper) {
    SessionTable::Options options;
    options.keeper = keeper;
    return options;
  }

  HandCrankedExecutor executor_;
  FailingStore store_;
  StoreWriter writer_;
  SessionTable table_;
  SessionOpener opener_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_REPLICA_H_
