// A message that is filled again and again, on an arena with a first block of its
// own: a small message costs no allocation but its `bytes` fields.
//
// Not thread-safe.

#ifndef GRUSERVE_SERVER_MESSAGE_ARENA_H_
#define GRUSERVE_SERVER_MESSAGE_ARENA_H_

#include <google/protobuf/arena.h>

#include <cstddef>

namespace gruserve::server {

template <typename Message>
class MessageArena {
 public:
  MessageArena() : arena_(Options(block_)), message_(Create()) {}

  MessageArena(const MessageArena&) = delete;
  MessageArena& operator=(const MessageArena&) = delete;

  Message* get() { return message_; }

  // Empties it; what it held is gone.
  void Reset() {
    arena_.Reset();
    message_ = Create();
  }

 private:
  // A message with one step, and some more.
  static constexpr size_t kBlockBytes = 1024;

  static google::protobuf::ArenaOptions Options(char* block) {
    google::protobuf::ArenaOptions options;
    options.initial_block = block;
    options.initial_block_size = kBlockBytes;
    options.max_block_size = size_t{64} << 10;
    return options;
  }
  Message* Create() { return google::protobuf::Arena::CreateMessage<Message>(&arena_); }

  alignas(std::max_align_t) char block_[kBlockBytes];
  google::protobuf::Arena arena_;
  Message* message_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_MESSAGE_ARENA_H_
