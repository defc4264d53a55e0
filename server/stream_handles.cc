#include "server/stream_handles.h"

namespace gruserve::server {

StreamHold* StreamHandles::Take(uint32_t handle) {
  while (handle == 0) {
    const uint32_t candidate = next_handle_++;
    if (!serial_by_handle_.contains(candidate)) handle = candidate;
  }
  while (next_serial_ == 0 || by_serial_.contains(next_serial_)) ++next_serial_;
  const uint32_t serial = next_serial_;
  if (!serial_by_handle_.emplace(handle, serial).second) return nullptr;
  ++next_serial_;
  StreamHold& hold = by_serial_[serial];
  hold.handle = handle;
  hold.serial = serial;
  return &hold;
}

StreamHold* StreamHandles::FindHandle(uint32_t handle) {
  const auto found = serial_by_handle_.find(handle);
  return found == serial_by_handle_.end() ? nullptr : FindSerial(found->second);
}

StreamHold* StreamHandles::FindSerial(uint32_t serial) {
  const auto found = by_serial_.find(serial);
  return found == by_serial_.end() ? nullptr : &found->second;
}

void StreamHandles::Release(uint32_t serial) {
  const auto found = by_serial_.find(serial);
  if (found == by_serial_.end()) return;
  serial_by_handle_.erase(found->second.handle);
  by_serial_.erase(found);
}

}  // namespace gruserve::server
