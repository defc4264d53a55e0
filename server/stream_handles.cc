#include "server/stream_handles.h"

#include <utility>

namespace gruserve::server {

uint32_t StreamHandles::Take(uint32_t handle) {
  while (handle == 0) {
    const uint32_t candidate = next_handle_++;
    if (!serial_by_handle_.contains(candidate)) handle = candidate;
  }
  while (next_serial_ == 0 || by_serial_.contains(next_serial_)) ++next_serial_;
  const uint32_t serial = next_serial_;
  if (!serial_by_handle_.emplace(handle, serial).second) return 0;
  ++next_serial_;
  by_serial_[serial].handle = handle;
  return serial;
}

uint32_t StreamHandles::SerialOf(uint32_t handle) const {
  const auto found = serial_by_handle_.find(handle);
  return found == serial_by_handle_.end() ? 0 : found->second;
}

StreamHold* StreamHandles::Find(uint32_t serial) {
  const auto found = by_serial_.find(serial);
  return found == by_serial_.end() ? nullptr : &found->second;
}

void StreamHandles::Release(uint32_t serial) {
  const auto found = by_serial_.find(serial);
  if (found == by_serial_.end()) return;
  serial_by_handle_.erase(found->second.handle);
  by_serial_.erase(found);
  left_early_.erase(serial);
}

void StreamHandles::LeaveEarly(uint32_t serial, SessionLeft left) {
  left_early_.insert_or_assign(serial, std::move(left));
}

std::optional<SessionLeft> StreamHandles::TakeLeft(uint32_t serial) {
  const auto found = left_early_.find(serial);
  if (found == left_early_.end()) return std::nullopt;
  SessionLeft left = std::move(found->second);
  left_early_.erase(found);
  return left;
}

}  // namespace gruserve::server
