// Thousands of random operations over many sessions, against SessionOracle: every
// answer (code, reason, index, next step, bits of output and state) must be the
// same, in the same order, and every session must end when it should.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/reference_gru.h"
#include "tests/support/session_fixture.h"
#include "tests/support/session_oracle.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxInflight = 8;
constexpr int kStreams = 4;
constexpr int kIds = 24;
constexpr absl::Duration kIdle = absl::Minutes(5);
constexpr absl::Duration kGrace = absl::Minutes(1);

class SessionRandomTest : public SessionFixture, public ::testing::WithParamInterface<uint32_t> {
 protected:
  // A session and what it must be.
  struct Twin {
    std::shared_ptr<Session> session;
    std::unique_ptr<SessionOracle> oracle;
    int64_t rows = 1;
    int holder = -1;  // The stream; -1: none.
    bool close_with_stream = false;
    std::optional<absl::Time> released_at = std::nullopt;
  };

  void SetUp() override {
    random_.seed(GetParam());
    const int64_t one = Session::MemoryBytes(*models_[1].handle(), 1);
    MakeTable({.memory_bytes = 20 * one, .idle_ttl = kIdle, .grace = kGrace, .max_inflight = kMaxInflight});
    for (int i = 0; i < kStreams; ++i) {
      streams_.push_back(std::make_shared<RecordingSink>());
      checked_.push_back(0);
    }
    outside_ = std::make_shared<RecordingSink>();
  }

  int Pick(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  bool Chance(int percent) { return Pick(100) < percent; }
  std::shared_ptr<RecordingSink> SinkOf(int stream) {
    return stream < 0 ? outside_ : streams_[static_cast<size_t>(stream)];
  }

  void OpenOne() {
    OpenSessionOptions options = Options("id" + std::to_string(Pick(kIds)));
    const LoadedRandomModel& model = models_[Pick(2)];
    const int stream = Pick(kStreams + 1) - 1;
    options.model = model.handle();
    options.mode = static_cast<OpenMode>(Pick(3));
    options.attachment.sink = stream < 0 ? nullptr : streams_[static_cast<size_t>(stream)];
    if (Chance(50)) options.attachment.client_instance = std::make_shared<const std::string>("client");
    options.take_over = Chance(30);
    options.close_with_stream = Chance(30);
    const auto found = twins_.find(options.id);
    Twin* live = found == twins_.end() || found->second.oracle->ended() ? nullptr : &found->second;
    if (live != nullptr) {
      options.model = live->session->model();
      options.batch_size = live->session->batch_size();
    } else {
      options.batch_size = Pick(3);
      if (Chance(50)) options.remember_steps = Pick(13);
    }
    if (options.mode != OpenMode::kResume && Chance(30)) {
      options.h_0 = RandomFloats(
          random_, std::max<int64_t>(options.batch_size, 1) * options.model->config().state_size());
    }
    Expect(options, stream, live, model);
  }

  // Opens, and checks the answer against the rules.
  void Expect(const OpenSessionOptions& options, int stream, Twin* live, const LoadedRandomModel& model) {
    const std::string held_by = live != nullptr && live->holder >= 0 ? instances_[options.id] : "";
    const int64_t bytes = Session::MemoryBytes(*options.model, std::max<int64_t>(options.batch_size, 1),
                                               options.remember_steps);
    const bool fits =
        table_->counters().memory_bytes + bytes <= 20 * Session::MemoryBytes(*models_[1].handle(), 1);
    absl::StatusCode want = absl::StatusCode::kOk;
    if (live != nullptr && options.mode == OpenMode::kCreate) {
      want = absl::StatusCode::kAlreadyExists;
    } else if (live != nullptr && live->holder >= 0 && !options.take_over &&
               (held_by.empty() || options.attachment.client_instance == nullptr)) {
      want = absl::StatusCode::kFailedPrecondition;
    } else if (live != nullptr ? live->oracle->closing() : options.mode == OpenMode::kResume) {
      want = absl::StatusCode::kNotFound;
    } else if (live == nullptr && !fits) {
      want = absl::StatusCode::kResourceExhausted;
    }
    auto session = table_->Open(options);
    ASSERT_EQ(session.status().code(), want) << session.status();
    if (!session.ok()) return;
    Twin& twin = twins_[options.id];
    if (live == nullptr) {
      twin = {*session,
              std::make_unique<SessionOracle>(&model, std::max<int64_t>(options.batch_size, 1), options.h_0,
                                              kMaxInflight, options.remember_steps, &answers_)};
      twin.rows = std::max<int64_t>(options.batch_size, 1);
      twin.oracle->set_last_done(clock_.Now());
    } else {
      twin.oracle->Fence(clock_.Now(), !held_by.empty() && options.attachment.client_instance != nullptr);
    }
    twin.holder = stream;
    twin.close_with_stream = options.close_with_stream;
    twin.released_at.reset();
    instances_[options.id] =
        options.attachment.client_instance == nullptr ? "" : *options.attachment.client_instance;
  }

  SessionOp RandomOp(const Twin& twin) {
    const GruConfig& config = twin.session->model()->config();
    const int kind = Pick(100);
    SessionOp op;
    if (kind < 4) {
      op = CloseOp();
    } else if (kind < 14) {
      op = SetStateOp(Chance(50) ? RandomFloats(random_, twin.rows * config.state_size())
                                 : std::vector<float>());
    } else {
      const int64_t time_steps = Chance(70) ? 1 : 1 + Pick(9);
      op = StepOp(RandomFloats(random_, time_steps * twin.rows * config.input_size), time_steps);
    }
    if (op.kind != SessionOpKind::kClose) {
      if (Chance(40)) op.index = std::max<int64_t>(1, twin.oracle->next() + (Chance(60) ? 0 : Pick(10) - 7));
      if (Chance(5)) op.refused = absl::InvalidArgumentError("input.shape");
    }
    op.return_state = op.kind != SessionOpKind::kClose && Chance(30);
    op.tag = ++tags_;
    return op;
  }

  void Burst(Twin* twin) {
    for (int count = 1 + Pick(12); count > 0; --count) {
      const SessionOp op = RandomOp(*twin);
      const int sender = twin->holder >= 0 && Chance(4) ? (twin->holder + 1) % kStreams : twin->holder;
      sessions_of_[op.tag] = twin->session->id();
      twin->session->Submit(op, SinkOf(sender));
      twin->oracle->Submit(op, sender != twin->holder, clock_.Now());
    }
  }

  // Runs all that waits, here and in the oracles.
  void RunAllAndCompare(Twin* fail_first) {
    if (fail_first != nullptr) executor_.FailNext(absl::InternalError("injected"));
    executor_.RunAll();
    executor_.FailNext(absl::OkStatus());
    for (auto& [id, twin] : twins_) twin.oracle->RunAll(&twin == fail_first, clock_.Now());
    for (size_t i = 0; i < streams_.size(); ++i) Compare(*streams_[i], &checked_[i]);
    Compare(*outside_, &checked_outside_);
    answers_.erase(0);  // Of the closes that nobody hears of.
    std::erase_if(twins_, [](const auto& twin) { return twin.second.oracle->ended(); });
    CompareTable();
  }

  // Refusals that may be answered at once, ahead of what waits.
  static bool MayOvertake(SessionErrorReason reason) {
    return reason == SessionErrorReason::kCredits || reason == SessionErrorReason::kFenced ||
           reason == SessionErrorReason::kMoved || reason == SessionErrorReason::kBarrier;
  }

  void Compare(const RecordingSink& sink, size_t* checked) {
    for (; *checked < sink.results().size(); ++*checked) {
      const SessionOpResult& got = sink.results()[*checked];
      const uint64_t tag = sink.ops()[*checked].tag;
      const std::string id = sessions_of_[tag];
      if (!MayOvertake(got.reason)) {
        uint64_t& last_tag = last_tags_[{&sink, id}];
        EXPECT_GT(tag, last_tag) << "out of order in " << id;
        last_tag = tag;
      }
      ASSERT_EQ(answers_.count(tag), 1u) << got.status;
      const SessionOracle::Answer& want = answers_[tag];
      ASSERT_EQ(got.status.code(), want.code) << got.status << " tag " << tag;
      EXPECT_EQ(got.reason, want.reason) << got.status;
      EXPECT_EQ(got.index, want.index) << got.status;
      EXPECT_EQ(got.expected_step, want.expected_step) << got.status;
      EXPECT_EQ(got.output, want.output);
      EXPECT_EQ(got.state, want.state);
      EXPECT_EQ(got.replayed, want.replayed);
      if (got.replayed) ++replays_;
      answers_.erase(tag);
    }
  }

  void CompareTable() {
    const SessionTable::Counters counters = table_->counters();
    int64_t bytes = 0;
    int64_t attached = 0;
    for (const auto& [id, twin] : twins_) {
      bytes += Session::MemoryBytes(*twin.session->model(), twin.rows, twin.session->remember_steps());
      attached += twin.holder >= 0 ? 1 : 0;
      EXPECT_EQ(twin.session->Describe().next_step, twin.oracle->next());
    }
    EXPECT_EQ(counters.live, static_cast<int64_t>(twins_.size()));
    EXPECT_EQ(counters.attached, attached);
    EXPECT_EQ(counters.memory_bytes, bytes);
  }

  void EndStream() {
    const int stream = Pick(kStreams);
    table_->DetachAll(streams_[static_cast<size_t>(stream)].get());
    for (auto& [id, twin] : twins_) {
      if (twin.holder != stream) continue;
      twin.holder = -1;
      twin.released_at = clock_.Now();
      if (twin.close_with_stream) twin.oracle->Submit(CloseOp(), false, clock_.Now());
    }
  }

  void PassTime() {
    clock_.Advance(absl::Seconds(Pick(Chance(20) ? 400 : 40)));
    table_->Expire();
    const absl::Time now = clock_.Now();
    for (auto& [id, twin] : twins_) {
      if (twin.oracle->busy()) continue;
      const bool idle = now - twin.oracle->last_done() >= kIdle;
      const bool orphan =
          twin.released_at && now - std::max(*twin.released_at, twin.oracle->last_done()) >= kGrace;
      if (idle || orphan) twin.oracle->Evict();
    }
  }

  std::mt19937 random_;
  const LoadedRandomModel models_[2] = {
      LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2}),
      LoadedRandomModel(2, {.input_size = 2, .hidden_size = 7}, 1, "second")};
  std::vector<std::shared_ptr<RecordingSink>> streams_;
  std::shared_ptr<RecordingSink> outside_;
  std::vector<size_t> checked_;
  size_t checked_outside_ = 0;
  std::map<std::string, Twin> twins_;
  std::map<std::string, std::string> instances_;
  SessionOracle::Answers answers_;
  std::map<uint64_t, std::string> sessions_of_;
  std::map<std::pair<const RecordingSink*, std::string>, uint64_t> last_tags_;
  uint64_t tags_ = 0;
  int replays_ = 0;
};

TEST_P(SessionRandomTest, EveryAnswerIsTheOracles) {
  for (int round = 0; round < 1500 && !HasFatalFailure(); ++round) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + " round " + std::to_string(round));
    for (int opens = Pick(3); opens > 0; --opens) OpenOne();
    Twin* only = nullptr;
    const int bursts = twins_.empty() ? 0 : 1 + Pick(4);
    for (int burst = 0; burst < bursts; ++burst) {
      Twin* twin = &std::next(twins_.begin(), Pick(static_cast<int>(twins_.size())))->second;
      Burst(twin);
      only = burst == 0 ? twin : nullptr;
    }
    if (Chance(10)) PassTime();
    if (Chance(10)) OpenOne();
    if (Chance(5)) EndStream();
    RunAllAndCompare(only != nullptr && Chance(30) ? only : nullptr);
    if (Chance(20)) {
      PassTime();
      RunAllAndCompare(nullptr);
    }
  }
  EXPECT_TRUE(answers_.empty()) << answers_.size() << " operations were never answered";
  EXPECT_GT(tags_, 5000u);
  EXPECT_GT(table_->counters().evicted_idle + table_->counters().evicted_grace, 20);
  EXPECT_GT(table_->counters().refused_budget, 0);
  EXPECT_GT(table_->counters().resumed, 100);
  EXPECT_GT(replays_, 100);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SessionRandomTest, ::testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace gruserve
