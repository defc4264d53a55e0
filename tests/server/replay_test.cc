// Steps that come again, over a real socket.

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAreArray;

class ReplayTest : public ServiceTest {
 protected:
  static v1::SessionCommand Opening(const std::string& id, v1::OpenMode mode, uint32_t remember_steps) {
    v1::SessionCommand command = OpenCommand(1, "demo", id);
    command.mutable_open()->set_mode(mode);
    command.mutable_open()->set_take_over(true);
    command.mutable_open()->set_remember_steps(remember_steps);
    return command;
  }
  // The input of step `index`.
  static v1::Tensor Input(int64_t index) {
    std::mt19937 random(static_cast<uint32_t>(index));
    return RawTensor({3}, RandomFloats(random, 3));
  }
};

TEST_F(ReplayTest, AClientThatLostItsStreamSendsAgainAndLosesNothing) {
  constexpr int64_t kSteps = 60;
  constexpr int64_t kInFlight = 8;
  std::vector<float> inputs;
  for (int64_t i = 1; i <= kSteps; ++i) {
    const std::vector<float> input = Elements(Input(i));
    inputs.insert(inputs.end(), input.begin(), input.end());
  }
  std::vector<float> outputs;
  int replayed = 0;
  int64_t acknowledged = 0;
  for (int round = 0; acknowledged < kSteps; ++round) {
    RawStream stream(server().channel());
    const v1::SessionEvent opened =
        stream.Call(Opening("cut", v1::OPEN_MODE_CREATE_OR_RESUME, round == 0 ? kInFlight : 0));
    ASSERT_TRUE(opened.has_opened()) << opened.ShortDebugString();
    EXPECT_EQ(opened.opened().remember_steps(), kInFlight);
    // Sends a window from what it has an answer for, and reads only some of it.
    const int64_t last = std::min(kSteps, acknowledged + kInFlight);
    for (int64_t i = acknowledged + 1; i <= last; ++i) stream.Send(StepCommand(1, Input(i), i));
    const int64_t heard = std::min(last, acknowledged + 1 + round % 5);
    while (acknowledged < heard) {
      const auto event = stream.Next();
      ASSERT_TRUE(event.has_value() && event->has_output()) << (event ? event->ShortDebugString() : "ended");
      ASSERT_EQ(event->output().index(), acknowledged + 1);
      replayed += event->output().replayed() ? 1 : 0;
      const std::vector<float> output = Elements(event->output().output());
      outputs.insert(outputs.end(), output.begin(), output.end());
      ++acknowledged;
    }
    stream.Cancel();
  }
  EXPECT_GT(replayed, 0);
  EXPECT_THAT(outputs, ElementsAreArray(models().demo.Alone(inputs)));
}

TEST_F(ReplayTest, TheUnaryStepAnswersAgainToo) {
  grpc::ClientContext open_context;
  v1::OpenSessionRequest open;
  open.mutable_open()->mutable_model()->set_name("demo");
  open.mutable_open()->set_session_id("unary");
  open.mutable_open()->set_remember_steps(1);
  v1::OpenSessionResponse opened;
  ASSERT_TRUE(sessions()->OpenSession(&open_context, open, &opened).ok());
  v1::StepRequest request;
  request.set_session_id("unary");
  *request.mutable_step()->mutable_input() = Input(1);
  request.mutable_step()->set_index(1);
  std::vector<std::vector<float>> outputs;
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    v1::StepResponse response;
    const grpc::Status status = inference()->Step(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.output().replayed(), i == 1);
    outputs.push_back(Elements(response.output().output()));
  }
  EXPECT_THAT(outputs[1], ElementsAreArray(outputs[0]));
}

}  // namespace
}  // namespace gruserve::server
