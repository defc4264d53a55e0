#include "core/session/session_table.h"

#include <malloc.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/session/session_id.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/resident_bytes.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionTableTest : public SessionFixture {
 protected:
  void ExpectOpenError(OpenSessionOptions options, absl::StatusCode code, const std::string& text) {
    const SessionTable::Counters before = table_->counters();
    const absl::Status status = OpenError(std::move(options));
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
    EXPECT_EQ(table_->counters().live, before.live);
    EXPECT_EQ(table_->counters().memory_bytes, before.memory_bytes);
  }
  OpenSessionOptions By(OpenSessionOptions options, const std::string& client_instance) {
    options.attachment.client_instance = std::make_shared<const std::string>(client_instance);
    return options;
  }
  std::vector<std::string> Ids(const std::vector<SessionDescription>& descriptions) {
    std::vector<std::string> ids;
    for (const SessionDescription& description : descriptions) ids.push_back(description.id);
    return ids;
  }

  const std::shared_ptr<RecordingSink> other_ = std::make_shared<RecordingSink>();
};

// Keeps nothing.
class CountingSink : public SessionSink {
 public:
  void OnOpDone(const SessionOp&, const SessionOpResult& result) override {
    EXPECT_TRUE(result.status.ok()) << result.status;
  }
  void OnDetached(uint64_t, const absl::Status&, SessionErrorReason, uint64_t) override {}
};

TEST_F(SessionTableTest, CreateMintsAnIdWhereNoneIsGiven) {
  EXPECT_TRUE(IsMintedSessionId(Open("", sink_)->id()));
  EXPECT_TRUE(IsMintedSessionId(Open(Options("", sink_, OpenMode::kCreateOrResume))->id()));
}

TEST_F(SessionTableTest, AMintedIdCannotBeChosenButResumed) {
  const std::string minted = Open("", nullptr)->id();
  const std::string made_up = "s-" + std::string(32, '0');
  ExpectOpenError(Options(made_up), absl::StatusCode::kInvalidArgument, "only the server gives out");
  ExpectOpenError(Options(made_up, sink_, OpenMode::kCreateOrResume), absl::StatusCode::kInvalidArgument,
                  "not open");
  EXPECT_EQ(Open(Options(minted, sink_, OpenMode::kCreateOrResume))->id(), minted);
}

TEST_F(SessionTableTest, ABadIdIsInvalidArgument) {
  ExpectOpenError(Options("a b"), absl::StatusCode::kInvalidArgument, "session_id");
}

TEST_F(SessionTableTest, CreateOfALiveIdIsAlreadyExists) {
  Open("a", nullptr);
  ExpectOpenError(Options("a"), absl::StatusCode::kAlreadyExists, "\"a\"");
}

TEST_F(SessionTableTest, CreateOfAClosingIdIsAlreadyExistsAndItsResumeNotFound) {
  const auto session = Open("a", sink_);
  session->Submit(StepOp(Input()), sink_);
  session->Submit(CloseOp(), sink_);
  ExpectOpenError(Options("a"), absl::StatusCode::kAlreadyExists, "\"a\"");
  OpenSessionOptions resume = Options("a", other_, OpenMode::kResume);
  resume.take_over = true;
  ExpectOpenError(resume, absl::StatusCode::kNotFound, "being closed");
  executor_.RunAll();
  EXPECT_NE(Open("a", nullptr), nullptr);
  EXPECT_THAT(sink_->detached(), IsEmpty());
}

TEST_F(SessionTableTest, ResumeWithoutAnIdIsInvalidArgument) {
  ExpectOpenError(Options("", sink_, OpenMode::kResume), absl::StatusCode::kInvalidArgument,
                  "session_id is empty");
}

TEST_F(SessionTableTest, ResumeOfAnUnknownIdIsNotFound) {
  ExpectOpenError(Options("a", sink_, OpenMode::kResume), absl::StatusCode::kNotFound, "not open");
}

TEST_F(SessionTableTest, CreateOrResumeCreatesThenResumes) {
  const auto made = Open(Options("a", nullptr, OpenMode::kCreateOrResume));
  EXPECT_EQ(Open(Options("a", sink_, OpenMode::kCreateOrResume)), made);
  EXPECT_EQ(table_->counters().opened, 1);
  EXPECT_EQ(table_->counters().resumed, 1);
  EXPECT_EQ(made->Describe().epoch, 2u);
}

TEST_F(SessionTableTest, AResumedSessionKeepsItsStateAndNextStep) {
  const std::vector<float> input = Input(2);
  std::vector<float> state;
  const std::vector<float> whole = demo().RunAlone(1, input, &state);
  Run(*Open("a", sink_), StepOp({input.begin(), input.begin() + 3}), sink_);
  table_->DetachAll(sink_.get());
  const auto session = Open(Options("a", other_, OpenMode::kResume));
  EXPECT_EQ(session->Describe().next_step, 2);
  EXPECT_EQ(session->Describe().epoch, 2u);
  const auto output = Run(*session, StepOp({input.begin() + 3, input.end()}), other_).output;
  EXPECT_EQ(output, std::vector<float>(whole.begin() + 5, whole.end()));
}

TEST_F(SessionTableTest, AResumeThatContradictsTheSessionIsInvalidArgument) {
  static const LoadedRandomModel second(2, demo().config(), 1, "second");
  static const LoadedRandomModel newer(2, demo().config(), 1, "demo", 2);
  Open("a", nullptr);
  OpenSessionOptions options = Options("a", sink_, OpenMode::kCreateOrResume);
  options.model = second.handle();
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument,
                  "model is \"second\" version 1, session \"a\" has \"demo\"");
  options.model = newer.handle();
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "version 2");
  options.any_version = true;
  EXPECT_EQ(Open(options)->Describe().model_version, 1);
  table_->DetachAll(sink_.get());
  options = Options("a", sink_, OpenMode::kResume);
  options.batch_size = 2;
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "batch_size is 2");
  options = Options("a", sink_, OpenMode::kResume);
  options.h_0.resize(10);
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "h_0");
}

TEST_F(SessionTableTest, ResumeOfAnotherClientsHeldSessionIsFailedPrecondition) {
  Open(By(Options("a", sink_), "one"));
  ExpectOpenError(By(Options("a", other_, OpenMode::kResume), "two"), absl::StatusCode::kFailedPrecondition,
                  "take_over");
  ExpectOpenError(Options("a", other_, OpenMode::kResume), absl::StatusCode::kFailedPrecondition,
                  "take_over");
  EXPECT_THAT(sink_->detached(), IsEmpty());
}

TEST_F(SessionTableTest, TwoClientsWithoutAnInstanceAreNotTheSame) {
  Open("a", sink_);
  ExpectOpenError(Options("a", other_, OpenMode::kResume), absl::StatusCode::kFailedPrecondition,
                  "take_over");
}

TEST_F(SessionTableTest, TheSameClientResumesWhatItsBrokenStreamStillHolds) {
  Open(By(Options("a", sink_), "one"));
  Open(By(Options("a", other_, OpenMode::kResume), "one"));
  ASSERT_EQ(sink_->detached().size(), 1u);
  EXPECT_EQ(sink_->detached()[0].handle, 7u);
  EXPECT_EQ(sink_->detached()[0].status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(sink_->detached()[0].reason, SessionErrorReason::kMoved);
  EXPECT_EQ(sink_->detached()[0].epoch, 2u);
  EXPECT_EQ(table_->counters().attached, 1);
}

TEST_F(SessionTableTest, TakeOverWins) {
  Open(By(Options("a", sink_), "one"));
  OpenSessionOptions options = By(Options("a", other_, OpenMode::kResume), "two");
  options.take_over = true;
  EXPECT_EQ(Open(options)->Describe().epoch, 2u);
  EXPECT_EQ(sink_->detached().size(), 1u);
  table_->DetachAll(sink_.get());
  EXPECT_EQ(table_->counters().attached, 1) << "the old stream's end changes nothing";
}

TEST_F(SessionTableTest, AModelThatCannotStepIsFailedPrecondition) {
  static const LoadedRandomModel both(3, {.input_size = 2, .hidden_size = 3, .num_directions = 2}, 1, "both");
  OpenSessionOptions options = Options("a");
  options.model = both.handle();
  ExpectOpenError(options, absl::StatusCode::kFailedPrecondition, "bidirectional");
}

TEST_F(SessionTableTest, CreateNeedsAModelASoundBatchAndAFittingH0) {
  OpenSessionOptions options = Options("a");
  options.model = nullptr;
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "model is missing");
  options = Options("a");
  options.batch_size = -1;
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "batch_size is -1");
  options = Options("a");
  options.h_0.resize(11);
  ExpectOpenError(options, absl::StatusCode::kInvalidArgument, "h_0 has 11 values");
}

TEST_F(SessionTableTest, TheBudgetAdmitsOrRefusesBeforeAnythingIsAllocated) {
  const int64_t one = Session::MemoryBytes(*demo().handle(), 1);
  MakeTable({.memory_bytes = 3 * one});
  for (const char* id : {"a", "b", "c"}) Open(id, sink_);
  EXPECT_EQ(table_->counters().memory_bytes, 3 * one);
  ExpectOpenError(Options("d"), absl::StatusCode::kResourceExhausted, "session memory budget");
  OpenSessionOptions huge = Options("e");
  huge.batch_size = std::numeric_limits<int64_t>::max();
  ExpectOpenError(huge, absl::StatusCode::kResourceExhausted, "session memory budget");
  EXPECT_EQ(table_->counters().refused_budget, 2);
  Run(**table_->Find("b"), CloseOp(), sink_);
  EXPECT_NE(Open("d", sink_), nullptr);
}

TEST_F(SessionTableTest, AfterStopOpeningOpensAreUnavailableAndSessionsStepOn) {
  const auto session = Open("a", sink_);
  table_->StopOpening();
  ExpectOpenError(Options("b"), absl::StatusCode::kUnavailable, "shutting down");
  ExpectOpenError(Options("a", sink_, OpenMode::kResume), absl::StatusCode::kUnavailable, "shutting down");
  EXPECT_TRUE(Run(*session, StepOp(Input()), sink_).status.ok());
}

TEST_F(SessionTableTest, FindDetachedRefusesAHeldSession) {
  Open("held", sink_);
  Open("free", nullptr);
  EXPECT_TRUE(table_->Find("held").ok());
  EXPECT_EQ(table_->FindDetached("held").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(table_->FindDetached("free").ok());
  EXPECT_EQ(table_->FindDetached("none").status().code(), absl::StatusCode::kNotFound);
  table_->DetachAll(sink_.get());
  EXPECT_TRUE(table_->FindDetached("held").ok());
}

TEST_F(SessionTableTest, ADetachedSessionServesUnaryCalls) {
  const auto session = Open("a", nullptr);
  EXPECT_TRUE(Run(*session, StepOp(Input()), std::make_shared<RecordingSink>()).status.ok());
  EXPECT_TRUE(Run(*session, StepOp(Input()), std::make_shared<RecordingSink>()).status.ok());
  EXPECT_EQ(session->Describe().next_step, 3);
}

TEST_F(SessionTableTest, ListPagesByIdAndFiltersByModel) {
  static const LoadedRandomModel second(2, demo().config(), 1, "second");
  for (const char* id : {"d", "b", "a", "c"}) Open(id, sink_);
  OpenSessionOptions options = Options("b2");
  options.model = second.handle();
  Open(options);
  EXPECT_THAT(Ids(table_->List("", 2, "")), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(table_->List("b", 2, "")), ElementsAre("b2", "c"));
  EXPECT_THAT(Ids(table_->List("c", 10, "")), ElementsAre("d"));
  EXPECT_THAT(Ids(table_->List("d", 10, "")), IsEmpty());
  EXPECT_THAT(Ids(table_->List("", 10, "second")), ElementsAre("b2"));
}

TEST_F(SessionTableTest, DetachAllClosesOrKeepsAsItsOpenSaid) {
  Open("kept", sink_);
  OpenSessionOptions options = Options("closed", sink_);
  options.close_with_stream = true;
  const auto closing = Open(options);
  Open("others", other_);
  closing->Submit(StepOp(Input()), sink_);
  table_->DetachAll(sink_.get());
  EXPECT_EQ(table_->counters().attached, 1);
  EXPECT_EQ(table_->counters().live, 3) << "what is queued runs first";
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  EXPECT_THAT(Ids(table_->List("", 10, "")), ElementsAre("kept", "others"));
  EXPECT_THAT(sink_->detached(), IsEmpty());
}

TEST_F(SessionTableTest, AResumeDecidesAnewWhetherTheSessionClosesWithItsStream) {
  OpenSessionOptions options = Options("a", sink_);
  options.close_with_stream = true;
  Open(options);
  options = Options("a", other_, OpenMode::kResume);
  options.take_over = true;
  Open(options);
  table_->DetachAll(other_.get());
  EXPECT_EQ(table_->counters().live, 1);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kKeptBytes = int64_t{1} << 40;
#else
constexpr int64_t kKeptBytes = 2 << 20;
#endif

TEST_F(SessionTableTest, TenThousandOpensAndClosesLeaveNothing) {
  // Where libabsl was built with its checks, it keeps a node for each mutex that
  // was ever held together with another, and no memory of those goes back.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  constexpr int kSessions = 10'000;
  const auto quiet = std::make_shared<CountingSink>();
  const auto open_and_close = [&](int at_once) {
    std::vector<std::shared_ptr<Session>> sessions;
    for (int i = 0; i < kSessions; ++i) {
      OpenSessionOptions options = Options("");
      options.attachment.sink = quiet;
      sessions.push_back(Open(options));
      if (i % 3 == 0) sessions.back()->Submit(StepOp(Input()), quiet);
      executor_.RunAll();
      if (static_cast<int>(sessions.size()) < at_once) continue;
      for (const auto& session : sessions) session->Submit(CloseOp(), quiet);
      sessions.clear();
    }
  };
  open_and_close(100);  // What stays from the first time is no leak.
  malloc_trim(0);       // As the reaper does when many have ended.
  const int64_t before = ResidentBytes();
  open_and_close(1);
  const int64_t after_one_by_one = ResidentBytes();
  open_and_close(kSessions);
  malloc_trim(0);
  const int64_t after_all_at_once = ResidentBytes();
  EXPECT_EQ(table_->counters().memory_bytes, 0);
  EXPECT_EQ(table_->counters().live, 0);
  EXPECT_EQ(table_->counters().closed, 3 * kSessions);
  // A sanitizer keeps what is freed, to catch who still uses it.
  EXPECT_LE(after_one_by_one - before, kKeptBytes);
  EXPECT_LE(after_all_at_once - before, kKeptBytes);
}

}  // namespace
}  // namespace gruserve
