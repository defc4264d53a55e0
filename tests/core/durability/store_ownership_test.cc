// A session has one owner: who may write its record, who learns that it lost it, and
// how long the record lives.

#include <memory>
#include <string>

#include "core/session/session_id.h"
#include "tests/core/durability/durable_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using StoreOwnershipTest = DurableFixture;

TEST_F(StoreOwnershipTest, AnotherReplicaTakesOverAndTheFirstIsFenced) {
  const auto first = NewReplica();
  const auto second = NewReplica();
  const auto session = Create(*first);
  Step(*first, *session, 1, sink_);
  first->Flush();
  Step(*first, *session, 2, sink_);
  const auto taken = Resume(*second, other_);
  EXPECT_EQ(taken->Describe().next_step, 2);
  Step(*second, *taken, 2, other_);
  ExpectStep(other_, 2);
  // The first learns of it when it writes.
  Step(*first, *session, 3, sink_);
  EXPECT_TRUE(first->Flush());
  ASSERT_THAT(sink_->detached(), SizeIs(1));
  EXPECT_EQ(sink_->detached()[0].status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(sink_->detached()[0].reason, SessionErrorReason::kFenced);
  EXPECT_EQ(sink_->detached()[0].epoch, 2u);
  Step(*first, *session, 4, sink_);
  EXPECT_EQ(sink_->last().status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(first->table().counters().live, 0);
  EXPECT_EQ(first->table().counters().fenced, 1);
  second->Flush();
  EXPECT_EQ(store_->Get("a").checkpoint->step, 2);
}

TEST_F(StoreOwnershipTest, ResultsThatWaitAreRefusedWhereTheSessionIsLost) {
  const auto first = NewReplica();
  const auto second = NewReplica();
  const auto session = Create(*first, Durability::kSync);
  first->store().set_down(true);
  Step(*first, *session, 1, sink_);
  Resume(*second, other_);
  first->store().set_down(false);
  EXPECT_TRUE(first->Flush());
  ASSERT_THAT(sink_->results(), SizeIs(1));
  EXPECT_EQ(sink_->last().status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(sink_->last().output, IsEmpty());
}

TEST_F(StoreOwnershipTest, AServerDoesNotFenceItself) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  EXPECT_EQ(session->epoch(), 2u);
  Step(*replica, *session, 2, other_);
  ExpectStep(other_, 2);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(session->Describe().durable_step, 2);
  EXPECT_EQ(store_->Get("a").checkpoint->epoch, 2u);
}

TEST_F(StoreOwnershipTest, AZombieThatIsResumedLearnsThatItIsOne) {
  const auto zombie = NewReplica();
  const auto session = Create(*zombie);
  zombie->table().DetachAll(sink_.get());
  {
    const auto other = NewReplica();
    const auto taken = Resume(*other, other_);
    Step(*other, *taken, 1, other_);
    other->Flush();
  }
  const auto back = Resume(*zombie, sink_);
  EXPECT_NE(back, session);
  EXPECT_EQ(back->Describe().next_step, 2);
  EXPECT_EQ(back->epoch(), 3u);
  Step(*zombie, *back, 2, sink_);
  ExpectStep(sink_, 2);
}

TEST_F(StoreOwnershipTest, AResumeThatIsRefusedLeavesTheHolderAlone) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  EXPECT_THAT(replica->Open(Options(OpenMode::kResume, other_)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another client's stream holds")));
  Step(*replica, *session, 1, sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(session->Describe().durable_step, 1);
}

TEST_F(StoreOwnershipTest, AnIdIsTakenWhereItIsStored) {
  { Create(*NewReplica()); }
  const auto replica = NewReplica();
  for (const Durability durability : {Durability::kAsync, Durability::kNone}) {
    EXPECT_THAT(replica->Open(Options(OpenMode::kCreate, sink_, durability)).status(),
                StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("\"a\" is stored already")));
  }
  EXPECT_EQ(Open(*replica, Options(OpenMode::kCreateOrResume, sink_))->epoch(), 2u);
}

TEST_F(StoreOwnershipTest, CloseForgetsTheRecord) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  replica->Run(*session, CloseOp(), sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kAbsent);
  EXPECT_THAT(replica->Open(Options(OpenMode::kResume, sink_)).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"a\"")));
  EXPECT_NE(Create(*replica), nullptr);
}

TEST_F(StoreOwnershipTest, ARecordThatIsGoneIsMadeAnew) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  ASSERT_EQ(store_->Delete(session->claim().claim).outcome, StoreOutcome::kOk);
  Step(*replica, *session, 1, sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").checkpoint->step, 1);
  ASSERT_EQ(store_->Delete(session->claim().claim).outcome, StoreOutcome::kOk);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").epoch, 2u);
}

TEST_F(StoreOwnershipTest, RecordsAreRenewedWhileTheirSessionsLive) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  for (int i = 0; i < 12; ++i) {
    clock_.Advance(absl::Minutes(21));
    EXPECT_TRUE(replica->Flush());
    // The renewal that is due is a turn of its own.
    replica->writer().Get("a", [](const Acquired&) {});
    EXPECT_TRUE(replica->Flush());
  }
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kOk);
}

TEST_F(StoreOwnershipTest, SomeSessionsOnlyLiveInMemory) {
  const auto replica = NewReplica();
  const auto session = Create(*replica, Durability::kNone);
  EXPECT_FALSE(session->durable());
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kAbsent);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  OpenSessionOptions minted = Options(OpenMode::kCreate, sink_, Durability::kAsync);
  minted.id.clear();
  const auto named = Open(*replica, minted);
  EXPECT_TRUE(IsMintedSessionId(named->id()));
  EXPECT_EQ(store_->Get(named->id()).outcome, StoreOutcome::kOk);
}

}  // namespace
}  // namespace gruserve
