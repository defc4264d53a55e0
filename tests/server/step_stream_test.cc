// StreamSteps over a real socket: sessions, handles, errors in-band, and what
// becomes of sessions when a stream ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/fake_clock.h"
#include "tests/support/reference_gru.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kThisClient(16, 'a');
const std::string kOtherClient(16, 'b');

class StreamStepsTest : public ServiceTest {
 protected:
  static v1::SessionCommand Resume(uint32_t handle, const std::string& id, const std::string& client = "",
                                   bool take_over = false) {
    v1::SessionCommand command;
    command.set_session(handle);
    command.mutable_open()->set_session_id(id);
    command.mutable_open()->set_mode(v1::OPEN_MODE_RESUME);
    command.mutable_open()->set_client_instance(client);
    command.mutable_open()->set_take_over(take_over);
    return command;
  }

  // The `step`-th of the rows of 3 in `inputs`.
  static v1::SessionCommand StepOf(uint32_t handle, const std::vector<float>& inputs, size_t step,
                                   int64_t index = 0) {
    return StepCommand(handle, RawTensor({3}, {inputs.data() + step * 3, 3}), index);
  }

  static void ExpectError(const v1::SessionEvent& event, grpc::StatusCode code, const std::string& part) {
    ASSERT_TRUE(event.has_error()) << event.ShortDebugString();
    EXPECT_EQ(event.error().code(), code) << event.error().message();
    EXPECT_THAT(event.error().message(), HasSubstr(part));
  }

  std::mt19937 random_{9};
};

TEST_F(StreamStepsTest, OpenStepSetStateClose) {
  const std::vector<float> inputs = RandomFloats(random_, 3 * 3);
  const std::vector<float> alone = models().demo.Alone(inputs);
  RawStream stream(server().channel());
  const v1::SessionEvent opened = stream.Call(OpenCommand(5, "demo"));
  ASSERT_TRUE(opened.has_opened()) << opened.ShortDebugString();
  EXPECT_EQ(opened.session(), 5U);
  EXPECT_EQ(opened.opened().next_step(), 1);
  EXPECT_EQ(opened.opened().epoch(), 1U);
  EXPECT_TRUE(opened.opened().attached());
  EXPECT_EQ(opened.opened().session_id().substr(0, 2), "s-");

  v1::SessionCommand step = StepOf(5, inputs, 0);
  step.mutable_step()->set_return_state(true);
  v1::SessionEvent event = stream.Call(step);
  ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
  EXPECT_EQ(event.output().index(), 1);
  EXPECT_THAT(event.output().output().shape(), ElementsAre(4));
  EXPECT_THAT(event.output().state().shape(), ElementsAre(2, 4));
  EXPECT_EQ(event.output().gru_cell_count(), 2);
  EXPECT_EQ(Elements(event.output().output()), std::vector<float>(alone.begin(), alone.begin() + 4));

  event = stream.Call(SetStateCommand(5));
  ASSERT_TRUE(event.has_state_set()) << event.ShortDebugString();
  EXPECT_EQ(event.state_set().index(), 2);
  event = stream.Call(StepOf(5, inputs, 0));
  EXPECT_EQ(event.output().index(), 3);
  EXPECT_EQ(Elements(event.output().output()), std::vector<float>(alone.begin(), alone.begin() + 4));

  event = stream.Call(CloseCommand(5));
  ASSERT_TRUE(event.has_closed()) << event.ShortDebugString();
  EXPECT_EQ(event.closed().next_step(), 4);
  EXPECT_TRUE(stream.Call(OpenCommand(5, "cell")).has_opened()) << "the handle is free again";
}

TEST_F(StreamStepsTest, ChunksHaveTheBitsOfSteps) {
  const std::vector<float> inputs = RandomFloats(random_, 20 * 3);
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  std::vector<float> outputs;
  for (const auto& [first, steps] : std::vector<std::pair<int64_t, int64_t>>{{0, 7}, {7, 1}, {8, 12}}) {
    const std::span<const float> rows(inputs.data() + first * 3, static_cast<size_t>(steps * 3));
    const v1::SessionEvent event = stream.Call(StepCommand(1, RawTensor({steps, 3}, rows)));
    ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
    EXPECT_EQ(event.output().index(), first + 1);
    EXPECT_THAT(event.output().output().shape(), ElementsAre(steps, 4));
    for (const float element : Elements(event.output().output())) outputs.push_back(element);
  }
  EXPECT_EQ(outputs, models().demo.Alone(inputs));
}

TEST_F(StreamStepsTest, ABatchedSessionStepsItsRows) {
  const std::vector<float> rows = RandomFloats(random_, 2 * 5);
  v1::SessionCommand open = OpenCommand(1, "cell");
  open.mutable_open()->set_batch_size(2);
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(open).has_opened());
  const v1::SessionEvent event = stream.Call(StepCommand(1, RawTensor({2, 5}, rows)));
  ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
  EXPECT_THAT(event.output().output().shape(), ElementsAre(2, 10));
  std::vector<float> alone = models().cell.Alone({rows.data(), 5});
  for (const float element : models().cell.Alone({rows.data() + 5, 5})) alone.push_back(element);
  EXPECT_EQ(Elements(event.output().output()), alone);
}

TEST_F(StreamStepsTest, ManySessionsOfOneStreamKeepTheirBits) {
  constexpr size_t kSessions = 200;
  constexpr size_t kSteps = 10;
  std::vector<std::vector<float>> inputs;
  v1::StreamStepsRequest opens;
  for (uint32_t i = 0; i < kSessions; ++i) {
    inputs.push_back(RandomFloats(random_, kSteps * 3));
    *opens.add_commands() = OpenCommand(i + 1, "demo");
  }
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Send(opens));
  for (size_t step = 0; step < kSteps; ++step) {
    v1::StreamStepsRequest steps;
    for (uint32_t i = 0; i < kSessions; ++i) *steps.add_commands() = StepOf(i + 1, inputs[i], step);
    ASSERT_TRUE(stream.Send(steps));
  }
  stream.HalfClose();
  std::vector<std::vector<float>> outputs(kSessions);
  while (const auto event = stream.Next()) {
    if (event->has_opened()) continue;
    ASSERT_TRUE(event->has_output()) << event->ShortDebugString();
    std::vector<float>& session = outputs[event->session() - 1];
    EXPECT_EQ(event->output().index(), static_cast<int64_t>(session.size() / 4) + 1) << "out of order";
    for (const float element : Elements(event->output().output())) session.push_back(element);
  }
  EXPECT_TRUE(stream.Finish().ok());
  for (size_t i = 0; i < kSessions; ++i)
    ASSERT_EQ(outputs[i], models().demo.Alone(inputs[i])) << "session " << i;
}

TEST_F(StreamStepsTest, TheServerPicksHandlesForZeroInOrder) {
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  v1::StreamStepsRequest opens;
  *opens.add_commands() = OpenCommand(0, "demo", "first");
  *opens.add_commands() = OpenCommand(0, "cell", "second");
  ASSERT_TRUE(stream.Send(opens));
  const v1::SessionEvent first = *stream.Next();
  const v1::SessionEvent second = *stream.Next();
  EXPECT_EQ(first.opened().session_id(), "first");
  EXPECT_EQ(second.opened().session_id(), "second");
  EXPECT_GT(first.session(), 1U);
  EXPECT_GT(second.session(), 1U);
  EXPECT_NE(first.session(), second.session());
  EXPECT_TRUE(stream.Call(CloseCommand(first.session())).has_closed());
  EXPECT_TRUE(stream.Call(CloseCommand(second.session())).has_closed());
}

TEST_F(StreamStepsTest, StepBeforeOpenIsFailedPrecondition) {
  RawStream stream(server().channel());
  ExpectError(stream.Call(StepCommand(3, RawTensor({3}, RandomFloats(random_, 3)))),
              grpc::StatusCode::FAILED_PRECONDITION, "session 3 is not open");
}

TEST_F(StreamStepsTest, OpenOfAHandleInUseIsAlreadyExistsAndDisturbsNothing) {
  const std::vector<float> inputs = RandomFloats(random_, 2 * 3);
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  ASSERT_TRUE(stream.Call(StepOf(1, inputs, 0)).has_output());
  const v1::SessionEvent error = stream.Call(OpenCommand(1, "cell"));
  ExpectError(error, grpc::StatusCode::ALREADY_EXISTS, "session 1");
  EXPECT_FALSE(error.error().detached());
  const std::vector<float> alone = models().demo.Alone(inputs);
  EXPECT_EQ(Elements(stream.Call(StepOf(1, inputs, 1)).output().output()),
            std::vector<float>(alone.begin() + 4, alone.end()));
}

TEST_F(StreamStepsTest, AnEmptyCommandIsInvalidArgument) {
  RawStream stream(server().channel());
  v1::SessionCommand empty;
  empty.set_session(4);
  ExpectError(stream.Call(empty), grpc::StatusCode::INVALID_ARGUMENT, "command is not set");
}

TEST_F(StreamStepsTest, AFailedOpenLeavesTheHandleFree) {
  RawStream stream(server().channel());
  const v1::SessionEvent error = stream.Call(OpenCommand(1, "nobody"));
  ExpectError(error, grpc::StatusCode::NOT_FOUND, "nobody");
  EXPECT_TRUE(error.error().detached());
  ExpectError(stream.Call(OpenCommand(1, "bi")), grpc::StatusCode::FAILED_PRECONDITION, "InferSequence");
  EXPECT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
}

TEST_F(StreamStepsTest, AnErrorRaisesTheBarrierOfItsSessionOnly) {
  const std::vector<float> inputs = RandomFloats(random_, 3 * 3);
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  ASSERT_TRUE(stream.Call(OpenCommand(2, "demo")).has_opened());
  ExpectError(stream.Call(StepCommand(1, RawTensor({5}, RandomFloats(random_, 5)))),
              grpc::StatusCode::INVALID_ARGUMENT, "input.shape[0] is 5, model \"demo\" version 1 expects 3");
  const v1::SessionEvent barred = stream.Call(StepOf(1, inputs, 0));
  ExpectError(barred, grpc::StatusCode::FAILED_PRECONDITION, "");
  EXPECT_EQ(barred.error().reason(), v1::ERROR_REASON_BARRIER);
  EXPECT_EQ(barred.error().expected_step(), 1);
  EXPECT_TRUE(stream.Call(StepOf(2, inputs, 0)).has_output()) << "the neighbour must not notice";
  EXPECT_TRUE(stream.Call(StepOf(1, inputs, 0, /*index=*/1)).has_output());
  EXPECT_TRUE(stream.Call(StepOf(1, inputs, 1)).has_output());
}

TEST_F(StreamStepsTest, BeyondTheCreditsIsResourceExhausted) {
  ServerOptions options = SuiteOptions();
  options.max_inflight_per_session = 2;
  const InProcessServer tight(models().repository.root(), options);
  RawStream stream(tight.channel());
  v1::StreamStepsRequest request;
  *request.add_commands() = OpenCommand(1, "one");
  const std::vector<float> chunk(4000 * 3);
  for (int i = 0; i < 5; ++i) *request.add_commands() = StepCommand(1, RawTensor({4000, 3}, chunk));
  ASSERT_TRUE(stream.Send(request));
  stream.HalfClose();
  int ran = 0;
  int refused = 0;
  while (const auto event = stream.Next()) {
    if (event->has_output()) ++ran;
    if (event->has_error()) {
      ++refused;
      EXPECT_GT(event->error().expected_step(), 0);
    }
  }
  EXPECT_GE(ran, 2);
  EXPECT_EQ(ran + refused, 5);
}

TEST_F(StreamStepsTest, HalfCloseAnswersAllThenDetaches) {
  const std::vector<float> inputs = RandomFloats(random_, 50 * 3);
  RawStream stream(server().channel());
  v1::StreamStepsRequest request;
  *request.add_commands() = OpenCommand(1, "demo", "half-closed");
  for (size_t step = 0; step < 50; ++step) *request.add_commands() = StepOf(1, inputs, step);
  ASSERT_TRUE(stream.Send(request));
  stream.HalfClose();
  std::vector<float> outputs;
  while (const auto event = stream.Next()) {
    if (!event->has_output()) continue;
    for (const float element : Elements(event->output().output())) outputs.push_back(element);
  }
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(outputs, models().demo.Alone(inputs));

  RawStream again(server().channel());
  const v1::SessionEvent resumed = again.Call(Resume(1, "half-closed"));
  ASSERT_TRUE(resumed.has_opened()) << resumed.ShortDebugString();
  EXPECT_EQ(resumed.opened().next_step(), 51);
  EXPECT_EQ(resumed.opened().epoch(), 2U);
  EXPECT_TRUE(again.Call(CloseCommand(1)).has_closed());
}

TEST_F(StreamStepsTest, CloseWithStreamEndsTheSession) {
  {
    RawStream stream(server().channel());
    v1::SessionCommand open = OpenCommand(1, "demo", "short-lived");
    open.mutable_open()->set_close_with_stream(true);
    ASSERT_TRUE(stream.Call(open).has_opened());
    stream.HalfClose();
    EXPECT_FALSE(stream.Next());
    EXPECT_TRUE(stream.Finish().ok());
  }
  RawStream again(server().channel());
  ExpectError(again.Call(Resume(1, "short-lived")), grpc::StatusCode::NOT_FOUND, "short-lived");
}

TEST_F(StreamStepsTest, CancelAtManyPointsLosesNoAppliedStepAndNoOther) {
  const std::vector<float> inputs = RandomFloats(random_, 400 * 3);
  const std::vector<float> alone = models().demo.Alone(inputs);
  {
    RawStream first(server().channel());
    v1::SessionCommand open = OpenCommand(1, "demo", "cancelled");
    open.mutable_open()->set_client_instance(kThisClient);
    ASSERT_TRUE(first.Call(open).has_opened());
  }
  size_t next = 0;
  for (int attempt = 0; next < 380; ++attempt) {
    RawStream stream(server().channel());
    const v1::SessionEvent resumed = stream.Call(Resume(1, "cancelled", kThisClient));
    ASSERT_TRUE(resumed.has_opened()) << resumed.ShortDebugString();
    next = static_cast<size_t>(resumed.opened().next_step()) - 1;
    v1::StreamStepsRequest request;
    for (size_t i = 0; i < 20 && next + i < 400; ++i) {
      *request.add_commands() = StepOf(1, inputs, next + i, static_cast<int64_t>(next + i) + 1);
    }
    ASSERT_TRUE(stream.Send(request));
    for (int i = 0; i < std::min(attempt % 21, request.commands_size()); ++i) {
      const auto event = stream.Next();
      if (!event || !event->has_output()) break;
      const size_t index = static_cast<size_t>(event->output().index());
      ASSERT_EQ(Elements(event->output().output()),
                std::vector<float>(alone.begin() + static_cast<int64_t>(index - 1) * 4,
                                   alone.begin() + static_cast<int64_t>(index) * 4));
    }
    stream.Cancel();
    ASSERT_LT(attempt, 1000);
  }
}

TEST_F(StreamStepsTest, TakeOverFencesTheOldStream) {
  RawStream old_stream(server().channel());
  v1::SessionCommand open = OpenCommand(7, "demo", "contested");
  open.mutable_open()->set_client_instance(kThisClient);
  ASSERT_TRUE(old_stream.Call(open).has_opened());

  RawStream new_stream(server().channel());
  ExpectError(new_stream.Call(Resume(1, "contested", kOtherClient)), grpc::StatusCode::FAILED_PRECONDITION,
              "take_over");
  const v1::SessionEvent taken = new_stream.Call(Resume(1, "contested", kOtherClient, /*take_over=*/true));
  ASSERT_TRUE(taken.has_opened()) << taken.ShortDebugString();
  EXPECT_EQ(taken.opened().epoch(), 2U);

  const v1::SessionEvent fenced = *old_stream.Next();
  EXPECT_EQ(fenced.session(), 7U);
  ExpectError(fenced, grpc::StatusCode::ABORTED, "");
  EXPECT_EQ(fenced.error().reason(), v1::ERROR_REASON_FENCED);
  EXPECT_EQ(fenced.error().epoch(), 2U);
  EXPECT_TRUE(fenced.error().detached());
  ExpectError(old_stream.Call(StepCommand(7, RawTensor({3}, RandomFloats(random_, 3)))),
              grpc::StatusCode::FAILED_PRECONDITION, "session 7");
  EXPECT_TRUE(new_stream.Call(CloseCommand(1)).has_closed());
}

TEST_F(StreamStepsTest, AnIdleSessionIsToldWhyItWent) {
  FakeClock clock;
  const InProcessServer timed(models().repository.root(), SuiteOptions(), &clock);
  RawStream stream(timed.channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo", "sleepy")).has_opened());
  clock.Advance(absl::Minutes(6));
  timed.server().ExpireSessions();
  const v1::SessionEvent event = *stream.Next();
  ExpectError(event, grpc::StatusCode::NOT_FOUND, "");
  EXPECT_EQ(event.error().reason(), v1::ERROR_REASON_EVICTED_IDLE);
  EXPECT_TRUE(event.error().detached());
  ExpectError(stream.Call(Resume(1, "sleepy")), grpc::StatusCode::NOT_FOUND, "evicted");
}

TEST_F(StreamStepsTest, BeyondTheMemoryBudgetIsResourceExhausted) {
  ServerOptions options = SuiteOptions();
  options.session_memory_bytes = 0;
  const InProcessServer poor(models().repository.root(), options);
  RawStream stream(poor.channel());
  const v1::SessionEvent error = stream.Call(OpenCommand(1, "demo"));
  ExpectError(error, grpc::StatusCode::RESOURCE_EXHAUSTED, "");
  EXPECT_EQ(error.error().reason(), v1::ERROR_REASON_BUDGET);
}

TEST_F(StreamStepsTest, AResumedSessionAnswersWhatRanBeforeItsOpen) {
  const std::vector<float> chunk = RandomFloats(random_, 4000 * 3);
  RawStream old_stream(server().channel());
  ASSERT_TRUE(old_stream.Call(OpenCommand(1, "one", "busy")).has_opened());
  ASSERT_TRUE(old_stream.Send(StepCommand(1, RawTensor({4000, 3}, chunk))));
  RawStream new_stream(server().channel());
  const v1::SessionEvent resumed = new_stream.Call(Resume(1, "busy", "", /*take_over=*/true));
  ASSERT_TRUE(resumed.has_opened()) << resumed.ShortDebugString();
  const int64_t next = resumed.opened().next_step();
  EXPECT_TRUE(next == 1 || next == 4001) << next;
  const v1::SessionEvent stepped = new_stream.Call(StepCommand(1, RawTensor({3}, {chunk.data(), 3}), next));
  EXPECT_TRUE(stepped.has_output()) << stepped.ShortDebugString();
}

}  // namespace
}  // namespace gruserve::server
