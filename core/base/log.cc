#include "core/base/log.h"

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>

#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace gruserve {
namespace {

constexpr size_t kMaxValueLength = 1024;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

struct LogState {
  std::shared_ptr<spdlog::logger> logger = spdlog::stderr_color_mt("gruserve");
  LogFormat format = LogFormat::kText;
};

LogState& State() {
  static LogState* const state = new LogState;
  return *state;
}

// A JSON string literal, with everything unprintable escaped.
std::string Quoted(std::string_view value) {
  const bool cut = value.size() > kMaxValueLength;
  std::string kept(value.substr(0, kMaxValueLength));
  if (cut) kept += "...";
  return nlohmann::json(kept).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

bool IsPlain(std::string_view value) {
  return !value.empty() && value.size() <= kMaxValueLength &&
         value.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/+-") ==
             std::string_view::npos;
}

}  // namespace

void ConfigureLog(LogFormat format, LogLevel lowest) {
  LogState& state = State();
  state.format = format;
  state.logger->set_level(ToSpdlog(lowest));
  // spdlog's own pattern supplies time and level in both forms.
  state.logger->set_pattern(format == LogFormat::kJson
                                ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                                : "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const LogState& state = State();
  const spdlog::level::level_enum spdlog_level = ToSpdlog(level);
  if (!state.logger->should_log(spdlog_level)) return;
  std::string line;
  if (state.format == LogFormat::kJson) {
    line = "\"event\":" + Quoted(event);
    for (const LogField& field : fields) {
      line.append(",").append(Quoted(field.key)).append(":").append(Quoted(field.value));
    }
  } else {
    line = std::string(event);
    for (const LogField& field : fields) {
      line.append(" ").append(field.key).append("=");
      line.append(IsPlain(field.value) ? field.value : Quoted(field.value));
    }
  }
  state.logger->log(spdlog_level, "{}", line);
}

}  // namespace gruserve
