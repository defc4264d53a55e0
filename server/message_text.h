// The text of a status as a client gets it.

#ifndef GRUSERVE_SERVER_MESSAGE_TEXT_H_
#define GRUSERVE_SERVER_MESSAGE_TEXT_H_

#include <string>

#include "absl/status/status.h"

namespace gruserve::server {

// The message, cut to 1 KiB at a character: it may quote what a client sent, and
// trailers are bounded.
std::string MessageText(const absl::Status& status);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_MESSAGE_TEXT_H_
