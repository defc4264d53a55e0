// Structured log lines through spdlog, as text or as JSON.
//
// Thread-safe. Field values may hold bytes from a client: they are escaped and
// cut, so that no value can forge a line.

#ifndef GRUSERVE_CORE_BASE_LOG_H_
#define GRUSERVE_CORE_BASE_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>

namespace gruserve {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

enum class LogFormat { kText, kJson };

struct LogField {
  LogField(std::string_view field_key, std::string field_value)
      : key(field_key), value(std::move(field_value)) {}
  LogField(std::string_view field_key, const char* field_value) : key(field_key), value(field_value) {}
  template <typename Number>
  LogField(std::string_view field_key, Number field_value)
      : key(field_key), value(std::to_string(field_value)) {}

  std::string_view key;
  std::string value;
};

// Sets the form and the lowest level of all lines to come. They go to stderr.
void ConfigureLog(LogFormat format, LogLevel lowest);

// Writes one line: what happened, and what it happened to.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_LOG_H_
