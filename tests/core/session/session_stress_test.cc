// Sessions on the real ComputePool, from many threads at once. Worth most under
// ThreadSanitizer.

#include <atomic>
#include <cstdint>
#include <latch>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "core/session/session_table.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/recording_sink.h"
#include "tests/support/reference_gru.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

constexpr int kWorkers = 2;
constexpr int kThreads = 4;

class SessionStressTest : public ::testing::Test {
 protected:
  // Two models, so that batches of both are under way.
  static const LoadedRandomModel& Model(int i) {
    static const auto* const first =
        new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2}, kWorkers, "first");
    static const auto* const second =
        new LoadedRandomModel(2, {.input_size = 2, .hidden_size = 7}, kWorkers, "second");
    return i % 2 == 0 ? *first : *second;
  }

  // Waits until the pool has run everything.
  void StopPool() { pool_.reset(); }

  FakeClock clock_;
  std::unique_ptr<ComputePool> pool_ =
      std::make_unique<ComputePool>(ComputePool::Options{.num_workers = kWorkers}, &clock_);
  SessionTable table_{{.max_inflight = 16}, pool_.get(), &clock_};
};

// What one thread sent to one of its sessions, and what came back.
struct Conversation {
  std::shared_ptr<Session> session;
  std::vector<float> input;
  std::vector<float> output;
};

TEST_F(SessionStressTest, StreamsOfManyThreadsAreEachBitEqualToTheSessionAlone) {
  constexpr int kSessions = 8;
  constexpr int kRounds = 30;
  std::vector<std::vector<Conversation>> all(kThreads);
  const auto stream = [&](std::vector<Conversation>& conversations, uint32_t seed) {
    std::mt19937 random(seed);
    std::unique_ptr<std::latch> round;
    const auto sink =
        std::make_shared<RecordingSink>([&](const SessionOp& op, const SessionOpResult& result) {
          EXPECT_TRUE(result.status.ok()) << result.status;
          std::vector<float>& output = conversations[op.tag].output;
          output.insert(output.end(), result.output.begin(), result.output.end());
          round->count_down();
        });
    for (int i = 0; i < kSessions; ++i) {
      OpenSessionOptions options;
      options.model = Model(i).handle();
      options.attachment = {sink, nullptr, static_cast<uint32_t>(i)};
      conversations.push_back({*table_.Open(options), {}, {}});
    }
    for (int i = 0; i < kRounds; ++i) {
      round = std::make_unique<std::latch>(kSessions * 4);
      for (uint32_t op = 0; op < kSessions * 4; ++op) {
        Conversation& conversation = conversations[op % kSessions];
        const int64_t time_steps = random() % 3 == 0 ? 5 : 1;
        SessionOp step =
            StepOp(RandomFloats(random, time_steps * conversation.session->model()->config().input_size),
                   time_steps);
        step.tag = op % kSessions;
        conversation.input.insert(conversation.input.end(), step.values.begin(), step.values.end());
        conversation.session->Submit(std::move(step), sink);
      }
      round->wait();
    }
    table_.DetachAll(sink.get());
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { stream(all[static_cast<size_t>(i)], static_cast<uint32_t>(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  StopPool();
  for (const auto& conversations : all) {
    for (size_t i = 0; i < conversations.size(); ++i) {
      std::vector<float> state;
      EXPECT_EQ(conversations[i].output,
                Model(static_cast<int>(i)).RunAlone(1, conversations[i].input, &state));
    }
  }
  clock_.Advance(absl::Minutes(10));
  table_.Expire();
  EXPECT_EQ(table_.counters().live, 0);
  EXPECT_EQ(table_.counters().memory_bytes, 0);
}

// One thread's random life on ids that all threads share.
class Rival {
 public:
  Rival(SessionTable* table, uint32_t seed, const LoadedRandomModel* first, const LoadedRandomModel* second)
      : table_(table), random_(seed), models_{first, second} {}

  void Live(int turns) {
    for (int i = 0; i < turns; ++i) Turn();
    table_->DetachAll(sink_.get());
  }
  int submitted() const { return submitted_; }
  int answered() const { return answered_; }
  const RecordingSink& sink() const { return *sink_; }

 private:
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  void Turn() {
    const uint32_t id = Below(6);
    OpenSessionOptions options;
    options.id = "shared" + std::to_string(id);
    options.mode = static_cast<OpenMode>(Below(3));
    options.model = options.mode == OpenMode::kResume ? nullptr : models_[id % 2]->handle();
    options.take_over = Below(2) == 0;
    options.close_with_stream = Below(4) == 0;
    options.attachment = {sink_, nullptr, id};
    const auto session = table_->Open(options);
    if (session.ok()) {
      for (uint32_t op = 0; op < 1 + Below(40); ++op) Submit(**session, id);
    }
    if (Below(10) == 0) table_->DetachAll(sink_.get());
    if (Below(4) != 0) AwaitAnswers();
  }

  // So that not all of the time goes by between two answers.
  void AwaitAnswers() {
    for (int answered = answered_; answered < submitted_; answered = answered_) answered_.wait(answered);
  }

  void Submit(Session& session, uint32_t id) {
    const uint32_t kind = Below(100);
    SessionOp op = kind < 2 ? CloseOp() : SetStateOp();
    if (kind >= 8) {
      const int64_t time_steps = kind < 20 ? 3 : 1;
      op = StepOp(RandomFloats(random_, time_steps * session.model()->config().input_size), time_steps);
      if (kind < 30) op.index = session.Describe().next_step;
    }
    op.tag = id;
    ++submitted_;
    session.Submit(std::move(op), sink_);
    if (kind < 4) session.ReadState([](const SessionDescription&, const std::vector<float>&) {});
  }

  SessionTable* const table_;
  std::mt19937 random_;
  const LoadedRandomModel* models_[2];
  int submitted_ = 0;
  std::atomic<int> answered_ = 0;
  const std::shared_ptr<RecordingSink> sink_ =
      std::make_shared<RecordingSink>([this](const SessionOp&, const SessionOpResult&) {
        ++answered_;
        answered_.notify_one();
      });
};

TEST_F(SessionStressTest, TakeOversDetachesClosesAndExpiryMayMeetAnywhere) {
  std::vector<std::unique_ptr<Rival>> rivals;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) {
    rivals.push_back(std::make_unique<Rival>(&table_, i, &Model(0), &Model(1)));
  }
  for (const auto& rival : rivals) threads.emplace_back([&rival] { rival->Live(300); });
  std::atomic<bool> over = false;
  std::thread reaper([&] {
    while (!over) {
      clock_.Advance(absl::Seconds(20));
      table_.Expire();
      for (const SessionDescription& description : table_.List("", 100, ""))
        EXPECT_GE(description.next_step, 1);
      EXPECT_GE(table_.counters().memory_bytes, 0);
    }
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  reaper.join();
  StopPool();
  int64_t applied = 0;
  for (const auto& rival : rivals) {
    EXPECT_EQ(rival->answered(), rival->submitted()) << "exactly one answer each";
    for (const SessionOpResult& result : rival->sink().results()) {
      applied += result.status.ok() ? 1 : 0;
      EXPECT_NE(result.status.code(), absl::StatusCode::kInternal) << result.status;
      EXPECT_NE(result.status.code(), absl::StatusCode::kInvalidArgument) << result.status;
    }
  }
  EXPECT_GT(applied, 1000);
  EXPECT_GT(table_.counters().resumed, 50);
  clock_.Advance(absl::Hours(1));
  table_.Expire();
  EXPECT_EQ(table_.counters().live, 0);
  EXPECT_EQ(table_.counters().attached, 0);
  EXPECT_EQ(table_.counters().memory_bytes, 0);
}

}  // namespace
}  // namespace gruserve
