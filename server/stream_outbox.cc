#include "server/stream_outbox.h"

#include <utility>

namespace gruserve::server {

void StreamOutbox::Add(v1::SessionEvent event) {
  const auto bytes = static_cast<int64_t>(event.ByteSizeLong());
  if (waiting_.empty() || waiting_.back().response.events_size() >= kMaxEvents ||
      waiting_.back().bytes + bytes > kMaxBytes) {
    waiting_.emplace_back();
  }
  Message& message = waiting_.back();
  *message.response.add_events() = std::move(event);
  message.bytes += bytes;
  bytes_owed_ += bytes;
}

const v1::StreamStepsResponse* StreamOutbox::BeginMessage() {
  on_its_way_ = std::move(waiting_.front());
  waiting_.pop_front();
  return &on_its_way_.response;
}

void StreamOutbox::EndMessage() {
  bytes_owed_ -= on_its_way_.bytes;
  on_its_way_ = {};
}

void StreamOutbox::DropWaiting() {
  for (const Message& message : waiting_) bytes_owed_ -= message.bytes;
  waiting_.clear();
}

}  // namespace gruserve::server
