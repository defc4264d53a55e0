// Durable sessions over real sockets: servers that restart and that take over.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"
#include "tests/support/scratch_folder.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class DurableTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { models_ = new TestModels(); }
  static void TearDownTestSuite() { delete models_; }

  std::unique_ptr<InProcessServer> Serve() {
    ServerOptions options;
    options.workers = 1;
    options.store = "sqlite:" + (folder_ / "sessions.db").string();
    options.checkpoint_interval = absl::Milliseconds(2);
    return std::make_unique<InProcessServer>(models_->repository.root(), options);
  }
  static v1::SessionCommand Opening(const std::string& id, v1::OpenMode mode, v1::Durability durability,
                                    uint32_t handle = 1) {
    v1::SessionCommand command = OpenCommand(handle, "demo", id);
    command.mutable_open()->set_mode(mode);
    command.mutable_open()->set_durability(durability);
    return command;
  }
  static v1::SessionCommand Resuming(const std::string& id) {
    return Opening(id, v1::OPEN_MODE_RESUME, v1::DURABILITY_UNSPECIFIED);
  }
  static v1::SessionCommand Step(int64_t index, uint32_t handle = 1) {
    std::mt19937 random(static_cast<uint32_t>(index));
    return StepCommand(handle, RawTensor({3}, RandomFloats(random, 3)), index);
  }
  // The outputs of steps 1 to `count`, by a session that nothing disturbs.
  static std::vector<std::vector<float>> Undisturbed(const InProcessServer& server, int64_t count) {
    RawStream stream(server.channel());
    EXPECT_TRUE(stream.Call(Opening("", v1::OPEN_MODE_CREATE, v1::DURABILITY_NONE)).has_opened());
    std::vector<std::vector<float>> outputs;
    for (int64_t i = 1; i <= count; ++i) outputs.push_back(Elements(stream.Call(Step(i)).output().output()));
    return outputs;
  }

  static inline const TestModels* models_ = nullptr;
  const ScratchFolder folder_;
};

TEST_F(DurableTest, ASessionOutlivesItsServerBitForBit) {
  constexpr int64_t kSteps = 24;
  std::vector<std::vector<float>> expected;
  int64_t next = 1;
  for (int life = 0; life < 4; ++life) {
    const auto server = Serve();
    if (life == 0) expected = Undisturbed(*server, kSteps);
    RawStream stream(server->channel());
    const v1::SessionEvent opened =
        stream.Call(life == 0 ? Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_SYNC) : Resuming("a"));
    ASSERT_TRUE(opened.has_opened()) << opened.ShortDebugString();
    EXPECT_EQ(opened.opened().next_step(), next);
    EXPECT_EQ(opened.opened().epoch(), static_cast<uint64_t>(life + 1));
    EXPECT_EQ(opened.opened().durability(), v1::DURABILITY_SYNC);
    EXPECT_NE(opened.opened().input_digest(), 0u);
    EXPECT_TRUE(opened.opened().bit_exact());
    for (int i = 0; i < 6; ++i, ++next) {
      const v1::SessionEvent event = stream.Call(Step(next));
      ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
      EXPECT_EQ(event.output().durable_step(), next);
      EXPECT_THAT(Elements(event.output().output()),
                  ElementsAreArray(expected[static_cast<size_t>(next - 1)]));
    }
  }
}

TEST_F(DurableTest, ADrainSavesWhatIsAsynchronous) {
  std::vector<std::vector<float>> expected;
  {
    const auto server = Serve();
    expected = Undisturbed(*server, 8);
    RawStream stream(server->channel());
    stream.Call(Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_UNSPECIFIED));
    for (int64_t i = 1; i <= 7; ++i) stream.Call(Step(i));
    server->server().Drain();
    const v1::SessionError farewell = stream.Next().value().error();
    EXPECT_EQ(farewell.reason(), v1::ERROR_REASON_DRAINING);
    EXPECT_EQ(farewell.expected_step(), 8);
    EXPECT_EQ(farewell.durable_step(), 7);
    EXPECT_EQ(farewell.epoch(), 1U);
  }
  const auto server = Serve();
  RawStream stream(server->channel());
  const v1::SessionEvent opened = stream.Call(Resuming("a"));
  EXPECT_EQ(opened.opened().next_step(), 8) << opened.ShortDebugString();
  EXPECT_EQ(opened.opened().durability(), v1::DURABILITY_ASYNC);
  EXPECT_THAT(Elements(stream.Call(Step(8)).output().output()), ElementsAreArray(expected[7]));
}

TEST_F(DurableTest, CommandsBehindAnOpenWaitForIt) {
  constexpr int64_t kSteps = 20;
  const auto server = Serve();
  const auto expected = Undisturbed(*server, kSteps);
  RawStream stream(server->channel());
  v1::StreamStepsRequest request;
  *request.add_commands() = Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_ASYNC);
  for (int64_t i = 1; i <= kSteps; ++i) *request.add_commands() = Step(i);
  *request.add_commands() = CloseCommand(1);
  *request.add_commands() = Step(kSteps + 1);
  ASSERT_TRUE(stream.Send(request));
  EXPECT_TRUE(stream.Next()->has_opened());
  for (int64_t i = 0; i < kSteps;) {
    const v1::SessionEvent event = *stream.Next();
    if (event.has_error()) {  // The step behind the close: answered at once.
      EXPECT_THAT(event.error().message(), HasSubstr("not open on this stream"));
      continue;
    }
    ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
    EXPECT_THAT(Elements(event.output().output()), ElementsAreArray(expected[static_cast<size_t>(i++)]));
  }
}

TEST_F(DurableTest, TooManyCommandsBehindAnOpenAreRefusedAndNoneIsSkipped) {
  constexpr int64_t kSent = 200;
  const auto server = Serve();
  const auto expected = Undisturbed(*server, kSent);
  RawStream stream(server->channel());
  v1::StreamStepsRequest request;
  *request.add_commands() = Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_ASYNC);
  for (int64_t i = 1; i <= kSent; ++i) {
    *request.add_commands() = Step(i);
    request.mutable_commands(request.commands_size() - 1)->mutable_step()->clear_index();
  }
  ASSERT_TRUE(stream.Send(request));
  int64_t ran = 0;
  for (int64_t heard = 0; heard < kSent;) {
    const v1::SessionEvent event = *stream.Next();
    heard += event.has_opened() ? 0 : 1;
    if (!event.has_output()) continue;
    EXPECT_EQ(event.output().index(), ran + 1);
    EXPECT_THAT(Elements(event.output().output()), ElementsAreArray(expected[static_cast<size_t>(ran++)]));
  }
  EXPECT_GE(ran, 64);
}

TEST_F(DurableTest, OpensWithoutANumberAreAnsweredInTheirOrder) {
  const auto server = Serve();
  RawStream stream(server->channel());
  v1::StreamStepsRequest request;
  constexpr int kSessions = 12;
  for (int i = 0; i < kSessions; ++i) {
    *request.add_commands() = Opening("a" + std::to_string(i), v1::OPEN_MODE_CREATE,
                                      i % 3 == 0 ? v1::DURABILITY_NONE : v1::DURABILITY_SYNC, /*handle=*/0);
  }
  *request.add_commands() = Opening("a3", v1::OPEN_MODE_CREATE, v1::DURABILITY_ASYNC, 0);
  ASSERT_TRUE(stream.Send(request));
  for (int i = 0; i < kSessions; ++i)
    EXPECT_EQ(stream.Next()->opened().session_id(), "a" + std::to_string(i));
  EXPECT_EQ(stream.Next()->error().code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(DurableTest, VeryManyOpensWithoutANumberWaitInTheirOrder) {
  constexpr int kBehind = 100'000;
  const auto server = Serve();
  RawStream stream(server->channel());
  v1::StreamStepsRequest request;
  *request.add_commands() = Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_SYNC, /*handle=*/0);
  for (int i = 0; i < kBehind; ++i) request.add_commands()->mutable_open();  // Without a model.
  *request.add_commands() = Opening("b", v1::OPEN_MODE_CREATE, v1::DURABILITY_NONE, /*handle=*/0);
  ASSERT_TRUE(stream.Send(request));
  EXPECT_EQ(stream.Next()->opened().session_id(), "a");
  for (int i = 0; i < kBehind; ++i)
    ASSERT_EQ(stream.Next()->error().code(), grpc::StatusCode::INVALID_ARGUMENT) << i;
  EXPECT_EQ(stream.Next()->opened().session_id(), "b");
}

TEST_F(DurableTest, AnotherReplicaTakesOverAndTheOldStreamIsTold) {
  const auto first = Serve();
  const auto second = Serve();
  const auto expected = Undisturbed(*first, 4);
  RawStream old_stream(first->channel());
  old_stream.Call(Opening("a", v1::OPEN_MODE_CREATE, v1::DURABILITY_SYNC));
  old_stream.Call(Step(1));
  RawStream stream(second->channel());
  const v1::SessionEvent opened = stream.Call(Resuming("a"));
  ASSERT_EQ(opened.opened().next_step(), 2) << opened.ShortDebugString();
  // The first server computes, and may not keep it: nobody hears of it.
  ASSERT_TRUE(old_stream.Send(Step(2)));
  const v1::SessionEvent fenced = *old_stream.Next();
  EXPECT_EQ(fenced.error().code(), grpc::StatusCode::ABORTED) << fenced.ShortDebugString();
  EXPECT_EQ(fenced.error().reason(), v1::ERROR_REASON_FENCED);
  EXPECT_EQ(fenced.error().epoch(), 2u);
  EXPECT_TRUE(fenced.error().detached());
  for (int64_t i = 2; i <= 4; ++i) {
    EXPECT_THAT(Elements(stream.Call(Step(i)).output().output()),
                ElementsAreArray(expected[static_cast<size_t>(i - 1)]));
  }
}

TEST_F(DurableTest, ASessionThatASequenceLeftBehindIsStoredToo) {
  const auto stub_of = [](const InProcessServer& server) {
    return v1::InferenceService::NewStub(server.channel());
  };
  std::vector<float> state;
  {
    const auto server = Serve();
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    *request.mutable_input() = RawTensor({2, 3}, std::vector<float>(6, 0.25f));
    request.mutable_keep_session()->set_session_id("kept");
    request.mutable_keep_session()->set_durability(v1::DURABILITY_SYNC);
    v1::InferSequenceResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_of(*server)->InferSequence(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.session().durability(), v1::DURABILITY_SYNC);
    state = Elements(response.h_n());
  }
  const auto server = Serve();
  const auto sessions = v1::SessionService::NewStub(server->channel());
  {
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    *request.mutable_open() = Resuming("kept").open();
    v1::OpenSessionResponse response;
    const grpc::Status status = sessions->OpenSession(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.session().next_step(), 1);
  }
  grpc::ClientContext context;
  v1::GetSessionRequest request;
  request.set_session_id("kept");
  request.set_include_state(true);
  v1::GetSessionResponse response;
  ASSERT_TRUE(sessions->GetSession(&context, request, &response).ok());
  EXPECT_THAT(Elements(response.state()), ElementsAreArray(state));
}

}  // namespace
}  // namespace gruserve::server
