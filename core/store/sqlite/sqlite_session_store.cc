#include "core/store/sqlite/sqlite_session_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/status_macros.h"
#include "core/store/sqlite/sqlite_database.h"

namespace gruserve {
namespace {

// "grus": what the file says it is.
constexpr int64_t kApplicationId = 0x67727573;
constexpr int64_t kSchemaVersion = 1;
// Records past their time that one batch deletes: it must not take long.
constexpr int64_t kMaxPurge = 256;

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS sessions ("
    " id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, owner TEXT NOT NULL, step INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, newest BLOB NOT NULL, previous BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expires_ms);";

StoreResult Failure(const absl::Status& status) {
  const bool damaged = status.code() == absl::StatusCode::kDataLoss;
  return {damaged ? StoreOutcome::kDamaged : StoreOutcome::kUnavailable, std::string(status.message()), 0,
          ""};
}

Acquired Refused(const absl::Status& status) {
  Acquired acquired;
  StoreResult failure = Failure(status);
  acquired.outcome = failure.outcome;
  acquired.message = std::move(failure.message);
  return acquired;
}

StoreResult Absent(const std::string& id) {
  return {StoreOutcome::kAbsent, absl::StrCat("the store has no session \"", id, "\""), 0, ""};
}

absl::StatusOr<int64_t> Pragma(SqliteDatabase* database, const std::string& name) {
  SqliteStatement statement(database, absl::StrCat("PRAGMA ", name));
  GRUSERVE_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Number(0) : 0;
}

// Whether this file is ours to use; a new one becomes so.
absl::Status AdoptFile(SqliteDatabase* database, const std::string& path) {
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t application, Pragma(database, "application_id"));
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t version, Pragma(database, "user_version"));
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t tables, Pragma(database, "schema_version"));
  if (application == 0 && tables == 0) {
    return database->Execute(absl::StrCat("BEGIN IMMEDIATE; PRAGMA application_id = ", kApplicationId,
                                          "; PRAGMA user_version = ", kSchemaVersion, "; ", kSchema,
                                          "COMMIT"));
  }
  if (application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat("SQLite file ", path, " holds another program's data, not sessions of gruserve"));
  }
  if (version != kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("SQLite file ", path, " has schema version ", version,
                                                      ", this server knows version ", kSchemaVersion));
  }
  return absl::OkStatus();
}

absl::Status CheckWhole(SqliteDatabase* database, const std::string& path) {
  SqliteStatement check(database, "PRAGMA quick_check(1)");
  GRUSERVE_ASSIGN_OR_RETURN(const bool row, check.Step());
  const std::string verdict = row ? check.Bytes(0) : "no answer";
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("SQLite file ", path, " is damaged: ", verdict));
}

}  // namespace

struct SqliteSessionStore::Connection {
  explicit Connection(std::unique_ptr<SqliteDatabase> opened) : database(std::move(opened)) {}

  std::unique_ptr<SqliteDatabase> database;
  SqliteStatement find{database.get(),
                       "SELECT epoch, owner, step, newest, previous FROM sessions"
                       " WHERE id = ? AND expires_ms > ?"};
  SqliteStatement claim{database.get(),
                        "SELECT epoch, owner, step FROM sessions WHERE id = ? AND expires_ms > ?"};
  // Also over one past its time that has not been purged.
  SqliteStatement create{
      database.get(),
      "INSERT OR REPLACE INTO sessions (id, epoch, owner, step, expires_ms, newest, previous)"
      " VALUES (?, ?, ?, ?, ?, ?, x'')"};
  SqliteStatement take{database.get(),
                       "UPDATE sessions SET epoch = ?, owner = ?, expires_ms = ? WHERE id = ?"};
  // The same step again leaves the one before it alone.
  SqliteStatement put{database.get(),
                      "UPDATE sessions SET previous = CASE WHEN step = ?1 THEN previous ELSE newest END,"
                      " newest = ?2, step = ?1, expires_ms = ?3 WHERE id = ?4"};
  SqliteStatement renew{database.get(), "UPDATE sessions SET expires_ms = ? WHERE id = ?"};
  SqliteStatement release{database.get(), "UPDATE sessions SET owner = '' WHERE id = ?"};
  SqliteStatement remove{database.get(), "DELETE FROM sessions WHERE id = ?"};
  SqliteStatement purge{database.get(),
                        "DELETE FROM sessions WHERE id IN"
                        " (SELECT id FROM sessions WHERE expires_ms <= ? LIMIT ?)"};
  SqliteStatement list{database.get(),
                       "SELECT id, epoch, owner, step FROM sessions WHERE id > ? AND expires_ms > ?"
                       " ORDER BY id LIMIT ?"};
};

SqliteSessionStore::SqliteSessionStore(std::string path, Clock* clock)
    : path_(std::move(path)), clock_(clock) {}

SqliteSessionStore::~SqliteSessionStore() = default;

absl::StatusOr<std::unique_ptr<SqliteSessionStore>> SqliteSessionStore::Open(const std::string& path,
                                                                             Clock* clock) {
  std::unique_ptr<SqliteSessionStore> store(new SqliteSessionStore(path, clock));
  absl::MutexLock lock(&store->mu_);
  GRUSERVE_RETURN_IF_ERROR(store->Connect());
  GRUSERVE_RETURN_IF_ERROR(CheckWhole(store->connection_->database.get(), path));
  return store;
}

absl::Status SqliteSessionStore::Connect() {
  GRUSERVE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database, SqliteDatabase::Open(path_));
  GRUSERVE_RETURN_IF_ERROR(database->Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"));
  GRUSERVE_RETURN_IF_ERROR(AdoptFile(database.get(), path_));
  // What an earlier connection wrote but could not sync is written and synced anew.
  GRUSERVE_RETURN_IF_ERROR(database->Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  connection_ = std::make_unique<Connection>(std::move(database));
  return absl::OkStatus();
}

absl::Status SqliteSessionStore::Transact(const std::function<absl::Status(Connection&)>& body) {
  if (connection_ == nullptr) GRUSERVE_RETURN_IF_ERROR(Connect());
  absl::Status status = connection_->database->Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = body(*connection_);
  if (status.ok()) status = connection_->database->Execute("COMMIT");
  // Closing the connection rolls back what is left of the transaction.
  if (!status.ok()) connection_.reset();
  return status;
}

int64_t SqliteSessionStore::Now() const { return absl::ToUnixMillis(clock_->Now()); }

int64_t SqliteSessionStore::Expiry(absl::Duration ttl) const {
  return absl::ToUnixMillis(clock_->Now() + ttl);
}

std::vector<Acquired> SqliteSessionStore::AcquireBatch(std::span<const AcquireRequest> requests) {
  std::vector<Acquired> acquired(requests.size());
  absl::MutexLock lock(&mu_);
  const absl::Status status = Transact([&](Connection& connection) {
    for (size_t i = 0; i < requests.size(); ++i) {
      GRUSERVE_RETURN_IF_ERROR(AcquireIn(connection, requests[i], &acquired[i]));
    }
    return absl::OkStatus();
  });
  if (!status.ok()) acquired.assign(requests.size(), Refused(status));
  return acquired;
}

absl::Status SqliteSessionStore::AcquireIn(Connection& connection, const AcquireRequest& request,
                                           Acquired* acquired) {
  GRUSERVE_ASSIGN_OR_RETURN(const bool found, connection.find.Bind(1, request.id).Bind(2, Now()).Step());
  if (!found) {
    if (request.mode == AcquireMode::kResume) {
      const StoreResult absent = Absent(request.id);
      acquired->outcome = absent.outcome;
      acquired->message = absent.message;
      return absl::OkStatus();
    }
    acquired->outcome = StoreOutcome::kOk;
    acquired->created = true;
    acquired->epoch = 1;
    connection.create.Bind(1, request.id).Bind(2, int64_t{1}).Bind(3, request.owner);
    connection.create.Bind(4, request.first_step).Bind(5, Expiry(request.ttl));
    return connection.create.BindBlob(6, request.first_checkpoint).Run();
  }
  const int64_t epoch = connection.find.Number(0);
  const std::string owner = connection.find.Bytes(1);
  const std::string newest = connection.find.Bytes(3);
  const std::string previous = connection.find.Bytes(4);
  connection.find.Reset();
  acquired->previous_epoch = static_cast<uint64_t>(epoch);
  acquired->previous_owner = owner;
  const bool again = owner == request.owner;  // The answer to an earlier call was lost.
  acquired->epoch = static_cast<uint64_t>(again ? epoch : epoch + 1);
  if (request.mode == AcquireMode::kCreate) {
    acquired->created = again;
    acquired->outcome = again ? StoreOutcome::kOk : StoreOutcome::kExists;
    if (again) return absl::OkStatus();
    acquired->message = absl::StrCat("the store has a session \"", request.id, "\" already");
    acquired->epoch = 0;
    return absl::OkStatus();
  }
  ChooseCheckpoint(newest, previous, acquired);
  connection.take.Bind(1, static_cast<int64_t>(acquired->epoch)).Bind(2, request.owner);
  return connection.take.Bind(3, Expiry(request.ttl)).Bind(4, request.id).Run();
}

absl::Status SqliteSessionStore::CheckIn(Connection& connection, const StoreClaim& claim, StoreResult* result,
                                         int64_t* step) {
  GRUSERVE_ASSIGN_OR_RETURN(const bool found, connection.claim.Bind(1, claim.id).Bind(2, Now()).Step());
  if (!found) {
    *result = Absent(claim.id);
    return absl::OkStatus();
  }
  const auto epoch = static_cast<uint64_t>(connection.claim.Number(0));
  const std::string owner = connection.claim.Bytes(1);
  *step = connection.claim.Number(2);
  connection.claim.Reset();
  *result = {StoreOutcome::kOk, "", 0, ""};
  if (epoch != claim.epoch || owner != claim.owner) {
    *result = {StoreOutcome::kFenced,
               absl::StrCat("session \"", claim.id, "\" is stored under epoch ", epoch,
                            owner.empty() ? ", released" : ", by another owner"),
               epoch, owner};
  }
  return absl::OkStatus();
}

absl::Status SqliteSessionStore::PutIn(Connection& connection, const StorePut& put, StoreResult* result) {
  int64_t step = 0;
  GRUSERVE_RETURN_IF_ERROR(CheckIn(connection, put.claim, result, &step));
  if (result->outcome == StoreOutcome::kAbsent && put.recreate) {
    *result = {StoreOutcome::kOk, "", 0, ""};
    connection.create.Bind(1, put.claim.id).Bind(2, static_cast<int64_t>(put.claim.epoch));
    connection.create.Bind(3, put.claim.owner).Bind(4, put.step).Bind(5, Expiry(put.ttl));
    return connection.create.BindBlob(6, put.checkpoint).Run();
  }
  if (result->outcome != StoreOutcome::kOk) return absl::OkStatus();
  if (put.step < step) {
    *result = {
        StoreOutcome::kStale,
        absl::StrCat("session \"", put.claim.id, "\" is stored at step ", step, ", later than ", put.step), 0,
        ""};
    return absl::OkStatus();
  }
  connection.put.Bind(1, put.step).BindBlob(2, put.checkpoint).Bind(3, Expiry(put.ttl));
  return connection.put.Bind(4, put.claim.id).Run();
}

std::vector<StoreResult> SqliteSessionStore::PutBatch(std::span<const StorePut> puts) {
  std::vector<StoreResult> results(puts.size());
  absl::MutexLock lock(&mu_);
  const absl::Status status = Transact([&](Connection& connection) {
    for (size_t i = 0; i < puts.size(); ++i) {
      GRUSERVE_RETURN_IF_ERROR(PutIn(connection, puts[i], &results[i]));
      Failpoint("transaction");
    }
    return connection.purge.Bind(1, Now()).Bind(2, kMaxPurge).Run();
  });
  if (!status.ok()) results.assign(puts.size(), Failure(status));
  return results;
}

std::vector<StoreResult> SqliteSessionStore::Renew(std::span<const StoreClaim> claims, absl::Duration ttl) {
  std::vector<StoreResult> results(claims.size());
  absl::MutexLock lock(&mu_);
  const absl::Status status = Transact([&](Connection& connection) {
    for (size_t i = 0; i < claims.size(); ++i) {
      int64_t step = 0;
      GRUSERVE_RETURN_IF_ERROR(CheckIn(connection, claims[i], &results[i], &step));
      if (results[i].outcome != StoreOutcome::kOk) continue;
      GRUSERVE_RETURN_IF_ERROR(connection.renew.Bind(1, Expiry(ttl)).Bind(2, claims[i].id).Run());
    }
    return absl::OkStatus();
  });
  if (!status.ok()) results.assign(claims.size(), Failure(status));
  return results;
}

StoreResult SqliteSessionStore::Change(const StoreClaim& claim, bool remove) {
  StoreResult result;
  absl::MutexLock lock(&mu_);
  const absl::Status status = Transact([&](Connection& connection) {
    int64_t step = 0;
    GRUSERVE_RETURN_IF_ERROR(CheckIn(connection, claim, &result, &step));
    if (result.outcome != StoreOutcome::kOk) return absl::OkStatus();
    return (remove ? connection.remove : connection.release).Bind(1, claim.id).Run();
  });
  return status.ok() ? result : Failure(status);
}

StoreResult SqliteSessionStore::Release(const StoreClaim& claim) { return Change(claim, /*remove=*/false); }

StoreResult SqliteSessionStore::Delete(const StoreClaim& claim) { return Change(claim, /*remove=*/true); }

Acquired SqliteSessionStore::Get(const std::string& id) {
  Acquired acquired;
  absl::MutexLock lock(&mu_);
  const absl::Status status = Transact([&](Connection& connection) -> absl::Status {
    GRUSERVE_ASSIGN_OR_RETURN(const bool found, connection.find.Bind(1, id).Bind(2, Now()).Step());
    if (!found) {
      acquired.outcome = StoreOutcome::kAbsent;
      acquired.message = Absent(id).message;
      return absl::OkStatus();
    }
    acquired.epoch = static_cast<uint64_t>(connection.find.Number(0));
    ChooseCheckpoint(connection.find.Bytes(3), connection.find.Bytes(4), &acquired);
    connection.find.Reset();
    return absl::OkStatus();
  });
  return status.ok() ? acquired : Refused(status);
}

absl::StatusOr<StoredPage> SqliteSessionStore::List(const std::string& next, int64_t limit) {
  StoredPage page;
  absl::MutexLock lock(&mu_);
  GRUSERVE_RETURN_IF_ERROR(Transact([&](Connection& connection) -> absl::Status {
    connection.list.Bind(1, next).Bind(2, Now()).Bind(3, limit);
    while (true) {
      GRUSERVE_ASSIGN_OR_RETURN(const bool row, connection.list.Step());
      if (!row) return absl::OkStatus();
      page.sessions.push_back({connection.list.Bytes(0), static_cast<uint64_t>(connection.list.Number(1)),
                               connection.list.Bytes(2), connection.list.Number(3)});
    }
  }));
  if (static_cast<int64_t>(page.sessions.size()) == limit && limit > 0) page.next = page.sessions.back().id;
  return page;
}

std::string SqliteSessionStore::description() const { return absl::StrCat("sqlite:", path_); }

}  // namespace gruserve
