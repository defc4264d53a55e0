// Real-time contracts and tenants over a real socket.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "tests/server/service_fixture.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

v1::SessionCommand OpenInRealTime(uint32_t handle, int64_t period_us, int64_t deadline_us) {
  v1::SessionCommand command = OpenCommand(handle, "demo");
  command.mutable_open()->set_close_with_stream(true);
  command.mutable_open()->mutable_real_time()->set_period_us(period_us);
  command.mutable_open()->mutable_real_time()->set_deadline_us(deadline_us);
  return command;
}

class RealTimeTest : public ServiceTest {};

TEST_F(RealTimeTest, AContractIsPromisedShownAndKeptTo) {
  RawStream stream(server().channel());
  const v1::SessionEvent opened = stream.Call(OpenInRealTime(1, 1'000'000, 0));
  ASSERT_TRUE(opened.has_opened()) << opened.ShortDebugString();
  EXPECT_EQ(opened.opened().real_time().period_us(), 1'000'000);
  EXPECT_EQ(opened.opened().real_time().deadline_us(), 1'000'000);
  EXPECT_EQ(opened.opened().late_steps(), 0);
  EXPECT_TRUE(stream.Call(StepCommand(1, RawTensor({3}, std::vector<float>(3)))).has_output());
  EXPECT_FALSE(stream.Call(OpenCommand(2, "demo")).opened().has_real_time());
}

TEST_F(RealTimeTest, WhatCannotBeKeptIsRefused) {
  RawStream stream(server().channel());
  const v1::SessionEvent refused = stream.Call(OpenInRealTime(1, 1'000'000, 1));
  EXPECT_EQ(refused.error().code(), static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  EXPECT_EQ(refused.error().reason(), v1::ERROR_REASON_BUDGET);
  EXPECT_THAT(refused.error().message(), HasSubstr("real_time"));
}

TEST_F(RealTimeTest, FieldsAreChecked) {
  RawStream stream(server().channel());
  const v1::SessionEvent period = stream.Call(OpenInRealTime(1, 0, 0));
  EXPECT_EQ(period.error().code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
  EXPECT_THAT(period.error().message(), HasSubstr("real_time.period_us is 0, microseconds from 1 on"));
  const v1::SessionEvent deadline = stream.Call(OpenInRealTime(1, 1000, -5));
  EXPECT_THAT(deadline.error().message(), HasSubstr("real_time.deadline_us is -5"));
}

TEST_F(RealTimeTest, AServerMayPromiseNothing) {
  ServerOptions options = SuiteOptions();
  options.real_time_share = 0;
  const InProcessServer strict(models().repository.root(), options);
  RawStream stream(strict.channel());
  EXPECT_THAT(stream.Call(OpenInRealTime(1, 1'000'000, 0)).error().message(),
              HasSubstr("of the 0 that this server promises"));
}

TEST_F(RealTimeTest, ACallMayNameItsTenant) {
  ServerOptions options = SuiteOptions();
  options.tenant_header = "x-tenant";
  options.tenant_weights = "acme=3";
  const InProcessServer shared(models().repository.root(), options);
  const auto stub = v1::InferenceService::NewStub(shared.channel());
  v1::InferCellRequest cell;
  cell.mutable_model()->set_name("cell");
  *cell.mutable_input() = RawTensor({5}, std::vector<float>(5));
  *cell.mutable_h() = RawTensor({10}, std::vector<float>(10));
  v1::InferSequenceRequest sequence;
  sequence.mutable_model()->set_name("cell");
  *sequence.mutable_input() = RawTensor({4, 5}, std::vector<float>(20));
  for (const char* name : {"acme", "other"}) {
    grpc::ClientContext contexts[2];
    for (grpc::ClientContext& context : contexts) context.AddMetadata("x-tenant", name);
    v1::InferCellResponse state;
    grpc::Status status = stub->InferCell(&contexts[0], cell, &state);
    EXPECT_TRUE(status.ok()) << status.error_message();
    v1::InferSequenceResponse output;
    status = stub->InferSequence(&contexts[1], sequence, &output);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST_F(RealTimeTest, SequencesWaitInTheNameOfTheirTenant) {
  constexpr int64_t kSteps = 80'000;  // So long that the others come meanwhile.
  ServerOptions options = SuiteOptions();
  options.tenant_header = "x-tenant";
  options.max_queued_sequences = 4;
  options.max_message_bytes = 16 << 20;
  const InProcessServer shared(models().repository.root(), options);
  const auto stub = v1::InferenceService::NewStub(shared.channel());
  v1::InferSequenceRequest request;
  request.mutable_model()->set_name("demo");
  *request.mutable_input() = RawTensor({kSteps, 3}, std::vector<float>(3 * kSteps));
  struct Call {
    grpc::ClientContext context;
    v1::InferSequenceResponse response;
    std::string message;
  };
  std::vector<Call> calls(12);
  absl::BlockingCounter ended(static_cast<int>(calls.size()));
  for (Call& call : calls) {
    call.context.AddMetadata("x-tenant", "acme");
    stub->async()->InferSequence(&call.context, &request, &call.response,
                                 [&call, &ended](const grpc::Status& status) {
                                   call.message = status.error_message();
                                   ended.DecrementCount();
                                 });
  }
  ended.Wait();
  // Those of nobody would be told that the queue is full.
  const auto refused = [](const Call& call) { return call.message.starts_with("of tenant \"acme\""); };
  EXPECT_TRUE(std::any_of(calls.begin(), calls.end(), refused)) << calls.back().message;
}

}  // namespace
}  // namespace gruserve::server
