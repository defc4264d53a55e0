#include "core/store/sqlite/sqlite_session_store.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "core/store/sqlite/sqlite_database.h"
#include "tests/core/store/store_calls.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

class SqliteSessionStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteSessionStore> OpenStore() {
    absl::StatusOr<std::unique_ptr<SqliteSessionStore>> store = SqliteSessionStore::Open(path(), &clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  std::string path() const { return folder_ / "sessions.db"; }

  void Sql(const std::string& sql) {
    auto database = SqliteDatabase::Open(path());
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::Status status = (*database)->Execute(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

  FakeClock clock_;
  ScratchFolder folder_;
};

TEST_F(SqliteSessionStoreTest, RecordsLiveForTheirTimeAndRenewPutsItOff) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  clock_.Advance(absl::Minutes(59));
  const StoreClaim claim{"a", 1, "x"};
  EXPECT_EQ(store->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kOk);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(store->Get("a").outcome, StoreOutcome::kOk);
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(store->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").outcome, StoreOutcome::kAbsent);
  EXPECT_TRUE(Acquire(*store, AcquireMode::kCreate, "y").created);
}

TEST_F(SqliteSessionStoreTest, ADamagedNewestFallsBackToTheOneBefore) {
  {
    const auto store = OpenStore();
    Acquire(*store, AcquireMode::kCreate, "x");
    Put(*store, PutOf(1, "x", 1));
    Put(*store, PutOf(1, "x", 2));
    Put(*store, PutOf(1, "x", 2));
  }
  Sql("UPDATE sessions SET newest = substr(newest, 1, length(newest) - 5)");
  const auto store = OpenStore();
  const Acquired acquired = Acquire(*store, AcquireMode::kResume, "y");
  EXPECT_EQ(acquired.outcome, StoreOutcome::kOk);
  EXPECT_TRUE(acquired.fell_back);
  EXPECT_EQ(acquired.checkpoint, At(1));
  Sql("UPDATE sessions SET previous = x'00'");
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "z").outcome, StoreOutcome::kDamaged);
}

TEST_F(SqliteSessionStoreTest, ATornLogEndsAtItsLastWholeBatch) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  Put(*store, PutOf(1, "x", 1));
  Put(*store, PutOf(1, "x", 2));
  // As a crash would leave it: the files of a store that is open.
  const ScratchFolder crashed;
  std::filesystem::copy(path(), crashed / "sessions.db");
  std::filesystem::copy(path() + "-wal", crashed / "sessions.db-wal");
  std::filesystem::resize_file(crashed / "sessions.db-wal",
                               std::filesystem::file_size(crashed / "sessions.db-wal") - 100);
  auto after = SqliteSessionStore::Open(crashed / "sessions.db", &clock_);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*after)->Get("a").checkpoint, At(1));
}

TEST_F(SqliteSessionStoreTest, FilesThatAreNotItsOwnAreRefused) {
  std::ofstream(path()) << std::string(8192, 'x');
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path())));
  std::filesystem::remove(path());
  Sql("CREATE TABLE other (x)");
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another program's")));
  std::filesystem::remove(path());
  OpenStore();
  Sql("PRAGMA user_version = 9");
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has schema version 9")));
  EXPECT_THAT(SqliteSessionStore::Open(folder_ / "no" / "such.db", &clock_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unable to open")));
}

// No file of this process may grow beyond `bytes` while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(SqliteSessionStoreTest, AFullDiskIsUnavailableUntilThereIsRoom) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  StorePut large = PutOf(1, "x", 2);
  large.checkpoint = EncodeCheckpoint(At(2, 1 << 18));
  {
    const FileSizeLimit full(200'000);
    EXPECT_EQ(Put(*store, PutOf(1, "x", 1)).outcome, StoreOutcome::kOk);
    EXPECT_EQ(Put(*store, large).outcome, StoreOutcome::kUnavailable);
    EXPECT_EQ(store->Get("a").checkpoint, At(1));
  }
  EXPECT_EQ(Put(*store, large).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("a").checkpoint, At(2, 1 << 18));
}

}  // namespace
}  // namespace gruserve
