#include "server/stream_handles.h"

#include <utility>

namespace gruserve::server {

namespace {

uint64_t Serial(uint32_t handle, const StreamHold& hold) { return uint64_t{hold.number} << 32 | handle; }

}  // namespace

uint64_t StreamHandles::Take(uint32_t handle) {
  while (handle == 0) {
    const uint32_t candidate = next_handle_++;
    if (!by_handle_.contains(candidate)) handle = candidate;
  }
  const auto [place, added] = by_handle_.try_emplace(handle);
  if (!added) return 0;
  if (++last_number_ == 0) ++last_number_;
  place->second.number = last_number_;
  return Serial(handle, place->second);
}

uint64_t StreamHandles::SerialOf(uint32_t handle) const {
  const auto found = by_handle_.find(handle);
  return found == by_handle_.end() ? 0 : Serial(handle, found->second);
}

StreamHold* StreamHandles::Find(uint64_t serial) {
  const auto found = by_handle_.find(HandleOf(serial));
  return found == by_handle_.end() || Serial(found->first, found->second) != serial ? nullptr
                                                                                    : &found->second;
}

void StreamHandles::Release(uint64_t serial) {
  if (Find(serial) == nullptr) return;
  by_handle_.erase(HandleOf(serial));
  left_early_.erase(serial);
}

std::vector<uint64_t> StreamHandles::Open() const {
  std::vector<uint64_t> serials;
  for (const auto& [handle, hold] : by_handle_) {
    if (hold.state == StreamHold::State::kOpen) serials.push_back(Serial(handle, hold));
  }
  return serials;
}

bool StreamHandles::Wait(uint64_t serial, const v1::SessionCommand& command, absl::Time received) {
  std::vector<WaitingCommand>& waiting = waiting_[serial];
  if (waiting.size() > kMostWaiting) return false;
  waiting.push_back({nullptr, command, received, waiting.size() == kMostWaiting});
  return true;
}

std::vector<WaitingCommand> StreamHandles::TakeWaiting(uint64_t serial) {
  const auto found = waiting_.find(serial);
  if (found == waiting_.end()) return {};
  std::vector<WaitingCommand> waiting = std::move(found->second);
  waiting_.erase(found);
  return waiting;
}

void StreamHandles::LeaveEarly(uint64_t serial, SessionLeft left) {
  left_early_.insert_or_assign(serial, std::move(left));
}

std::optional<SessionLeft> StreamHandles::TakeLeft(uint64_t serial) {
  const auto found = left_early_.find(serial);
  if (found == left_early_.end()) return std::nullopt;
  SessionLeft left = std::move(found->second);
  left_early_.erase(found);
  return left;
}

}  // namespace gruserve::server
