// SessionService and the unary Step over a real socket.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionServiceTest : public ServiceTest {
 protected:
  static grpc::Status Open(const v1::OpenSession& open, v1::SessionInfo* info = nullptr) {
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    *request.mutable_open() = open;
    v1::OpenSessionResponse response;
    const grpc::Status status = sessions()->OpenSession(&context, request, &response);
    if (info != nullptr) *info = response.session();
    return status;
  }

  static v1::OpenSession Named(const std::string& model, const std::string& id) {
    v1::OpenSession open;
    open.mutable_model()->set_name(model);
    open.set_session_id(id);
    return open;
  }

  static grpc::Status Close(const std::string& id, v1::SessionInfo* info = nullptr) {
    grpc::ClientContext context;
    v1::CloseSessionRequest request;
    request.set_session_id(id);
    v1::CloseSessionResponse response;
    const grpc::Status status = sessions()->CloseSession(&context, request, &response);
    if (info != nullptr) *info = response.session();
    return status;
  }

  static grpc::Status Get(const std::string& id, v1::GetSessionResponse* response) {
    grpc::ClientContext context;
    v1::GetSessionRequest request;
    request.set_session_id(id);
    request.set_include_state(true);
    return sessions()->GetSession(&context, request, response);
  }

  static grpc::Status Step(const std::string& id, v1::Tensor input, v1::StepResponse* response,
                           int64_t index = 0) {
    grpc::ClientContext context;
    v1::StepRequest request;
    request.set_session_id(id);
    *request.mutable_step()->mutable_input() = std::move(input);
    request.mutable_step()->set_index(index);
    return inference()->Step(&context, request, response);
  }

  static grpc::Status List(const v1::ListSessionsRequest& request, v1::ListSessionsResponse* response) {
    grpc::ClientContext context;
    response->Clear();
    return sessions()->ListSessions(&context, request, response);
  }

  std::mt19937 random_{10};
};

TEST_F(SessionServiceTest, OpenStepGetClose) {
  const std::vector<float> inputs = RandomFloats(random_, 2 * 3);
  const std::vector<float> h_0 = RandomFloats(random_, 2 * 4);
  const std::vector<float> alone = models().demo.Alone(inputs, h_0);
  v1::OpenSession open = Named("demo", "unary");
  *open.mutable_h_0() = RawTensor({2, 4}, h_0);
  v1::SessionInfo info;
  const grpc::Status status = Open(open, &info);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(info.session_id(), "unary");
  EXPECT_FALSE(info.attached());

  v1::GetSessionResponse got;
  ASSERT_TRUE(Get("unary", &got).ok());
  EXPECT_THAT(got.state().shape(), ElementsAre(2, 4));
  EXPECT_EQ(Elements(got.state()), h_0);

  v1::StepResponse stepped;
  ASSERT_TRUE(Step("unary", RawTensor({3}, {inputs.data(), 3}), &stepped).ok());
  EXPECT_EQ(stepped.output().index(), 1);
  EXPECT_EQ(Elements(stepped.output().output()), std::vector<float>(alone.begin(), alone.begin() + 4));
  ASSERT_TRUE(Step("unary", RawTensor({1, 3}, {inputs.data() + 3, 3}), &stepped).ok());
  EXPECT_EQ(stepped.output().index(), 2);
  EXPECT_THAT(stepped.output().output().shape(), ElementsAre(1, 4));
  EXPECT_EQ(Elements(stepped.output().output()), std::vector<float>(alone.begin() + 4, alone.end()));

  v1::SessionInfo closed;
  ASSERT_TRUE(Close("unary", &closed).ok());
  EXPECT_EQ(closed.next_step(), 3);
  EXPECT_EQ(Get("unary", &got).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SessionServiceTest, CreateOfALiveIdIsAlreadyExists) {
  ASSERT_TRUE(Open(Named("demo", "twice")).ok());
  EXPECT_EQ(Open(Named("demo", "twice")).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(Close("twice").ok());
}

TEST_F(SessionServiceTest, UnknownSessionsAreNotFound) {
  v1::GetSessionResponse got;
  v1::StepResponse stepped;
  EXPECT_EQ(Get("nobody", &got).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Close("nobody").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Step("nobody", RawTensor({3}, RandomFloats(random_, 3)), &stepped).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(SessionServiceTest, AnEmptyIdIsInvalidArgument) {
  v1::GetSessionResponse got;
  v1::StepResponse stepped;
  EXPECT_EQ(Get("", &got).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Close("").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Step("", RawTensor({3}, RandomFloats(random_, 3)), &stepped).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(SessionServiceTest, StepsOutOfTurnAreFailedPreconditionOrOutOfRange) {
  const v1::Tensor input = RawTensor({3}, RandomFloats(random_, 3));
  ASSERT_TRUE(Open(Named("demo", "indexed")).ok());
  v1::StepResponse stepped;
  EXPECT_EQ(Step("indexed", input, &stepped, 2).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Step("indexed", input, &stepped, 1).ok());
  EXPECT_EQ(Step("indexed", input, &stepped, 1).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_TRUE(Close("indexed").ok());
}

TEST_F(SessionServiceTest, StepOfASessionThatAStreamHoldsIsFailedPrecondition) {
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo", "held")).has_opened());
  v1::StepResponse stepped;
  EXPECT_EQ(Step("held", RawTensor({3}, RandomFloats(random_, 3)), &stepped).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(SessionServiceTest, CloseFromOutsideIsToldToTheStream) {
  RawStream stream(server().channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo", "swept")).has_opened());
  ASSERT_TRUE(Close("swept").ok());
  const v1::SessionEvent event = *stream.Next();
  ASSERT_TRUE(event.has_error()) << event.ShortDebugString();
  EXPECT_EQ(event.error().code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(event.error().detached());
  EXPECT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened()) << "the handle is free again";
}

TEST_F(SessionServiceTest, ListsInPages) {
  for (const char* id : {"page-a", "page-c", "page-b"}) ASSERT_TRUE(Open(Named("one", id)).ok());
  v1::ListSessionsRequest request;
  request.set_model("one");
  request.set_page_size(2);
  v1::ListSessionsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_EQ(page.sessions_size(), 2);
  EXPECT_EQ(page.sessions(0).session_id(), "page-a");
  EXPECT_EQ(page.sessions(1).session_id(), "page-b");
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_EQ(page.sessions_size(), 1);
  EXPECT_EQ(page.sessions(0).session_id(), "page-c");
  EXPECT_THAT(page.next_page_token(), IsEmpty());
  for (const char* id : {"page-a", "page-c", "page-b"}) EXPECT_TRUE(Close(id).ok());
}

TEST_F(SessionServiceTest, BadPagesAreInvalidArgument) {
  v1::ListSessionsRequest request;
  v1::ListSessionsResponse page;
  request.set_page_size(-1);
  grpc::Status status = List(request, &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("page_size is -1"));
  request.set_page_size(0);
  request.set_page_token("../../x");
  status = List(request, &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("page_token"));
}

struct BadTerm {
  const char* name;
  void (*spoil)(v1::OpenSession&);
  grpc::StatusCode code;
  const char* part;
};

class OpenTermsTest : public SessionServiceTest, public ::testing::WithParamInterface<BadTerm> {};

TEST_P(OpenTermsTest, AreRefusedByName) {
  v1::OpenSession open = Named("demo", "");
  GetParam().spoil(open);
  const grpc::Status status = Open(open);
  EXPECT_EQ(status.error_code(), GetParam().code);
  EXPECT_THAT(status.error_message(), HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(
    Terms, OpenTermsTest,
    ::testing::Values(
        BadTerm{"Mode", [](v1::OpenSession& open) { open.set_mode(static_cast<v1::OpenMode>(9)); },
                grpc::StatusCode::INVALID_ARGUMENT, "mode is 9"},
        BadTerm{"Durability",
                [](v1::OpenSession& open) { open.set_durability(static_cast<v1::Durability>(9)); },
                grpc::StatusCode::INVALID_ARGUMENT, "durability is 9"},
        BadTerm{"NoStore", [](v1::OpenSession& open) { open.set_durability(v1::DURABILITY_ASYNC); },
                grpc::StatusCode::FAILED_PRECONDITION, "no store"},
        BadTerm{"Remember", [](v1::OpenSession& open) { open.set_remember_steps(65); },
                grpc::StatusCode::INVALID_ARGUMENT, "remember_steps is 65, 0 to 64 are wanted"},
        BadTerm{"Batch", [](v1::OpenSession& open) { open.set_batch_size(-2); },
                grpc::StatusCode::INVALID_ARGUMENT, "batch_size is -2"},
        BadTerm{"Instance", [](v1::OpenSession& open) { open.set_client_instance("short"); },
                grpc::StatusCode::INVALID_ARGUMENT, "client_instance has 5 bytes"},
        BadTerm{"ResumeWithoutId", [](v1::OpenSession& open) { open.set_mode(v1::OPEN_MODE_RESUME); },
                grpc::StatusCode::INVALID_ARGUMENT, "session_id is empty"},
        BadTerm{"Id", [](v1::OpenSession& open) { open.set_session_id("a b"); },
                grpc::StatusCode::INVALID_ARGUMENT, "session_id"},
        BadTerm{"NoModel", [](v1::OpenSession& open) { open.clear_model(); },
                grpc::StatusCode::INVALID_ARGUMENT, "model.name"},
        BadTerm{"Bidirectional", [](v1::OpenSession& open) { open.mutable_model()->set_name("bi"); },
                grpc::StatusCode::FAILED_PRECONDITION, "bidirectional"},
        BadTerm{"H0",
                [](v1::OpenSession& open) {
                  *open.mutable_h_0() = RawTensor({2, 1, 4}, std::vector<float>(8));
                },
                grpc::StatusCode::INVALID_ARGUMENT, "h_0 has 3 dimensions, 2"}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace gruserve::server
