#include "server/stream_outbox.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace gruserve::server {
namespace {

void Add(StreamOutbox& outbox, uint32_t session, int64_t bytes = 0) {
  outbox.Add(bytes)->set_session(session);
}

TEST(StreamOutboxTest, GroupsWhatWaits) {
  StreamOutbox outbox;
  EXPECT_FALSE(outbox.has_next());
  for (uint32_t i = 1; i <= 3; ++i) Add(outbox, i);
  const v1::StreamStepsResponse* message = outbox.BeginMessage();
  ASSERT_EQ(message->events_size(), 3);
  EXPECT_EQ(message->events(2).session(), 3U);
  EXPECT_FALSE(outbox.has_next());
  Add(outbox, 4);
  EXPECT_EQ(message->events_size(), 3) << "a message on its way must not change";
  EXPECT_TRUE(outbox.has_next());
}

TEST(StreamOutboxTest, BoundsAMessageByEvents) {
  StreamOutbox outbox;
  for (int i = 0; i <= StreamOutbox::kMaxEvents; ++i) Add(outbox, 1);
  EXPECT_EQ(outbox.BeginMessage()->events_size(), StreamOutbox::kMaxEvents);
  outbox.EndMessage();
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
}

TEST(StreamOutboxTest, BoundsAMessageByBytes) {
  StreamOutbox outbox;
  const int64_t most = StreamOutbox::kMaxBytes * 2 / 3;
  Add(outbox, 1, most);
  Add(outbox, 2, most);
  Add(outbox, 3);
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
  outbox.EndMessage();
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 2);
}

TEST(StreamOutboxTest, AnEventLargerThanTheBoundGoesAlone) {
  StreamOutbox outbox;
  Add(outbox, 1, StreamOutbox::kMaxBytes * 2);
  Add(outbox, 2);
  EXPECT_EQ(outbox.BeginMessage()->events_size(), 1);
}

TEST(StreamOutboxTest, AMessageUsedAgainIsEmpty) {
  StreamOutbox outbox;
  Add(outbox, 1);
  outbox.BeginMessage();
  outbox.EndMessage();
  Add(outbox, 2);
  const v1::StreamStepsResponse* message = outbox.BeginMessage();
  ASSERT_EQ(message->events_size(), 1);
  EXPECT_EQ(message->events(0).session(), 2U);
}

TEST(StreamOutboxTest, OwesUntilAMessageHasLeft) {
  StreamOutbox outbox;
  Add(outbox, 1, 1000);
  const int64_t owed = outbox.bytes_owed();
  EXPECT_GE(owed, 1000);
  outbox.BeginMessage();
  EXPECT_EQ(outbox.bytes_owed(), owed);
  Add(outbox, 2, 1000);
  EXPECT_EQ(outbox.bytes_owed(), 2 * owed);
  outbox.EndMessage();
  EXPECT_EQ(outbox.bytes_owed(), owed);
  outbox.DropWaiting();
  EXPECT_EQ(outbox.bytes_owed(), 0);
  EXPECT_FALSE(outbox.has_next());
}

}  // namespace
}  // namespace gruserve::server
