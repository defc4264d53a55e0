// How `gruserve sessions` shows a session. Thread-safe: no state.

#ifndef GRUSERVE_CLIENT_CLI_SESSION_TEXT_H_
#define GRUSERVE_CLIENT_CLI_SESSION_TEXT_H_

#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "client/session_info.h"

namespace gruserve::client {

// Every field, in an order for people.
nlohmann::ordered_json ToJson(const SessionInfo& info);

// An object as a line a field, or as one line of JSON.
void PrintObject(const nlohmann::ordered_json& values, bool json, std::ostream* out);

// A table, or one line of JSON.
void PrintSessions(const std::vector<SessionInfo>& sessions, bool json, std::ostream* out);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_SESSION_TEXT_H_
