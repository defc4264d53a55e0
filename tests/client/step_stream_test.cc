#include "client/step_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/client/client_server.h"
#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StepStreamTest : public testing::Test {
 protected:
  StreamSession Open(const OpenOptions& options = {.model = "gru"}) { return stream_->Open(options).value(); }

  // The rows of `wanted` [T, 5] from `begin` to `end`.
  static std::vector<float> Part(const std::vector<float>& wanted, int64_t begin, int64_t end) {
    return {wanted.begin() + begin * 5, wanted.begin() + end * 5};
  }

  ClientServer server_;
  std::unique_ptr<StepStream> stream_ = server_.client.OpenStream();
};

TEST_F(StepStreamTest, StepsAndChunksEqualTheSequence) {
  const Tensor x = RandomTensor({9, 3}, 1);
  const std::vector<float> wanted = server_.gru.Alone(x.values);
  StreamSession session = Open();
  EXPECT_EQ(session.info().next_step, 1);
  EXPECT_GT(session.info().max_inflight, 0U);
  const auto first = session.Step(Row(x, 0));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->index, 1);
  EXPECT_THAT(first->output.shape, ElementsAre(5));
  EXPECT_EQ(first->output.values, Part(wanted, 0, 1));
  EXPECT_TRUE(first->state.shape.empty());
  const auto chunk = session.StepChunk(Slice(x, 1, 9), {.return_state = true});
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->index, 2);
  EXPECT_EQ(chunk->gru_cell_count, 16);
  EXPECT_THAT(chunk->output.shape, ElementsAre(8, 5));
  EXPECT_EQ(chunk->output.values, Part(wanted, 1, 9));
  EXPECT_THAT(chunk->state.shape, ElementsAre(2, 5));
  EXPECT_EQ(session.Close()->next_step, 10);
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(StepStreamTest, PipelinesFarBeyondTheCredits) {
  constexpr int kSteps = 1000;
  const Tensor x = RandomTensor({kSteps, 3}, 2);
  StreamSession session = Open();
  ASSERT_LT(session.info().max_inflight, 100U);
  std::vector<float> outputs;  // The stream's threads', one at a time.
  std::vector<int64_t> indexes;
  absl::Notification done;
  for (int64_t t = 0; t < kSteps; ++t) {
    session.StepAsync(Row(x, t), [&](const absl::StatusOr<StepResult>& y) {
      ASSERT_TRUE(y.ok()) << y.status();
      indexes.push_back(y->index);
      outputs.insert(outputs.end(), y->output.values.begin(), y->output.values.end());
      if (indexes.size() == kSteps) done.Notify();
    });
  }
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(60)));
  EXPECT_TRUE(std::is_sorted(indexes.begin(), indexes.end()));
  EXPECT_EQ(outputs, server_.gru.Alone(x.values));
}

TEST_F(StepStreamTest, ManyThreadsShareAStream) {
  constexpr int kSessions = 8;
  constexpr int64_t kSteps = 50;
  std::vector<std::vector<float>> outputs(kSessions);
  std::vector<std::thread> threads;
  threads.reserve(kSessions);
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([this, i, &outputs] {
      const Tensor x = RandomTensor({kSteps, 3}, static_cast<uint32_t>(100 + i));
      StreamSession session = Open();
      for (int64_t t = 0; t < kSteps; ++t) {
        const auto y = session.Step(Row(x, t));
        ASSERT_TRUE(y.ok()) << y.status();
        outputs[static_cast<size_t>(i)].insert(outputs[static_cast<size_t>(i)].end(),
                                               y->output.values.begin(), y->output.values.end());
      }
      EXPECT_TRUE(session.Close().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kSessions; ++i) {
    EXPECT_EQ(outputs[static_cast<size_t>(i)],
              server_.gru.Alone(RandomTensor({kSteps, 3}, static_cast<uint32_t>(100 + i)).values));
  }
}

TEST_F(StepStreamTest, BatchedSessionWithAState) {
  const Tensor x = RandomTensor({2, 3, 5}, 3);
  StreamSession session = Open({.model = "cell", .batch_size = 3, .h_0 = RandomTensor({3, 10}, 4)});
  const auto y = session.StepChunk(x, {.return_state = true});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT(y->output.shape, ElementsAre(2, 3, 10));
  EXPECT_THAT(y->state.shape, ElementsAre(3, 10));
}

TEST_F(StepStreamTest, StateIsSetAndReset) {
  const Tensor x = RandomTensor({1, 3}, 5);
  const Tensor h = RandomTensor({2, 5}, 6);
  StreamSession session = Open();
  EXPECT_EQ(session.SetState(h)->index, 1);
  EXPECT_EQ(session.Step(Row(x, 0))->output.values, server_.gru.Alone(x.values, h.values));
  EXPECT_EQ(session.Reset()->index, 3);
  EXPECT_EQ(session.Step(Row(x, 0))->output.values, server_.gru.Alone(x.values));
  EXPECT_THAT(session.SetState(RandomTensor({2, 4}, 6)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4")));
}

TEST_F(StepStreamTest, BarrierStandsUntilTheStepComesWithItsIndex) {
  const Tensor x = RandomTensor({2, 3}, 7);
  const std::vector<float> wanted = server_.gru.Alone(x.values);
  StreamSession session = Open();
  StreamSession neighbour = Open();
  ASSERT_TRUE(session.Step(Row(x, 0)).ok());
  const auto bad = session.Step({{4}, {1, 2, 3, 4}});
  EXPECT_THAT(bad, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input.shape[0] is 4")));
  EXPECT_EQ(SessionErrorOf(bad.status())->expected_step, 2);
  const auto barred = session.Step(Row(x, 1));
  EXPECT_THAT(barred, StatusIs(absl::StatusCode::kFailedPrecondition, testing::_));
  EXPECT_EQ(SessionErrorOf(barred.status())->reason, SessionErrorReason::kBarrier);
  EXPECT_TRUE(session.status().ok());
  EXPECT_TRUE(neighbour.Step(Row(x, 0)).ok());
  const auto again = session.Step(Row(x, 1), {.index = SessionErrorOf(barred.status())->expected_step});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->output.values, Part(wanted, 1, 2));
}

TEST_F(StepStreamTest, TooLargeOperationRaisesTheBarrierAndSparesTheStream) {
  const Client small = Client::Connect(server_.address(), {.max_message_bytes = 4096}).value();
  const auto stream = small.OpenStream();
  StreamSession session = stream->Open({.model = "gru"}).value();
  EXPECT_THAT(session.StepChunk(RandomTensor({1000, 3}, 8)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("a message holds 4096")));
  EXPECT_THAT(session.SetState(RandomTensor({2000, 5}, 8)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("a message holds 4096")));
  EXPECT_EQ(SessionErrorOf(session.Step(RandomTensor({3}, 8)).status())->reason,
            SessionErrorReason::kBarrier);
  EXPECT_THAT(stream->Open({.model = "gru", .batch_size = 1000, .h_0 = RandomTensor({2, 1000, 5}, 8)}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("a message holds 4096")));
  EXPECT_TRUE(session.Reset().ok());
  EXPECT_TRUE(session.Step(RandomTensor({3}, 8)).ok());
}

TEST_F(StepStreamTest, OpenTellsWhyNot) {
  EXPECT_THAT(stream_->Open({.model = "nope"}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
  EXPECT_THAT(stream_->Open({.model = "bi"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("bidirectional")));
  EXPECT_THAT(stream_->Open({.session_id = "gone", .mode = OpenMode::kResume}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("gone")));
  EXPECT_TRUE(stream_->status().ok());
}

TEST_F(StepStreamTest, ClosedSessionRefusesAndItsIdIsFree) {
  StreamSession session = Open({.model = "gru", .session_id = "again"});
  ASSERT_TRUE(session.Close().ok());
  EXPECT_THAT(session.status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("closed")));
  EXPECT_THAT(session.Step(RandomTensor({3}, 1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("closed")));
  session.WaitForRoom();
  EXPECT_TRUE(stream_->Open({.model = "gru", .session_id = "again"}).ok());
}

TEST_F(StepStreamTest, AnotherStreamOfThisProcessTakesTheSession) {
  StreamSession session = Open({.model = "gru", .session_id = "mine"});
  ASSERT_TRUE(session.Step(RandomTensor({3}, 1)).ok());
  const auto other = server_.client.OpenStream();
  const auto resumed = other->Open({.session_id = "mine", .mode = OpenMode::kResume});
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->info().next_step, 2);
  EXPECT_EQ(resumed->info().epoch, 2U);
  const auto fenced = session.Step(RandomTensor({3}, 1));
  EXPECT_THAT(fenced, StatusIs(absl::StatusCode::kAborted, testing::_));
  EXPECT_EQ(SessionErrorOf(fenced.status())->reason, SessionErrorReason::kMoved);
  EXPECT_THAT(session.status(), StatusIs(absl::StatusCode::kAborted, testing::_));
}

TEST_F(StepStreamTest, SessionsOutliveTheirStreamAndResume) {
  const Tensor x = RandomTensor({2, 3}, 9);
  {
    StreamSession session = Open({.model = "gru", .session_id = "kept"});
    ASSERT_TRUE(session.Step(Row(x, 0)).ok());
    stream_.reset();
    EXPECT_THAT(session.status(), StatusIs(absl::StatusCode::kCancelled, testing::_));
    EXPECT_THAT(session.Step(Row(x, 1)), StatusIs(absl::StatusCode::kCancelled, testing::_));
  }
  stream_ = server_.client.OpenStream();
  StreamSession session = Open({.session_id = "kept", .mode = OpenMode::kResume});
  EXPECT_EQ(session.info().next_step, 2);
  EXPECT_EQ(session.Step(Row(x, 1))->output.values, Part(server_.gru.Alone(x.values), 1, 2));
}

TEST_F(StepStreamTest, FinishAnswersWhatIsUnderWayAndRefusesMore) {
  constexpr int kSteps = 300;
  StreamSession session = Open();
  std::atomic<int> answered = 0;
  for (int t = 0; t < kSteps; ++t) {
    session.StepAsync(RandomTensor({3}, 1),
                      [&](const absl::StatusOr<StepResult>& y) { answered += y.ok() ? 1 : 0; });
  }
  EXPECT_TRUE(stream_->Finish().ok());
  EXPECT_EQ(answered, kSteps);
  EXPECT_FALSE(session.Step(RandomTensor({3}, 1)).ok());
  EXPECT_THAT(stream_->Open({.model = "gru"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("finished")));
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(StepStreamTest, CallbacksMayStepOnButNotBlock) {
  StreamSession session = Open();
  absl::Status blocked;
  absl::Status opened;
  absl::Notification done;
  session.StepAsync(RandomTensor({3}, 1), [&](const absl::StatusOr<StepResult>&) {
    blocked = session.Step(RandomTensor({3}, 1)).status();
    opened = stream_->Open({.model = "gru"}).status();
    session.WaitForRoom();
    session.StepAsync(RandomTensor({3}, 1), [&](const absl::StatusOr<StepResult>& y) {
      EXPECT_EQ(y->index, 2);
      done.Notify();
    });
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(60)));
  EXPECT_THAT(blocked, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("callback")));
  EXPECT_THAT(opened, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("callback")));
}

TEST_F(StepStreamTest, DrainedServerEndsTheStreamWithItsStatus) {
  StreamSession session = Open();
  ASSERT_TRUE(session.Step(RandomTensor({3}, 1)).ok());
  server_.server().Drain();
  EXPECT_THAT(session.Step(RandomTensor({3}, 1)), StatusIs(absl::StatusCode::kUnavailable, testing::_));
  EXPECT_THAT(session.status(), StatusIs(absl::StatusCode::kUnavailable, testing::_));
  const std::optional<SessionError> farewell = SessionErrorOf(session.status());
  ASSERT_TRUE(farewell.has_value());
  EXPECT_EQ(farewell->reason, SessionErrorReason::kDraining);
  EXPECT_EQ(farewell->expected_step, 2);
  EXPECT_THAT(stream_->Finish(), StatusIs(absl::StatusCode::kUnavailable, testing::_));
}

TEST_F(StepStreamTest, ManyStreamsSpreadOverConnections) {
  // More than one connection of this server takes.
  std::vector<std::unique_ptr<StepStream>> streams;
  std::vector<StreamSession> sessions;
  for (int i = 0; i < 1100; ++i) {
    streams.push_back(server_.client.OpenStream());
    sessions.push_back(streams.back()->Open({.model = "gru"}).value());
  }
  for (StreamSession& session : sessions) ASSERT_TRUE(session.Step(RandomTensor({3}, 1)).ok());
}

}  // namespace
}  // namespace gruserve::client
