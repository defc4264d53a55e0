// A session whose connections break, whose servers restart, drain and hang: its caller
// sees every output once, with the bits of an undisturbed run.

#include "client/resilient_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/client/client_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_proxy.h"

namespace gruserve::client {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class ResilientSessionTest : public ::testing::Test {
 protected:
  ResilientSessionTest() {
    repository_.Add("gru", {.input_size = 3, .hidden_size = 5, .num_layers = 2}, 1);
    for (size_t i = 0; i < 2; ++i) {
      Start(i);
      clients_.push_back(Client::Connect(proxies_[i].address()).value());
    }
    options_.least_backoff = absl::Milliseconds(1);
    options_.most_backoff = absl::Milliseconds(20);
  }

  void Start(size_t which) {
    server::ServerOptions options;
    options.workers = 1;
    options.store = "sqlite:" + (folder_ / "sessions.db").string();
    options.checkpoint_interval = absl::Milliseconds(3);
    options.drain_timeout = absl::Seconds(5);
    servers_[which] = std::make_unique<InProcessServer>(repository_.root(), options);
    const std::string& address = servers_[which]->server().address();
    proxies_[which].set_target(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  void Stop(size_t which) {
    proxies_[which].set_target(0);
    servers_[which].reset();
  }

  static OpenOptions Opening(Durability durability) {
    OpenOptions open;
    open.model = "gru";
    open.durability = durability;
    return open;
  }
  std::unique_ptr<ResilientSession> Open(Durability durability, uint32_t window = 8) {
    options_.window = window;
    auto session = ResilientSession::Open(clients_, Opening(durability), options_);
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? *std::move(session) : nullptr;
  }
  static Tensor Input(int64_t index) { return RandomTensor({3}, static_cast<uint32_t>(index)); }

  // Steps 1 to `count` by a session that nothing disturbs.
  std::vector<std::vector<float>> Undisturbed(int64_t count) {
    const auto stream = clients_[0].OpenStream();
    auto session = stream->Open(Opening(Durability::kNone));
    std::vector<std::vector<float>> outputs;
    for (int64_t i = 1; i <= count; ++i) outputs.push_back(session->Step(Input(i))->output.values);
    return outputs;
  }

  // Steps to `count` with a full window; `disturb` is called with each index answered.
  template <typename Disturb>
  void Run(ResilientSession& session, const std::vector<std::vector<float>>& expected, Disturb disturb) {
    int64_t sent = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      while (sent < static_cast<int64_t>(expected.size()) && session.under_way() < options_.window)
        session.Send(Input(++sent));
      const absl::StatusOr<StepResult> result = session.Receive();
      ASSERT_TRUE(result.ok()) << "step " << i + 1 << ": " << result.status();
      ASSERT_EQ(result->index, static_cast<int64_t>(i + 1));
      ASSERT_THAT(result->output.values, ElementsAreArray(expected[i])) << "step " << i + 1;
      disturb(static_cast<int64_t>(i + 1));
    }
  }

  const ScratchFolder folder_;
  TestRepository repository_;
  std::array<TcpProxy, 2> proxies_;
  std::array<std::unique_ptr<InProcessServer>, 2> servers_;
  std::vector<Client> clients_;
  ResilientOptions options_;
};

TEST_F(ResilientSessionTest, CutConnectionsGoUnnoticed) {
  const auto expected = Undisturbed(400);
  for (const Durability durability : {Durability::kNone, Durability::kAsync, Durability::kSync}) {
    const auto session = Open(durability);
    Run(*session, expected, [&](int64_t index) {
      // In the middle of messages too, at ever other places.
      if (index % 40 == 0) proxies_[0].CutAfter(index * 7 % 301);
      if (index % 40 == 20) proxies_[1].CutAfter(index * 11 % 301);
    });
    EXPECT_GE(session->counters().breaks, 3);
    EXPECT_TRUE(session->Close().ok());
    for (TcpProxy& proxy : proxies_) proxy.CutAfter(-1);
  }
}

TEST_F(ResilientSessionTest, ServersThatDrainAndComeBackGoUnnoticed) {
  const auto expected = Undisturbed(240);
  for (const Durability durability : {Durability::kAsync, Durability::kSync}) {
    const auto session = Open(durability);
    size_t next = 0;
    Run(*session, expected, [&](int64_t index) {
      if (index % 40 != 20) return;
      Stop(next);
      Start(next);
      next = 1 - next;
    });
    EXPECT_GE(session->counters().breaks, 3);
    EXPECT_EQ(session->counters().replayed, 0);  // What was answered was saved before the stream ended.
    EXPECT_EQ(session->info().bit_exact, true);
    EXPECT_TRUE(session->Close().ok());
  }
}

TEST_F(ResilientSessionTest, AServerThatHangsIsGivenUp) {
  const auto expected = Undisturbed(60);
  options_.answer_timeout = absl::Milliseconds(300);
  const auto session = Open(Durability::kAsync, 4);
  Run(*session, expected, [&](int64_t index) {
    if (index == 30) proxies_[0].set_stalled(true);
  });
  EXPECT_GE(session->counters().breaks, 1);
  EXPECT_TRUE(session->Close().ok());
}

TEST_F(ResilientSessionTest, StatesAndChunksComeAgainToo) {
  const auto run = [&](bool disturbed) {
    const auto session = Open(Durability::kAsync, 16);
    std::vector<float> outputs;
    for (int64_t i = 1; i <= 60; ++i) {
      if (i % 10 == 0) {
        session->SendState(i % 20 == 0 ? Tensor() : RandomTensor({2, 5}, static_cast<uint32_t>(i)));
      } else {
        session->Send(i % 7 == 0 ? RandomTensor({3, 3}, static_cast<uint32_t>(i)) : Input(i));
      }
      if (session->under_way() < 5) continue;
      const auto result = session->Receive();
      EXPECT_TRUE(result.ok()) << result.status();
      if (disturbed && i % 15 == 0) proxies_[static_cast<size_t>(i / 15 % 2)].Cut();
      if (result.ok())
        outputs.insert(outputs.end(), result->output.values.begin(), result->output.values.end());
    }
    while (session->under_way() > 0) {
      const auto result = session->Receive();
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok()) break;
      outputs.insert(outputs.end(), result->output.values.begin(), result->output.values.end());
    }
    EXPECT_TRUE(session->Close().ok());
    return outputs;
  };
  EXPECT_EQ(run(true), run(false));
}

TEST_F(ResilientSessionTest, AWrongStepIsToldInItsTurnAndTheOthersRun) {
  const auto expected = Undisturbed(3);
  const auto session = Open(Durability::kSync, 4);
  session->Send(Input(1));
  session->Send({{2}, {1, 2}});
  session->Send(Input(2));
  EXPECT_THAT(session->Receive()->output.values, ElementsAreArray(expected[0]));
  EXPECT_THAT(session->Receive().status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input.shape[0] is 2")));
  EXPECT_THAT(session->Receive()->output.values, ElementsAreArray(expected[1]));
  proxies_[0].Cut();
  proxies_[1].Cut();
  EXPECT_THAT(session->Step(Input(3))->output.values, ElementsAreArray(expected[2]));
}

TEST_F(ResilientSessionTest, WhatOnlyLivedInMemoryIsSaidToBeLost) {
  options_.give_up = absl::Seconds(20);
  const auto session = Open(Durability::kNone, 1);
  ASSERT_TRUE(session->Step(Input(1)).ok());
  Stop(0);
  Start(0);
  EXPECT_THAT(session->Step(Input(2)).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("is not open here")));
}

TEST_F(ResilientSessionTest, AnotherClientThatTakesOverIsNotFought) {
  const auto session = Open(Durability::kAsync, 1);
  ASSERT_TRUE(session->Step(Input(1)).ok());
  // Of no client that says who it is.
  RawStream stream(servers_[1]->channel());
  v1::SessionCommand resume = OpenCommand(1, "gru", session->info().session_id);
  resume.mutable_open()->set_mode(v1::OPEN_MODE_RESUME);
  const v1::SessionEvent taken = stream.Call(resume);
  ASSERT_TRUE(taken.has_opened()) << taken.ShortDebugString();
  absl::Status status;
  for (int64_t i = 2; i < 1000 && status.ok(); ++i) status = session->Step(Input(i)).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, HasSubstr("another server resumed session")));
}

TEST_F(ResilientSessionTest, AnOpenOfItsOwnThatCameLateIsOvercome) {
  const auto expected = Undisturbed(40);
  const auto session = Open(Durability::kSync, 1);
  Run(*session, expected, [&](int64_t index) {
    if (index % 10 != 5) return;
    const auto stream = clients_[static_cast<size_t>(index / 10 % 2)].OpenStream();
    OpenOptions resume;
    resume.session_id = session->info().session_id;
    resume.mode = OpenMode::kResume;
    const auto late = stream->Open(resume);
    ASSERT_TRUE(late.ok()) << late.status();
  });
  EXPECT_GE(session->counters().breaks, 2);
}

TEST_F(ResilientSessionTest, BadOptionsAreRefusedByName) {
  options_.window = 65;
  EXPECT_THAT(ResilientSession::Open(clients_, Opening(Durability::kAsync), options_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("window is 65")));
  options_.window = 1;
  EXPECT_THAT(ResilientSession::Open({}, Opening(Durability::kAsync), options_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("replicas is empty")));
  OpenOptions closing = Opening(Durability::kAsync);
  closing.close_with_stream = true;
  EXPECT_THAT(ResilientSession::Open(clients_, closing, options_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("close_with_stream")));
  OpenOptions unknown = Opening(Durability::kAsync);
  unknown.model = "nope";
  EXPECT_THAT(ResilientSession::Open(clients_, unknown, options_).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"nope\"")));
  options_.give_up = absl::Milliseconds(50);
  Stop(0);
  Stop(1);
  EXPECT_THAT(ResilientSession::Open(clients_, Opening(Durability::kAsync), options_).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
}

}  // namespace
}  // namespace gruserve::client
