// Redis over TLS: who is believed, who is let in, and what a break looks like.

#include <gmock/gmock.h>

#include <fstream>
#include <memory>
#include <string>

#include "core/store/redis/redis_session_store.h"
#include "core/store/store_address.h"
#include "tests/core/store/store_calls.h"
#include "tests/support/certificates.h"
#include "tests/support/redis_server.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_proxy.h"

namespace gruserve {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RedisTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
    server_ = std::make_unique<RedisServer>(authority_.Issue("server", "DNS:localhost,IP:127.0.0.1"),
                                            authority_.ca_file());
    const CertificateFiles mine = authority_.Issue("client", "DNS:client");
    files_ = {authority_.ca_file(), mine.certificate, mine.key};
  }
  absl::Status Open(const TlsFiles& files) const {
    return RedisSessionStore::Open(AddressOf(server_->tls_port(), files)).status();
  }
  static RedisAddress AddressOf(int port, const TlsFiles& files) {
    RedisAddress address;
    address.host = "127.0.0.1";
    address.port = port;
    address.tls = files;
    address.timeout = absl::Milliseconds(500);
    return address;
  }
  // A Redis with another certificate than SetUp's.
  std::unique_ptr<RedisServer> ServeAs(const std::string& file, const std::string& names, int days = 1) {
    return std::make_unique<RedisServer>(authority_.Issue(file, names, days), authority_.ca_file());
  }

  TestAuthority authority_;
  std::unique_ptr<RedisServer> server_;
  TlsFiles files_;
};

TEST_F(RedisTlsTest, WritesAndReadsMoreThanARecord) {
  const auto store = RedisSessionStore::Open(AddressOf(server_->tls_port(), files_));
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->description(), HasSubstr("rediss://127.0.0.1:"));
  ASSERT_TRUE(Acquire(**store, AcquireMode::kCreate, "x").created);
  constexpr size_t kFloats = 1 << 20;
  StorePut put{{"a", 1, "x"}, 7, EncodeCheckpoint(At(7, kFloats))};
  EXPECT_EQ(Put(**store, put).outcome, StoreOutcome::kOk);
  const Acquired got = (*store)->Get("a");
  ASSERT_TRUE(got.checkpoint.has_value()) << got.message;
  EXPECT_EQ(got.checkpoint->state, At(7, kFloats).state);
}

TEST_F(RedisTlsTest, AnotherAuthorityIsNotBelieved) {
  const TestAuthority other;
  TlsFiles files = files_;
  files.ca = other.ca_file();
  EXPECT_THAT(Open(files), StatusIs(absl::StatusCode::kPermissionDenied,
                                    AllOf(HasSubstr("the certificate of 127.0.0.1 is not believed"),
                                          HasSubstr("rediss://127.0.0.1:"))));
  files.ca = "";  // The system does not know the test's authority either.
  EXPECT_THAT(Open(files), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not believed")));
}

TEST_F(RedisTlsTest, ACertificateOfAnotherNameIsNotBelieved) {
  const auto server = ServeAs("other", "DNS:other.example,IP:127.0.0.2");
  EXPECT_THAT(RedisSessionStore::Open(AddressOf(server->tls_port(), files_)).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("IP address mismatch")));
  RedisAddress by_name = AddressOf(server->tls_port(), files_);
  by_name.host = "localhost";
  EXPECT_THAT(RedisSessionStore::Open(by_name).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("hostname mismatch")));
  by_name.port = server_->tls_port();
  EXPECT_TRUE(RedisSessionStore::Open(by_name).ok());
}

TEST_F(RedisTlsTest, ACertificateThatHasEndedIsNotBelieved) {
  const auto server = ServeAs("ended", "IP:127.0.0.1", /*days=*/-1);
  EXPECT_THAT(RedisSessionStore::Open(AddressOf(server->tls_port(), files_)).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("expired")));
}

TEST_F(RedisTlsTest, WithoutACertificateOfOursRedisDoesNotLetUsIn) {
  EXPECT_THAT(Open({authority_.ca_file(), "", ""}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("TLS broke")));
}

TEST_F(RedisTlsTest, FilesThatCannotBeUsedAreNamed) {
  const ScratchFolder folder;
  const std::string text = folder / "text.pem";
  std::ofstream(text) << "no PEM\n";
  const auto invalid = absl::StatusCode::kInvalidArgument;
  TlsFiles files = files_;
  files.ca = "/nowhere/ca.pem";
  EXPECT_THAT(Open(files),
              StatusIs(invalid, HasSubstr("store-ca-file \"/nowhere/ca.pem\" cannot be used: No such file")));
  files = files_;
  files.certificate = text;
  EXPECT_THAT(Open(files), StatusIs(invalid, HasSubstr("store-cert-file")));
  files = files_;
  files.key = authority_.Issue("third", "DNS:third").key;
  EXPECT_THAT(Open(files), StatusIs(invalid, AllOf(HasSubstr("store-key-file"), HasSubstr("mismatch"))));
}

TEST_F(RedisTlsTest, AServerWithoutTlsIsUnavailable) {
  TcpProxy nobody;
  const std::string address = nobody.address();
  const int port = std::stoi(address.substr(address.rfind(':') + 1));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(RedisSessionStore::Open(AddressOf(port, files_)).status(),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rediss://127.0.0.1")));
  }
}

TEST_F(RedisTlsTest, AServerThatDiesOrHangsIsUnavailableAndThenThereAgain) {
  const auto store = RedisSessionStore::Open(AddressOf(server_->tls_port(), files_));
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(Acquire(**store, AcquireMode::kCreate, "x").created);
  server_->Pause();
  EXPECT_THAT((*store)->Get("a").message, HasSubstr("answers nothing"));
  server_->Continue();
  EXPECT_EQ((*store)->Get("a").outcome, StoreOutcome::kOk);
  server_->Kill();
  EXPECT_EQ((*store)->Get("a").outcome, StoreOutcome::kUnavailable);
  server_->Start();
  EXPECT_EQ((*store)->Get("a").outcome, StoreOutcome::kOk);
}

TEST(StoreAddressTlsTest, WhatIsWrongIsNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto check = [](const std::string& text, const TlsFiles& files) {
    return CheckStoreAddress({text, "", "", files});
  };
  EXPECT_TRUE(check("rediss://h:1/3", {}).ok());
  EXPECT_TRUE(check("rediss://h", {"ca", "cert", "key"}).ok());
  EXPECT_THAT(check("rediss://h", {"", "cert", ""}), StatusIs(invalid, HasSubstr("without store-key-file")));
  EXPECT_THAT(check("rediss://h", {"", "", "key"}), StatusIs(invalid, HasSubstr("without store-cert-file")));
  EXPECT_THAT(check("redis://h", {"ca", "", ""}), StatusIs(invalid, HasSubstr("only rediss:// speaks TLS")));
}

}  // namespace
}  // namespace gruserve
