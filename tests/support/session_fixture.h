// A SessionTable on a fake clock and a hand-cranked executor, and short ways to
// drive its sessions.

#ifndef GRUSERVE_TESTS_SUPPORT_SESSION_FIXTURE_H_
#define GRUSERVE_TESTS_SUPPORT_SESSION_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/session/session_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/hand_cranked_executor.h"
#include "tests/support/loaded_models.h"
#include "tests/support/recording_sink.h"

namespace gruserve {

inline SessionOp StepOp(std::vector<float> input, int64_t time_steps = 1, int64_t index = 0) {
  SessionOp op;
  op.values = std::move(input);
  op.time_steps = time_steps;
  op.index = index;
  return op;
}

inline SessionOp SetStateOp(std::vector<float> values = {}, int64_t index = 0) {
  SessionOp op;
  op.kind = SessionOpKind::kSetState;
  op.values = std::move(values);
  op.index = index;
  return op;
}

inline SessionOp RewindOp(int64_t rewind_to, int64_t index = 0) {
  SessionOp op = SetStateOp({}, index);
  op.rewind_to = rewind_to;
  return op;
}

inline SessionOp CloseOp() {
  SessionOp op;
  op.kind = SessionOpKind::kClose;
  return op;
}

class SessionFixture : public ::testing::Test {
 protected:
  // The model that the tests share: I 3, H 5, 2 layers.
  static const LoadedRandomModel& demo() {
    static const auto* const model =
        new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2});
    return *model;
  }

  void SetUp() override { MakeTable({}); }
  void MakeTable(const SessionTable::Options& options) {
    table_ = std::make_unique<SessionTable>(options, &executor_, &clock_);
  }

  // Options of a session `id` that `sink` holds; null: nobody.
  static OpenSessionOptions Options(const std::string& id,
                                    const std::shared_ptr<RecordingSink>& sink = nullptr,
                                    OpenMode mode = OpenMode::kCreate) {
    OpenSessionOptions options;
    options.id = id;
    options.mode = mode;
    options.model = mode == OpenMode::kResume ? nullptr : demo().handle();
    options.attachment.sink = sink;
    options.attachment.handle = 7;
    return options;
  }
  std::shared_ptr<Session> Open(OpenSessionOptions options) {
    auto session = table_->Open(std::move(options));
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? *session : nullptr;
  }
  std::shared_ptr<Session> Open(const std::string& id, const std::shared_ptr<RecordingSink>& sink) {
    return Open(Options(id, sink));
  }
  absl::Status OpenError(OpenSessionOptions options) { return table_->Open(std::move(options)).status(); }

  // `count` steps of input, different at every call.
  std::vector<float> Input(int64_t count = 1, int64_t rows = 1) {
    std::vector<float> input(static_cast<size_t>(count * rows * demo().config().input_size));
    for (float& value : input) value = static_cast<float>((++inputs_ * 37) % 101) / 50.0f - 1.0f;
    return input;
  }
  // Submits `op` and runs all that waits; answers its result.
  SessionOpResult Run(Session& session, SessionOp op, const std::shared_ptr<RecordingSink>& sink) {
    const size_t before = sink->results().size();
    session.Submit(std::move(op), sink);
    executor_.RunAll();
    EXPECT_GT(sink->results().size(), before);
    return sink->last();
  }

  // A refusal, which carries no values.
  static void ExpectError(const SessionOpResult& result, absl::StatusCode code, SessionErrorReason reason,
                          int64_t expected_step, const std::string& text = "") {
    EXPECT_EQ(result.status.code(), code) << result.status;
    EXPECT_EQ(result.reason, reason);
    EXPECT_EQ(result.expected_step, expected_step);
    EXPECT_THAT(std::string(result.status.message()), ::testing::HasSubstr(text));
    EXPECT_THAT(result.output, ::testing::IsEmpty());
    EXPECT_THAT(result.state, ::testing::IsEmpty());
  }

  FakeClock clock_;
  HandCrankedExecutor executor_{&clock_};
  std::unique_ptr<SessionTable> table_;
  const std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  int64_t inputs_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_SESSION_FIXTURE_H_
