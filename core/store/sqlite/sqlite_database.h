// One connection to an SQLite database, and statements on it.
//
// Not thread-safe. Statements go before their database.

#ifndef GRUSERVE_CORE_STORE_SQLITE_SQLITE_DATABASE_H_
#define GRUSERVE_CORE_STORE_SQLITE_SQLITE_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gruserve {

class SqliteDatabase;

// A prepared statement, bound, stepped and reset again and again.
class SqliteStatement {
 public:
  SqliteStatement(SqliteDatabase* database, std::string sql);

  // Places count from 1. The bytes are copied.
  SqliteStatement& Bind(int place, const std::string& text);
  SqliteStatement& Bind(int place, int64_t number);
  SqliteStatement& BindBlob(int place, const std::string& bytes);

  // Runs to the next row: whether there is one. It is reset after an error and after
  // the last row.
  absl::StatusOr<bool> Step();
  // Runs to the end.
  absl::Status Run();
  // Before the last row, to run it anew.
  void Reset();

  // Columns count from 0.
  int64_t Number(int column) const;
  std::string Bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  absl::Status Prepare();
  void Note(int code);

  SqliteDatabase* const database_;
  const std::string sql_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int error_ = 0;  // Of preparing or binding.
};

class SqliteDatabase {
 public:
  // Opens or makes the file `path`. Unavailable where that fails; DataLoss where it is
  // no database.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);

  // Statements that answer nothing.
  absl::Status Execute(const std::string& sql);
  // Rows that the last statement changed.
  int64_t changes() const;
  // What became of the call that gave `code`: OK, DataLoss for a file that is
  // damaged, else Unavailable, with SQLite's words.
  absl::Status StatusOf(int code) const;

 private:
  friend class SqliteStatement;

  struct Close {
    void operator()(sqlite3* database) const;
  };

  SqliteDatabase() = default;

  std::string path_;
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_SQLITE_SQLITE_DATABASE_H_
