// Two replicas, one store and a few clients, simulated from a seed: steps, answers that
// come twice, checkpoints, crashes, drains and takeovers in random order. The model counts
// its steps, so whatever is lost or done twice shows in every output from there on.
//
// Nothing runs by itself: the clock stands still, steps run when their turn comes, and the
// store is written when the script says so. So one seed gives one history, byte for byte,
// but for SYNC sessions: when these are written is up to a thread.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/input_digest.h"
#include "core/store/sqlite/sqlite_session_store.h"
#include "tests/core/durability/durable_replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/ring_counter.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

constexpr int64_t kRemembered = 4;

ModelHandle Counter() {
  static const auto* const model = new ModelHandle(MakeLoadedModel(RingCounter::Network(), "counter"));
  return *model;
}

// A client as the library is one: it numbers its steps, and goes on from where the server is.
struct SimulatedClient {
  std::string id;
  size_t replica = 0;
  std::shared_ptr<Session> session;  // Null: it has to resume.
  std::shared_ptr<RecordingSink> sink;
  size_t seen = 0;        // Of the sink's results.
  int64_t sent = 0;       // The last step that the server was sent.
  int64_t answered = 0;   // The last one whose answer came.
  int64_t confirmed = 0;  // The last one that needs no answer from where it is now.
  int64_t durable = 0;    // As answers said.
  uint64_t epoch = 0;
  std::vector<uint64_t> digests;  // After each step.
};

class Simulation {
 public:
  static constexpr size_t kReplicas = 2;
  static constexpr int kClients = 6;

  // With SYNC sessions too, which the store's writer writes at once, on its own thread.
  Simulation(uint32_t seed, bool with_sync) : random_(seed) {
    store_ = SqliteSessionStore::Open(folder_ / "sessions.db", &clock_).value();
    for (size_t i = 0; i < kReplicas; ++i) Restart(i);
    for (int i = 0; i < kClients; ++i) {
      SimulatedClient client{.id = absl::StrCat("c", i)};
      client.digests = {FirstInputDigest(client.id, Counter()->weights_sha256())};
      clients_.push_back(std::move(client));
      Open(clients_.back(), OpenMode::kCreate,
           with_sync && i % 2 == 0 ? Durability::kSync : Durability::kAsync);
    }
  }

  void Run(int events) {
    for (int i = 0; i < events && !testing::Test::HasFailure(); ++i) {
      SimulatedClient& client = clients_[random_() % kClients];
      const auto dice = random_() % 100;
      if (dice < 70) Step(client);
      if (dice >= 70 && dice < 76) StepAgain(client);
      if (dice >= 76 && dice < 88) Save(random_() % kReplicas);
      if (dice >= 88 && dice < 94) TakeOver(client);
      if (dice >= 94 && dice < 98) Crash(random_() % kReplicas);
      if (dice >= 98) Drain(random_() % kReplicas);
      CheckStored(client);
    }
    for (SimulatedClient& client : clients_) Finish(client);
  }

  const std::string& history() const { return history_; }
  int64_t failovers() const { return failovers_; }
  int64_t steps() const {
    int64_t steps = 0;
    for (const SimulatedClient& client : clients_) steps += client.answered;
    return steps;
  }

 private:
  void Note(const std::string& what) { absl::StrAppend(&history_, what, "\n"); }

  void Restart(size_t i) {
    const auto find = [](const std::string& name, int64_t) -> absl::StatusOr<ModelHandle> {
      if (name == "counter") return Counter();
      return absl::NotFoundError("no such model");
    };
    replicas_[i] = nullptr;
    replicas_[i] = std::make_unique<DurableReplica>(store_.get(), &clock_, find);
  }

  void Open(SimulatedClient& client, OpenMode mode, std::optional<Durability> durability = std::nullopt) {
    OpenSessionOptions options;
    options.id = client.id;
    options.mode = mode;
    options.durability = durability;
    options.take_over = mode == OpenMode::kResume;
    if (mode == OpenMode::kCreate) {
      options.model = Counter();
      options.remember_steps = kRemembered;
    }
    client.sink = std::make_shared<RecordingSink>();
    client.seen = 0;
    options.attachment.sink = client.sink;
    options.attachment.handle = 1;
    auto session = replicas_[client.replica]->Open(std::move(options));
    ASSERT_TRUE(session.ok()) << session.status();
    client.session = *std::move(session);
    const SessionDescription description = client.session->Describe();
    const int64_t applied = description.next_step - 1;
    ASSERT_GE(applied, client.durable) << "what was durable is lost";
    ASSERT_LE(applied, static_cast<int64_t>(client.digests.size()) - 1);
    ASSERT_EQ(description.input_digest, client.digests[static_cast<size_t>(applied)]);
    ASSERT_GT(description.epoch, client.epoch);
    client.epoch = description.epoch;
    // Answers that did not come are asked for again.
    client.sent = client.confirmed = std::min(applied, client.answered);
    Note(absl::StrCat(client.id, " on ", client.replica, " from ", applied));
  }
  void Resume(SimulatedClient& client) {
    client.replica = random_() % kReplicas;
    ++failovers_;
    Open(client, OpenMode::kResume);
  }

  void Send(SimulatedClient& client, int64_t index) {
    Note(absl::StrCat(client.id, " sends ", index));
    replicas_[client.replica]->Run(*client.session, StepOp(RingCounter::Input(index), 1, index), client.sink);
    TakeAnswers(client);
  }
  void Step(SimulatedClient& client) {
    if (client.session == nullptr) Resume(client);
    // No more under way than the server remembers.
    if (client.sent - client.confirmed >= kRemembered) Save(client.replica);
    const int64_t index = ++client.sent;
    if (index == static_cast<int64_t>(client.digests.size()))
      client.digests.push_back(
          ExtendInputDigest(client.digests.back(), index, 1, false, RingCounter::Input(index)));
    Send(client, index);
  }
  // As after a stream that broke when the answer was on its way.
  void StepAgain(SimulatedClient& client) {
    if (client.session == nullptr || client.sent == 0) return;
    // What was applied and not sent again yet pushes older answers out.
    if (client.session->Describe().next_step != client.sent + 1) return;
    const auto most = static_cast<uint64_t>(std::min(client.sent, kRemembered));
    Send(client, client.sent - static_cast<int64_t>(random_() % most));
  }
  void TakeAnswers(SimulatedClient& client) {
    // With SYNC the writer's thread may be giving more of them.
    for (const SessionOpResult& result : client.sink->ResultsFrom(client.seen)) {
      ++client.seen;
      ASSERT_TRUE(result.status.ok()) << client.id << ": " << result.status;
      ASSERT_LE(result.index, client.answered + 1) << "a gap";
      ASSERT_EQ(result.output, RingCounter::After(result.index)) << client.id << " step " << result.index;
      client.answered = std::max(client.answered, result.index);
      client.confirmed = std::max(client.confirmed, result.index);
      client.durable = std::max(client.durable, result.durable_step);
      Note(absl::StrCat(client.id, " ", result.index, " ", result.replayed, " ", result.durable_step));
    }
  }

  void Save(size_t replica) {
    ASSERT_TRUE(replicas_[replica]->Flush());
    Note(absl::StrCat("saved ", replica));
    for (SimulatedClient& client : clients_) {
      if (client.replica == replica && client.session != nullptr) TakeAnswers(client);
    }
  }
  // The old owner keeps its session, and learns what happened from the store.
  void TakeOver(SimulatedClient& client) { Resume(client); }
  void Crash(size_t replica) {
    Restart(replica);
    Note(absl::StrCat("crashed ", replica));
    for (SimulatedClient& client : clients_) {
      if (client.replica == replica) client.session = nullptr;
    }
  }
  void Drain(size_t replica) {
    Save(replica);
    Crash(replica);
  }

  // What is stored is the state after the step that it says.
  void CheckStored(const SimulatedClient& client) {
    const Acquired stored = store_->Get(client.id);
    ASSERT_TRUE(stored.checkpoint.has_value());
    ASSERT_EQ(stored.checkpoint->state, RingCounter::After(stored.checkpoint->step));
    ASSERT_GE(stored.checkpoint->step, client.durable);
  }
  void Finish(SimulatedClient& client) {
    if (client.session == nullptr) Resume(client);
    const auto last = [&] {
      return std::max({int64_t{1}, client.answered, client.session->Describe().next_step - 1});
    };
    while (client.sent < last() && !testing::Test::HasFailure()) Step(client);
    Save(client.replica);
    EXPECT_EQ(client.answered, client.sent);
    client.session->ReadState([&](const SessionDescription&, const std::vector<float>& state) {
      EXPECT_EQ(RingCounter::Steps(state), client.answered % RingCounter::kPeriod);
    });
  }

  std::mt19937 random_;
  FakeClock clock_;
  ScratchFolder folder_;
  std::unique_ptr<SqliteSessionStore> store_;
  std::unique_ptr<DurableReplica> replicas_[kReplicas];
  std::vector<SimulatedClient> clients_;
  std::string history_;
  int64_t failovers_ = 0;
};

class FailoverSimulationTest : public testing::TestWithParam<uint32_t> {};

TEST_P(FailoverSimulationTest, NoStepIsLostOrDoneTwice) {
  Simulation simulation(GetParam(), /*with_sync=*/true);
  simulation.Run(1500);
  std::printf("seed %u: %ld steps, %ld failovers\n", GetParam(), static_cast<long>(simulation.steps()),
              static_cast<long>(simulation.failovers()));
  EXPECT_GT(simulation.failovers(), 50);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FailoverSimulationTest, testing::Range(1U, 9U));

TEST(FailoverSimulationHistoryTest, ASeedGivesOneHistory) {
  Simulation one(3, false), again(3, false), other(4, false);
  for (Simulation* simulation : {&one, &again, &other}) simulation->Run(300);
  EXPECT_EQ(one.history(), again.history());
  EXPECT_NE(one.history(), other.history());
}

TEST(RingCounterTest, CountsForEverAndShowsEachSlip) {
  EXPECT_EQ(RingCounter::Steps(RingCounter::After(1234)), 1234 % RingCounter::kPeriod);
  std::vector<float> slipped = RingCounter::After(5);
  std::swap(slipped[4], slipped[5]);
  EXPECT_NE(RingCounter::Steps(slipped), 5);
  slipped[0] = 1.0F;
  EXPECT_FALSE(RingCounter::Steps(slipped).has_value());
}

}  // namespace
}  // namespace gruserve
