#include "server/message_text.h"

namespace gruserve::server {
namespace {

constexpr size_t kMaxBytes = 1024;

bool ContinuesCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

}  // namespace

std::string MessageText(const absl::Status& status) {
  std::string text(status.message());
  if (text.size() <= kMaxBytes) return text;
  size_t end = kMaxBytes;
  while (end > 0 && ContinuesCharacter(text[end])) --end;
  return text.substr(0, end) + "...";
}

}  // namespace gruserve::server
