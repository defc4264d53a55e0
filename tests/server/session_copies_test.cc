// Exported, imported, forked and evicted sessions over real sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/store/checkpoint.h"
#include "server/server.h"
#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

class SessionCopiesTest : public ::testing::Test {
 protected:
  struct Served {
    Served(const std::string& repository, const ServerOptions& options)
        : server(repository, options),
          sessions(v1::SessionService::NewStub(server.channel())),
          inference(v1::InferenceService::NewStub(server.channel())) {}
    InProcessServer server;
    std::unique_ptr<v1::SessionService::Stub> sessions;
    std::unique_ptr<v1::InferenceService::Stub> inference;
  };

  static void SetUpTestSuite() { models_ = new TestModels(); }
  static void TearDownTestSuite() { delete models_; }

  static ServerOptions Options() {
    ServerOptions options;
    options.workers = 1;
    options.max_message_bytes = 1 << 20;
    return options;
  }
  ServerOptions Stored(const std::string& file) const {
    ServerOptions options = Options();
    options.store = "sqlite:" + (folder_ / file).string();
    return options;
  }
  ServerOptions Sealing(const std::string& key) const {
    ServerOptions options = Options();
    options.seal_key_file = (folder_ / ("key-" + key.substr(0, 4))).string();
    std::ofstream(options.seal_key_file) << key << "\n";
    return options;
  }
  static std::unique_ptr<Served> Serve(const ServerOptions& options = Options()) {
    return std::make_unique<Served>(models_->repository.root(), options);
  }

  static grpc::Status Open(Served& served, const std::string& id, const std::string& model = "demo",
                           uint32_t remember_steps = 0,
                           v1::Durability durability = v1::DURABILITY_UNSPECIFIED) {
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    request.mutable_open()->set_session_id(id);
    request.mutable_open()->mutable_model()->set_name(model);
    request.mutable_open()->set_remember_steps(remember_steps);
    request.mutable_open()->set_durability(durability);
    v1::OpenSessionResponse response;
    return served.sessions->OpenSession(&context, request, &response);
  }
  static std::vector<float> Step(Served& served, const std::string& id, const std::vector<float>& input,
                                 int64_t index = 0) {
    grpc::ClientContext context;
    v1::StepRequest request;
    request.set_session_id(id);
    *request.mutable_step()->mutable_input() = RawTensor({static_cast<int64_t>(input.size())}, input);
    request.mutable_step()->set_index(index);
    v1::StepResponse response;
    const grpc::Status status = served.inference->Step(&context, request, &response);
    EXPECT_TRUE(status.ok()) << id << ": " << status.error_message();
    return Elements(response.output().output());
  }
  static std::string Export(Served& served, const std::string& id, v1::SessionInfo* info = nullptr) {
    grpc::ClientContext context;
    v1::ExportSessionRequest request;
    request.set_session_id(id);
    v1::ExportSessionResponse response;
    const grpc::Status status = served.sessions->ExportSession(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (info != nullptr) *info = response.session();
    return response.checkpoint();
  }
  static v1::ImportSessionRequest Importing(const std::string& checkpoint, const std::string& id = "") {
    v1::ImportSessionRequest request;
    request.set_checkpoint(checkpoint);
    request.set_session_id(id);
    return request;
  }
  static grpc::Status Import(Served& served, const v1::ImportSessionRequest& request,
                             v1::SessionInfo* info = nullptr) {
    grpc::ClientContext context;
    v1::ImportSessionResponse response;
    grpc::Status status = served.sessions->ImportSession(&context, request, &response);
    if (info != nullptr) *info = response.session();
    return status;
  }
  static grpc::Status Fork(Served& served, const v1::ForkSessionRequest& request,
                           v1::ForkSessionResponse* response) {
    grpc::ClientContext context;
    return served.sessions->ForkSession(&context, request, response);
  }
  static grpc::Status Evict(Served& served, const std::string& id) {
    grpc::ClientContext context;
    v1::EvictSessionRequest request;
    request.set_session_id(id);
    v1::EvictSessionResponse response;
    return served.sessions->EvictSession(&context, request, &response);
  }
  static int Live(Served& served) {
    grpc::ClientContext context;
    v1::ListSessionsResponse response;
    EXPECT_TRUE(served.sessions->ListSessions(&context, {}, &response).ok());
    return response.sessions_size();
  }
  std::vector<float> Input() { return RandomFloats(random_, 3); }

  static void ExpectFails(const grpc::Status& status, grpc::StatusCode code, const std::string& text) {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }

  static inline const TestModels* models_ = nullptr;
  const ScratchFolder folder_;
  std::mt19937 random_{21};
};

TEST_F(SessionCopiesTest, AnImportOnAnotherServerGoesOnBitForBit) {
  const auto first = Serve();
  const auto second = Serve();
  ASSERT_TRUE(Open(*first, "a", "demo", /*remember_steps=*/4).ok());
  for (int i = 0; i < 5; ++i) Step(*first, "a", Input());
  v1::SessionInfo info;
  const std::string checkpoint = Export(*first, "a", &info);
  EXPECT_EQ(info.next_step(), 6);
  EXPECT_GT(info.last_latency_us(), 0);

  v1::SessionInfo imported;
  const grpc::Status status = Import(*second, Importing(checkpoint, "b"), &imported);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(imported.session_id(), "b");
  EXPECT_EQ(imported.next_step(), 6);
  EXPECT_EQ(imported.remember_steps(), 4u);
  EXPECT_TRUE(imported.bit_exact());
  EXPECT_FALSE(imported.attached());
  for (int64_t i = 6; i < 12; ++i) {
    const std::vector<float> input = Input();
    const std::vector<float> expected = Step(*first, "a", input);
    EXPECT_EQ(Step(*second, "b", input, i), expected);
    EXPECT_EQ(Step(*second, "b", input, i), expected) << "from memory";
  }
}

TEST_F(SessionCopiesTest, AnImportIsStoredAsItsOwn) {
  std::vector<float> input = Input();
  std::vector<float> expected;
  {
    const auto origin = Serve();
    ASSERT_TRUE(Open(*origin, "a").ok());
    Step(*origin, "a", Input());
    const std::string checkpoint = Export(*origin, "a");
    const auto stored = Serve(Stored("sessions.db"));
    v1::ImportSessionRequest request = Importing(checkpoint, "b");
    request.set_durability(v1::DURABILITY_SYNC);
    v1::SessionInfo info;
    const grpc::Status status = Import(*stored, request, &info);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(info.durability(), v1::DURABILITY_SYNC);
    EXPECT_EQ(info.durable_step(), 1);
    ExpectFails(Import(*stored, request), grpc::StatusCode::ALREADY_EXISTS, "\"b\"");
    EXPECT_EQ(Step(*stored, "b", input), Step(*origin, "a", input));
    input = Input();
    expected = Step(*origin, "a", input);
  }
  const auto again = Serve(Stored("sessions.db"));
  grpc::ClientContext context;
  v1::OpenSessionRequest request;
  request.mutable_open()->set_session_id("b");
  request.mutable_open()->set_mode(v1::OPEN_MODE_RESUME);
  v1::OpenSessionResponse resumed;
  const grpc::Status status = again->sessions->OpenSession(&context, request, &resumed);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(resumed.session().next_step(), 3);
  EXPECT_EQ(Step(*again, "b", input), expected);
}

TEST_F(SessionCopiesTest, ForksDivergeAndShareNothing) {
  for (const bool stored : {false, true}) {
    const auto served = Serve(stored ? Stored("forks.db") : Options());
    ASSERT_TRUE(Open(*served, "a").ok());
    std::vector<float> inputs;
    const auto step = [&](const std::string& id, std::vector<float> all) {
      const std::vector<float> input = Input();
      all.insert(all.end(), input.begin(), input.end());
      const std::vector<float> alone = models_->demo.Alone(all, std::vector<float>(8));
      EXPECT_EQ(Step(*served, id, input), std::vector<float>(alone.end() - 4, alone.end())) << id;
      return all;
    };
    for (int i = 0; i < 3; ++i) inputs = step("a", inputs);
    v1::ForkSessionRequest request;
    request.set_session_id("a");
    request.set_count(3);
    for (const char* id : {"b", "c", "d"}) request.add_fork_ids(id);
    v1::ForkSessionResponse response;
    const grpc::Status status = Fork(*served, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.sessions_size(), 3);
    for (const v1::SessionInfo& info : response.sessions()) EXPECT_EQ(info.next_step(), 4);
    EXPECT_EQ(response.sessions(0).durability(), stored ? v1::DURABILITY_ASYNC : v1::DURABILITY_NONE);
    std::vector<std::vector<float>> all(4, inputs);
    for (int round = 0; round < 4; ++round) {
      for (size_t i = 0; i < 4; ++i) all[i] = step(std::string(1, static_cast<char>('a' + i)), all[i]);
    }
  }
}

TEST_F(SessionCopiesTest, OfAForkAllOrNoneIsLeft) {
  const auto served = Serve();
  ASSERT_TRUE(Open(*served, "a").ok());
  ASSERT_TRUE(Open(*served, "taken").ok());
  v1::ForkSessionRequest request;
  request.set_session_id("a");
  v1::ForkSessionResponse response;
  for (const int count : {0, -1, 65}) {
    request.set_count(count);
    ExpectFails(Fork(*served, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
                "count is " + std::to_string(count) + ", 1 to 64 are wanted");
  }
  request.set_count(3);
  for (const char* id : {"x", "taken"}) request.add_fork_ids(id);
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
              "fork_ids has 2 ids, none or as many as count = 3");
  request.add_fork_ids("y");
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::ALREADY_EXISTS, "\"taken\"");
  EXPECT_EQ(Live(*served), 2);
  request.set_fork_ids(1, "no good");
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::INVALID_ARGUMENT, "fork_ids[1]: ");
  request.clear_fork_ids();
  request.set_durability(v1::DURABILITY_SYNC);
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::FAILED_PRECONDITION, "no store");
  request.set_durability(static_cast<v1::Durability>(9));
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::INVALID_ARGUMENT, "durability is 9");
  request.set_session_id("nobody");
  ExpectFails(Fork(*served, request, &response), grpc::StatusCode::NOT_FOUND, "\"nobody\"");
  EXPECT_EQ(Live(*served), 2);
}

TEST_F(SessionCopiesTest, WhatIsNoCheckpointIsRefused) {
  const auto served = Serve();
  ASSERT_TRUE(Open(*served, "a").ok());
  Step(*served, "a", Input());
  const std::string good = Export(*served, "a");
  ExpectFails(Import(*served, Importing("")), grpc::StatusCode::INVALID_ARGUMENT, "checkpoint is empty");
  ExpectFails(Import(*served, Importing(good, "no good")), grpc::StatusCode::INVALID_ARGUMENT,
              "session_id: ");
  for (size_t size = 1; size < good.size(); size += 7) {
    EXPECT_EQ(Import(*served, Importing(good.substr(0, size))).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_EQ(Import(*served, Importing(bad)).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << at;
  }
  EXPECT_EQ(Live(*served), 1);
}

TEST_F(SessionCopiesTest, AnotherModelGoesOnOnlyWhereItIsNamedAndFits) {
  const auto served = Serve();
  ASSERT_TRUE(Open(*served, "a").ok());
  Checkpoint checkpoint = DecodeCheckpoint(Export(*served, "a")).value();
  v1::ImportSessionRequest request = Importing(EncodeCheckpoint(checkpoint));
  request.mutable_model()->set_name("one");
  ExpectFails(Import(*served, request), grpc::StatusCode::FAILED_PRECONDITION, "has hidden states");
  request.mutable_model()->set_name("bi");
  ExpectFails(Import(*served, request), grpc::StatusCode::FAILED_PRECONDITION, "cannot step");
  request.mutable_model()->set_name("nobody");
  ExpectFails(Import(*served, request), grpc::StatusCode::NOT_FOUND, "nobody");
  checkpoint.weights_sha256 = std::string(64, 'f');
  request = Importing(EncodeCheckpoint(checkpoint));
  ExpectFails(Import(*served, request), grpc::StatusCode::FAILED_PRECONDITION,
              "name the model to go on with it all the same");
  request.mutable_model()->set_name("demo");
  v1::SessionInfo info;
  ASSERT_TRUE(Import(*served, request, &info).ok());
  EXPECT_FALSE(info.bit_exact());
  checkpoint.model_name = "gone";
  ExpectFails(Import(*served, Importing(EncodeCheckpoint(checkpoint))), grpc::StatusCode::NOT_FOUND, "gone");
}

TEST_F(SessionCopiesTest, AKeyTakesOnlyWhatItSealed) {
  const auto plain = Serve();
  const auto sealing = Serve(Sealing(std::string(32, 'k')));
  const auto other = Serve(Sealing("other" + std::string(40, 'k')));
  for (Served* served : {plain.get(), sealing.get(), other.get()}) ASSERT_TRUE(Open(*served, "a").ok());
  const std::string sealed = Export(*sealing, "a");
  EXPECT_TRUE(Import(*sealing, Importing(sealed)).ok());
  ExpectFails(Import(*sealing, Importing(Export(*plain, "a"))), grpc::StatusCode::PERMISSION_DENIED,
              "is not sealed");
  ExpectFails(Import(*other, Importing(sealed)), grpc::StatusCode::PERMISSION_DENIED, "seal is not of this");
  ExpectFails(Import(*plain, Importing(sealed)), grpc::StatusCode::INVALID_ARGUMENT, "--seal-key-file");
}

TEST_F(SessionCopiesTest, AKeyThatIsTooShortOrMissingStopsTheStart) {
  ServerOptions options = Sealing("short");
  options.repository = models_->repository.root();
  options.listen = "127.0.0.1:0";
  options.http_listen = "127.0.0.1:0";
  EXPECT_THAT(Server::Start(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 bytes, at least 32 are wanted")));
  options.seal_key_file = (folder_ / "none").string();
  EXPECT_THAT(Server::Start(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(options.seal_key_file)));
}

TEST_F(SessionCopiesTest, AnEvictedSessionIsResumedFromTheStore) {
  const auto served = Serve(Stored("evict.db"));
  ASSERT_TRUE(Open(*served, "a", "demo", 0, v1::DURABILITY_SYNC).ok());
  ASSERT_TRUE(Open(*served, "lost", "demo", 0, v1::DURABILITY_NONE).ok());
  Step(*served, "a", Input());
  ASSERT_TRUE(Evict(*served, "a").ok());
  ASSERT_TRUE(Evict(*served, "lost").ok());
  EXPECT_EQ(Live(*served), 0);
  ExpectFails(Evict(*served, "lost"), grpc::StatusCode::NOT_FOUND, "evicted by EvictSession");
  ExpectFails(Evict(*served, ""), grpc::StatusCode::INVALID_ARGUMENT, "session_id is empty");
  grpc::ClientContext context;
  v1::OpenSessionRequest request;
  request.mutable_open()->set_session_id("a");
  request.mutable_open()->set_mode(v1::OPEN_MODE_RESUME);
  v1::OpenSessionResponse resumed;
  ASSERT_TRUE(served->sessions->OpenSession(&context, request, &resumed).ok());
  EXPECT_EQ(resumed.session().next_step(), 2);
}

}  // namespace
}  // namespace gruserve::server
