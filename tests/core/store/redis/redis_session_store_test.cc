#include "core/store/redis/redis_session_store.h"

#include <gmock/gmock.h>

#include "core/store/store_address.h"
#include "tests/core/store/store_calls.h"
#include "tests/support/redis_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_proxy.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

class RedisSessionStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
  }
  static RedisAddress AddressOf(const RedisServer& server) {
    RedisAddress address;
    address.unix_socket = server.socket();
    address.timeout = absl::Milliseconds(300);
    return address;
  }
  static Acquired Create(SessionStore& store, const std::string& id = "a") {
    Checkpoint checkpoint;
    checkpoint.model_name = "demo";
    return store.Acquire({id, AcquireMode::kCreate, "x", EncodeCheckpoint(checkpoint), 0});
  }
  static void Command(const RedisServer& server, const RedisCommand& command) {
    auto connection = RedisConnection::Open(AddressOf(server));
    ASSERT_TRUE(connection.ok()) << connection.status();
    const auto reply = (*connection)->Exchange(command);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_NE(reply->kind, RedisReply::Kind::kError) << reply->text;
  }
};

TEST_F(RedisSessionStoreTest, AServerThatDiesIsUnavailableAndThenThereAgain) {
  RedisServer server;
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(Create(**store).created);
  server.Kill();
  const StoreClaim claim{"a", 1, "x"};
  EXPECT_EQ((*store)->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kUnavailable);
  EXPECT_EQ(Create(**store, "b").outcome, StoreOutcome::kUnavailable);
  EXPECT_EQ((*store)->Get("a").outcome, StoreOutcome::kUnavailable);
  EXPECT_FALSE((*store)->List("", 10).ok());
  server.Start();
  EXPECT_EQ((*store)->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kOk);
}

TEST_F(RedisSessionStoreTest, AServerThatHangsIsGivenUpInTime) {
  RedisServer server;
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  server.Pause();
  EXPECT_EQ(Create(**store).outcome, StoreOutcome::kUnavailable);
  server.Continue();
  // The first may have been done after all: asking again does no harm.
  const Acquired again = Create(**store);
  EXPECT_TRUE(again.created) << again.message;
  EXPECT_EQ(again.epoch, 1u);
}

TEST_F(RedisSessionStoreTest, ScriptsThatWereFlushedComeBack) {
  RedisServer server;
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  Command(server, {"SCRIPT", "FLUSH"});
  EXPECT_TRUE(Create(**store).created);
  ASSERT_TRUE(Create(**store, "b").created);
  Command(server, {"SCRIPT", "FLUSH"});
  const StoreClaim claims[] = {{"a", 1, "x"}, {"b", 1, "x"}, {"b", 2, "x"}};
  const std::vector<StoreResult> results = (*store)->Renew(claims, absl::Hours(1));
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].outcome, StoreOutcome::kOk);
  EXPECT_EQ(results[1].outcome, StoreOutcome::kOk);
  EXPECT_EQ(results[2].outcome, StoreOutcome::kFenced);
}

TEST_F(RedisSessionStoreTest, APutWritesOverTheOlderOfTwoCheckpoints) {
  RedisServer server;
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(Create(**store).created);
  auto connection = RedisConnection::Open(AddressOf(server));
  ASSERT_TRUE(connection.ok()) << connection.status();
  for (int64_t step = 1; step <= 4; ++step) {
    ASSERT_EQ(Put(**store, PutOf(1, "x", step)).outcome, StoreOutcome::kOk);
    EXPECT_EQ((*store)->Get("a").checkpoint->step, step);
    const auto kept = (*connection)->Exchange(RedisCommand{"HMGET", "gs:{:a}", "n", "p"});
    ASSERT_TRUE(kept.ok()) << kept.status();
    std::vector<int64_t> steps;
    for (const RedisReply& each : kept->list) steps.push_back(DecodeCheckpoint(each.text)->step);
    EXPECT_THAT(steps, testing::UnorderedElementsAre(step, step - 1));
  }
  EXPECT_EQ((*store)->Acquire({"a", AcquireMode::kResume, "y", "", 0}).checkpoint->step, 4);
}

TEST_F(RedisSessionStoreTest, RecordsExpireAndAreRenewed) {
  RedisServer server;
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  Create(**store);
  auto connection = RedisConnection::Open(AddressOf(server));
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto ttl = [&] { return std::stoll((*connection)->Exchange(RedisCommand{"PTTL", "gs:{:a}"})->text); };
  EXPECT_GT(ttl(), 3'500'000);
  Command(server, {"PEXPIRE", "gs:{:a}", "5000"});
  const StoreClaim claim{"a", 1, "x"};
  EXPECT_EQ((*store)->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kOk);
  EXPECT_GT(ttl(), 3'500'000);
  Command(server, {"DEL", "gs:{:a}"});
  EXPECT_EQ((*store)->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kAbsent);
}

TEST_F(RedisSessionStoreTest, PasswordsAreAskedForAndNeverShown) {
  RedisServer server({"--requirepass", "secret"});
  RedisAddress address = AddressOf(server);
  EXPECT_FALSE(RedisSessionStore::Open(address).ok());
  address.password = "wrong";
  EXPECT_THAT(RedisSessionStore::Open(address).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("Redis refuses the connection")));
  address.password = "secret";
  auto store = RedisSessionStore::Open(address);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->description(), testing::Not(HasSubstr("secret")));
}

TEST_F(RedisSessionStoreTest, WhatItMayLoseIsSaid) {
  RedisServer server({"--appendfsync", "everysec"});
  auto store = RedisSessionStore::Open(AddressOf(server));
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->durability(), DurabilityClass::kMemory);
}

TEST_F(RedisSessionStoreTest, AFullServerIsUnavailable) {
  RedisServer server({"--maxmemory", "1"});
  auto store = RedisSessionStore::Open(AddressOf(server));
  if (!store.ok()) return;  // It may refuse the scripts already.
  const Acquired refused = Create(**store);
  EXPECT_EQ(refused.outcome, StoreOutcome::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("OOM"));
}

TEST_F(RedisSessionStoreTest, OfATransactionThatIsRefusedNothingIsDoneAndTheReasonIsSaid) {
  RedisServer server;
  auto connection = RedisConnection::Open(AddressOf(server));
  ASSERT_TRUE(connection.ok()) << connection.status();
  const RedisCommand commands[] = {{"SET", "a", "1"}, {"SET", "a"}, {"GET", "a"}};
  const auto replies = (*connection)->Transact(commands);
  ASSERT_TRUE(replies.ok()) << replies.status();
  ASSERT_EQ(replies->size(), 3U);
  for (const RedisReply& reply : *replies) {
    EXPECT_EQ(reply.kind, RedisReply::Kind::kError);
    EXPECT_THAT(reply.text, HasSubstr("wrong number of arguments"));
  }
  EXPECT_EQ((*connection)->Exchange(RedisCommand{"GET", "a"})->kind, RedisReply::Kind::kNil);
}

TEST_F(RedisSessionStoreTest, AUserWhoMayNotTransactIsTold) {
  RedisServer server;
  Command(server, {"ACL", "SETUSER", "weak", "on", ">pw", "allkeys", "+@all", "-multi"});
  RedisAddress address = AddressOf(server);
  address.user = "weak";
  address.password = "pw";
  auto store = RedisSessionStore::Open(address);
  ASSERT_TRUE(store.ok()) << store.status();
  const Acquired refused = Create(**store);
  EXPECT_EQ(refused.outcome, StoreOutcome::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("NOPERM"));
}

TEST(StoreAddressTest, WhatIsWrongIsNamed) {
  const auto check = [](const std::string& text) { return CheckStoreAddress({text, "", ""}); };
  for (const char* good : {"none", "sqlite:/x", "redis://h", "redis://h:1", "redis://h:1/3",
                           "redis://[::1]:6379", "rediss://h:1", "redis-socket:/x"}) {
    EXPECT_TRUE(check(good).ok()) << good;
  }
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(check("sqlite:"), StatusIs(invalid, HasSubstr("store is \"sqlite:\": none, sqlite:PATH")));
  EXPECT_THAT(check("postgres://x"), StatusIs(invalid, HasSubstr("postgres")));
  EXPECT_THAT(check("redis://h:0"), StatusIs(invalid, HasSubstr("its port \"0\"")));
  EXPECT_THAT(check("redis://h:x"), StatusIs(invalid, HasSubstr("its port \"x\"")));
  EXPECT_THAT(check("redis://h/x"), StatusIs(invalid, HasSubstr("its database \"x\"")));
  EXPECT_THAT(check("redis://:1"), StatusIs(invalid, HasSubstr("without a host")));
  EXPECT_THAT(check("rediss://h:0"), StatusIs(invalid, HasSubstr("its port \"0\"")));
  EXPECT_THAT(check("redis://u:secret@h"), StatusIs(invalid, HasSubstr("store-password")));
  EXPECT_THAT(std::string(check("redis://u:secret@h").message()), testing::Not(HasSubstr("secret")));
}

TEST(StoreAddressTest, NobodyThereIsUnavailable) {
  EXPECT_THAT(OpenSessionStore({"redis-socket:/nowhere/redis.sock", "", ""}, nullptr).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("redis-socket:/nowhere/redis.sock: ")));
  // Port 1 of this machine: nobody listens there.
  EXPECT_THAT(OpenSessionStore({"redis://127.0.0.1:1/2", "", "secret"}, nullptr).status(),
              StatusIs(absl::StatusCode::kUnavailable, testing::AllOf(HasSubstr("redis://127.0.0.1:1/2: "),
                                                                      testing::Not(HasSubstr("secret")))));
}

// Its end closes while hiredis writes: no SIGPIPE ends the process.
TEST(RedisConnectionTest, AnEndThatClosesIsAnError) {
  TcpProxy nobody;
  const std::string address = nobody.address();
  RedisAddress redis;
  redis.host = "127.0.0.1";
  redis.port = std::stoi(address.substr(address.rfind(':') + 1));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(RedisConnection::Open(redis).ok());
}

}  // namespace
}  // namespace gruserve
