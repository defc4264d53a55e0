#include "core/store/sqlite/sqlite_database.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

// How long another process's transaction on the same file is waited for.
constexpr int kBusyMs = 5000;

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void SqliteDatabase::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

SqliteStatement::SqliteStatement(SqliteDatabase* database, std::string sql)
    : database_(database), sql_(std::move(sql)) {}

absl::Status SqliteStatement::Prepare() {
  if (statement_ != nullptr) return absl::OkStatus();
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_->database_.get(), sql_.c_str(), -1, SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  statement_.reset(statement);
  return database_->StatusOf(code);
}

void SqliteStatement::Note(int code) {
  if (error_ == SQLITE_OK) error_ = code;
}

SqliteStatement& SqliteStatement::Bind(int place, const std::string& text) {
  if (!Prepare().ok()) return *this;
  Note(sqlite3_bind_text64(statement_.get(), place, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int place, int64_t number) {
  if (!Prepare().ok()) return *this;
  Note(sqlite3_bind_int64(statement_.get(), place, number));
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(int place, const std::string& bytes) {
  if (!Prepare().ok()) return *this;
  Note(sqlite3_bind_blob64(statement_.get(), place, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  GRUSERVE_RETURN_IF_ERROR(Prepare());
  const int bound = std::exchange(error_, SQLITE_OK);
  const int code = bound == SQLITE_OK ? sqlite3_step(statement_.get()) : bound;
  if (code == SQLITE_ROW) return true;
  absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : database_->StatusOf(code);
  Reset();
  GRUSERVE_RETURN_IF_ERROR(status);
  return false;
}

absl::Status SqliteStatement::Run() {
  bool row = true;
  while (row) {
    GRUSERVE_ASSIGN_OR_RETURN(row, Step());
  }
  return absl::OkStatus();
}

void SqliteStatement::Reset() {
  // Its code is that of the step before, which was told already.
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

int64_t SqliteStatement::Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string SqliteStatement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (bytes == nullptr) return "";
  return {static_cast<const char*>(bytes), static_cast<size_t>(size)};
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase());
  database->path_ = path;
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &opened,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  database->database_.reset(opened);
  GRUSERVE_RETURN_IF_ERROR(database->StatusOf(code));
  GRUSERVE_RETURN_IF_ERROR(database->StatusOf(sqlite3_busy_timeout(opened, kBusyMs)));
  return database;
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  return StatusOf(sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

int64_t SqliteDatabase::changes() const { return sqlite3_changes64(database_.get()); }

absl::Status SqliteDatabase::StatusOf(int code) const {
  if (code == SQLITE_OK) return absl::OkStatus();
  const std::string text = absl::StrCat("SQLite file ", path_, ": ", sqlite3_errstr(code), " (", code, ")");
  const int primary = code & 0xFF;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) return absl::DataLossError(text);
  return absl::UnavailableError(text);
}

}  // namespace gruserve
