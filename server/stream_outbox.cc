#include "server/stream_outbox.h"

#include <utility>

namespace gruserve::server {
namespace {

// An event without its elements or text.
constexpr int64_t kEventBytes = 64;

}  // namespace

v1::SessionEvent* StreamOutbox::Add(int64_t payload_bytes) {
  const int64_t bytes = payload_bytes + kEventBytes;
  if (waiting_.empty() || waiting_.back()->response.get()->events_size() >= kMaxEvents ||
      waiting_.back()->bytes + bytes > kMaxBytes) {
    waiting_.push_back(spare_ != nullptr ? std::move(spare_) : std::make_unique<Message>());
  }
  Message& message = *waiting_.back();
  message.bytes += bytes;
  bytes_owed_ += bytes;
  return message.response.get()->add_events();
}

const v1::StreamStepsResponse* StreamOutbox::BeginMessage() {
  on_its_way_ = std::move(waiting_.front());
  waiting_.pop_front();
  return on_its_way_->response.get();
}

void StreamOutbox::EndMessage() {
  bytes_owed_ -= on_its_way_->bytes;
  on_its_way_->bytes = 0;
  on_its_way_->response.Reset();
  spare_ = std::move(on_its_way_);
}

void StreamOutbox::DropWaiting() {
  for (const auto& message : waiting_) bytes_owed_ -= message->bytes;
  waiting_.clear();
}

}  // namespace gruserve::server
