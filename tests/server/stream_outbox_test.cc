#include "server/stream_outbox.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace gruserve::server {
namespace {

v1::SessionEvent Event(uint32_t session, size_t bytes = 0) {
  v1::SessionEvent event;
  event.set_session(session);
  event.mutable_output()->mutable_output()->mutable_raw()->resize(bytes);
  return event;
}

TEST(StreamOutboxTest, GroupsWhatWaits) {
  StreamOutbox outbox;
  EXPECT_FALSE(outbox.has_next());
  for (uint32_t i = 1; i <= 3; ++i) outbox.Add(Event(i));
  const v1::StreamStepsResponse* message = outbox.BeginMessage();
  ASSERT_EQ(message->events_size(), 3);
  EXPECT_EQ(message->events(2).session(), 3U);
  EXPECT_FALSE(outbox.has_next());
  outbox.Add(Event(4));
  EXPECT_EQ(message->events_size(), 3) << "a message on its way must not change";
  EXPECT_TRUE(outbox.has_next());
}

TEST(StreamOutboxTest, BoundsAMessageByEvents) {
  StreamOutbox outbox;
  for (int i = 0; i <= StreamOutbox::kMaxEvents; ++i) outbox.Add(Event(1));
  EXPECT_EQ(outbox.BeginMessage()->events_size(), StreamOutbox::kMaxEvents);
  outbox.EndMessage();
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
}

TEST(StreamOutboxTest, BoundsAMessageByBytes) {
  StreamOutbox outbox;
  const size_t most = static_cast<size_t>(StreamOutbox::kMaxBytes) * 2 / 3;
  outbox.Add(Event(1, most));
  outbox.Add(Event(2, most));
  outbox.Add(Event(3));
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
  outbox.EndMessage();
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 2);
}

TEST(StreamOutboxTest, AnEventLargerThanTheBoundGoesAlone) {
  StreamOutbox outbox;
  outbox.Add(Event(1, static_cast<size_t>(StreamOutbox::kMaxBytes) * 2));
  outbox.Add(Event(2));
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
}

TEST(StreamOutboxTest, OwesUntilAMessageHasLeft) {
  StreamOutbox outbox;
  outbox.Add(Event(1, 1000));
  const int64_t owed = outbox.bytes_owed();
  EXPECT_GE(owed, 1000);
  outbox.BeginMessage();
  EXPECT_EQ(outbox.bytes_owed(), owed);
  outbox.Add(Event(2, 1000));
  EXPECT_EQ(outbox.bytes_owed(), 2 * owed);
  outbox.EndMessage();
  EXPECT_EQ(outbox.bytes_owed(), owed);
  outbox.DropWaiting();
  EXPECT_EQ(outbox.bytes_owed(), 0);
  EXPECT_FALSE(outbox.has_next());
}

}  // namespace
}  // namespace gruserve::server
