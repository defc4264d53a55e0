// The stream against a server that does what a real one should not: nothing,
// nonsense, or breaking off.

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/client.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using testing::HasSubstr;
using Stream = grpc::ServerReaderWriter<v1::StreamStepsResponse, v1::StreamStepsRequest>;

// Hands each stream to the test's script.
class ScriptedServer final : private v1::InferenceService::Service {
 public:
  explicit ScriptedServer(std::function<grpc::Status(Stream*)> script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    client_ = Client::Connect(absl::StrCat("127.0.0.1:", port)).value();
  }

  const Client& client() const { return *client_; }

 private:
  grpc::Status StreamSteps(grpc::ServerContext*, Stream* stream) override { return script_(stream); }

  const std::function<grpc::Status(Stream*)> script_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<Client> client_;
};

v1::SessionEvent Opened(uint32_t handle, uint32_t max_inflight) {
  v1::SessionEvent event;
  event.set_session(handle);
  event.mutable_opened()->set_session_id("s");
  event.mutable_opened()->set_max_inflight(max_inflight);
  return event;
}

bool Send(Stream* stream, const std::vector<v1::SessionEvent>& events) {
  v1::StreamStepsResponse response;
  for (const v1::SessionEvent& event : events) *response.add_events() = event;
  return stream->Write(response);
}

// Answers every open, and everything else with `answer`.
std::function<grpc::Status(Stream*)> Answering(
    const std::function<std::vector<v1::SessionEvent>(const v1::SessionCommand&)>& answer) {
  return [answer](Stream* stream) {
    v1::StreamStepsRequest request;
    while (stream->Read(&request)) {
      for (const v1::SessionCommand& command : request.commands()) {
        Send(stream, command.has_open() ? std::vector{Opened(command.session(), 4)} : answer(command));
      }
    }
    return grpc::Status::OK;
  };
}

TEST(ScriptedStreamTest, SilentServerMeansDeadlineExceeded) {
  const ScriptedServer server(
      Answering([](const v1::SessionCommand&) { return std::vector<v1::SessionEvent>(); }));
  const auto stream = server.client().OpenStream({.call_timeout = absl::Milliseconds(500)});
  StreamSession session = stream->Open({.model = "m"}).value();
  EXPECT_THAT(session.Step({{1}, {1}}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("within 500ms")));
  stream->Cancel();
  EXPECT_THAT(stream->Finish(), StatusIs(absl::StatusCode::kCancelled, testing::_));
}

TEST(ScriptedStreamTest, UnansweredOpenIsClosedShouldItComeAfterAll) {
  absl::Notification gave_up;
  absl::Notification closed;
  const ScriptedServer server([&](Stream* stream) {
    v1::StreamStepsRequest request;
    while (stream->Read(&request)) {
      for (const v1::SessionCommand& command : request.commands()) {
        if (command.has_open()) {
          gave_up.WaitForNotification();
          Send(stream, {Opened(command.session(), 4)});
        }
        if (command.has_close()) closed.Notify();
      }
    }
    return grpc::Status::OK;
  });
  const auto stream = server.client().OpenStream({.call_timeout = absl::Milliseconds(200)});
  EXPECT_THAT(stream->Open({.model = "m"}), StatusIs(absl::StatusCode::kDeadlineExceeded, testing::_));
  gave_up.Notify();
  EXPECT_TRUE(closed.WaitForNotificationWithTimeout(absl::Seconds(60)));
}

TEST(ScriptedStreamTest, NeverMoreInFlightThanTheCredits) {
  absl::Notification four;
  absl::Notification release;
  int most = 0;
  const ScriptedServer server([&](Stream* stream) {
    v1::StreamStepsRequest request;
    std::vector<v1::SessionEvent> owed;
    while (stream->Read(&request)) {
      for (const v1::SessionCommand& command : request.commands()) {
        if (command.has_open()) {
          Send(stream, {Opened(command.session(), 4)});
          continue;
        }
        v1::SessionEvent event;
        event.set_session(command.session());
        event.mutable_output()->set_index(1);
        owed.push_back(event);
        most = std::max(most, static_cast<int>(owed.size()));
      }
      if (owed.size() < 4) continue;
      if (!four.HasBeenNotified()) four.Notify();
      release.WaitForNotification();
      Send(stream, owed);
      owed.clear();
    }
    Send(stream, owed);
    return grpc::Status::OK;
  });
  const auto stream = server.client().OpenStream();
  StreamSession session = stream->Open({.model = "m"}).value();
  int answers = 0;
  for (int i = 0; i < 40; ++i) {
    session.StepAsync({{1}, {1}}, [&](const absl::StatusOr<StepResult>& y) { answers += y.ok() ? 1 : 0; });
  }
  ASSERT_TRUE(four.WaitForNotificationWithTimeout(absl::Seconds(60)));
  release.Notify();
  session.WaitForRoom();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answers, 40);
  EXPECT_EQ(most, 4);
}

TEST(ScriptedStreamTest, BrokenStreamFailsEveryPendingCallWithItsStatus) {
  const ScriptedServer server([](Stream* stream) {
    v1::StreamStepsRequest request;
    int steps = 0;
    while (steps < 4 && stream->Read(&request)) {
      for (const v1::SessionCommand& command : request.commands()) {
        if (command.has_open()) Send(stream, {Opened(command.session(), 2)});
        if (command.has_step()) ++steps;
      }
    }
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone to lunch");
  });
  const auto stream = server.client().OpenStream();
  std::vector<StreamSession> sessions = {stream->Open({.model = "m"}).value(),
                                         stream->Open({.model = "m"}).value()};
  std::vector<absl::Status> answers;
  for (StreamSession& session : sessions) {
    for (int i = 0; i < 10; ++i) {
      session.StepAsync({{1}, {1}},
                        [&](const absl::StatusOr<StepResult>& y) { answers.push_back(y.status()); });
    }
  }
  const auto lunch = StatusIs(absl::StatusCode::kUnavailable, "gone to lunch");
  EXPECT_THAT(stream->Finish(), lunch);
  EXPECT_EQ(answers.size(), 20U);
  EXPECT_THAT(answers, testing::Each(lunch));
  for (const StreamSession& session : sessions) EXPECT_THAT(session.status(), lunch);
  EXPECT_THAT(stream->Open({.model = "m"}), lunch);
}

TEST(ScriptedStreamTest, NonsenseIsInternal) {
  const ScriptedServer server(Answering([](const v1::SessionCommand& command) {
    v1::SessionEvent event;
    event.set_session(command.session());
    if (command.has_step()) event.mutable_state_set();
    if (command.has_set_state()) event.mutable_output();
    if (command.has_close()) event.mutable_error()->set_message("fine");
    return std::vector{event};
  }));
  const auto stream = server.client().OpenStream();
  StreamSession session = stream->Open({.model = "m"}).value();
  EXPECT_THAT(session.Step({{1}, {1}}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("output was wanted")));
  EXPECT_THAT(session.Reset(), StatusIs(absl::StatusCode::kInternal, HasSubstr("state_set was wanted")));
  EXPECT_THAT(session.Close(), StatusIs(absl::StatusCode::kInternal, HasSubstr("code OK")));
}

TEST(ScriptedStreamTest, BadTensorIsInternal) {
  const ScriptedServer server(Answering([](const v1::SessionCommand& command) {
    v1::SessionEvent event;
    event.set_session(command.session());
    event.mutable_output()->mutable_output()->add_shape(3);
    event.mutable_output()->mutable_output()->set_raw("12345678");
    return std::vector{event};
  }));
  const auto stream = server.client().OpenStream();
  StreamSession session = stream->Open({.model = "m"}).value();
  EXPECT_THAT(session.Step({{1}, {1}}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("shape [3] with 2 elements")));
}

TEST(ScriptedStreamTest, UnaskedAnswersEndOnlyTheirSession) {
  const ScriptedServer server(Answering([](const v1::SessionCommand& command) {
    v1::SessionEvent event;
    event.set_session(command.session());
    event.mutable_output();
    v1::SessionEvent stranger = event;
    stranger.set_session(12345);
    return std::vector{stranger, event, event};
  }));
  const auto stream = server.client().OpenStream();
  StreamSession session = stream->Open({.model = "m"}).value();
  EXPECT_TRUE(session.Step({{1}, {1}}).ok());
  EXPECT_TRUE(stream->Open({.model = "m"}).ok());
  EXPECT_THAT(session.status(), StatusIs(absl::StatusCode::kInternal, HasSubstr("unasked")));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace gruserve::client
