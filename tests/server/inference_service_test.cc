// The unary calls of InferenceService over a real socket, against the reference
// in double precision and against steps of the same model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kBound = 1e-6;

void ExpectNear(const std::vector<float>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], kBound) << "at " << i;
}

// [A, B, C] as [B, A, C].
std::vector<float> SwapAxes(const std::vector<float>& elements, int64_t a, int64_t b, int64_t c) {
  std::vector<float> swapped;
  for (int64_t j = 0; j < b; ++j) {
    for (int64_t i = 0; i < a; ++i) {
      const auto begin = elements.begin() + (i * b + j) * c;
      swapped.insert(swapped.end(), begin, begin + c);
    }
  }
  return swapped;
}

class InferSequenceTest : public ServiceTest {
 protected:
  static grpc::Status Call(const v1::InferSequenceRequest& request, v1::InferSequenceResponse* response) {
    grpc::ClientContext context;
    return inference()->InferSequence(&context, request, response);
  }

  static v1::InferSequenceRequest Request(const std::string& model, v1::Tensor input) {
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name(model);
    *request.mutable_input() = std::move(input);
    return request;
  }

  std::mt19937 random_{7};
};

TEST_F(InferSequenceTest, EqualsTheReference) {
  for (const TestModel* model : {&models().demo, &models().bi, &models().one, &models().cell}) {
    SCOPED_TRACE(model->name());
    const GruConfig& config = model->config();
    const std::vector<float> input = RandomFloats(random_, 7 * 3 * config.input_size);
    const ReferenceResult wanted = ReferenceGru(model->gru(), 7, 3, input);
    v1::InferSequenceResponse response;
    const grpc::Status status =
        Call(Request(model->name(), RawTensor({7, 3, config.input_size}, input)), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_THAT(response.output().shape(), ElementsAre(7, 3, config.output_size()));
    ExpectNear(Elements(response.output()), wanted.output);
    ExpectNear(Elements(response.h_n()), wanted.h_n);
    EXPECT_EQ(response.gru_cell_count(), 7 * config.state_blocks());
    EXPECT_EQ(response.row_steps(), 21);
    EXPECT_EQ(response.model().version(), 1);
  }
}

TEST_F(InferSequenceTest, StatesOfACellHaveNoLayers) {
  v1::InferSequenceResponse response;
  ASSERT_TRUE(Call(Request("cell", RawTensor({2, 3, 5}, RandomFloats(random_, 30))), &response).ok());
  EXPECT_THAT(response.h_n().shape(), ElementsAre(3, 10));
  ASSERT_TRUE(Call(Request("cell", RawTensor({2, 5}, RandomFloats(random_, 10))), &response).ok());
  EXPECT_THAT(response.h_n().shape(), ElementsAre(10));
}

TEST_F(InferSequenceTest, RaggedWithH0EqualsTheReference) {
  const std::vector<int64_t> lengths = {2, 5, 1};
  for (const TestModel* model : {&models().demo, &models().bi}) {
    SCOPED_TRACE(model->name());
    const GruConfig& config = model->config();
    const std::vector<float> input = RandomFloats(random_, 5 * 3 * config.input_size);
    const std::vector<float> h_0 = RandomFloats(random_, 3 * config.state_size());
    const ReferenceResult wanted = ReferenceGru(model->gru(), 5, 3, input, h_0, lengths);
    v1::InferSequenceRequest request = Request(model->name(), RawTensor({5, 3, config.input_size}, input));
    *request.mutable_h_0() = RawTensor({config.state_blocks(), 3, config.hidden_size}, h_0);
    request.mutable_lengths()->Assign(lengths.begin(), lengths.end());
    v1::InferSequenceResponse response;
    const grpc::Status status = Call(request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ExpectNear(Elements(response.output()), wanted.output);
    ExpectNear(Elements(response.h_n()), wanted.h_n);
    EXPECT_EQ(response.row_steps(), 8);
    EXPECT_EQ(response.gru_cell_count(), 5 * config.state_blocks());

    request.set_output_selection(v1::OUTPUT_SELECTION_LAST);
    ASSERT_TRUE(Call(request, &response).ok());
    EXPECT_THAT(response.output().shape(), ElementsAre(3, config.output_size()));
    std::vector<double> last;
    for (size_t row = 0; row < 3; ++row) {
      const auto begin =
          wanted.output.begin() + ((lengths[row] - 1) * 3 + static_cast<int64_t>(row)) * config.output_size();
      last.insert(last.end(), begin, begin + config.output_size());
    }
    ExpectNear(Elements(response.output()), last);
  }
}

TEST_F(InferSequenceTest, BatchFirstHasTheSameBits) {
  const std::vector<float> input = RandomFloats(random_, 6 * 4 * 3);
  v1::InferSequenceResponse time_first;
  ASSERT_TRUE(Call(Request("demo", RawTensor({6, 4, 3}, input)), &time_first).ok());
  v1::InferSequenceRequest request = Request("demo", RawTensor({4, 6, 3}, SwapAxes(input, 6, 4, 3)));
  request.set_batch_first(true);
  v1::InferSequenceResponse batch_first;
  ASSERT_TRUE(Call(request, &batch_first).ok());
  EXPECT_THAT(batch_first.output().shape(), ElementsAre(4, 6, 4));
  EXPECT_EQ(Elements(batch_first.output()), SwapAxes(Elements(time_first.output()), 6, 4, 4));
  EXPECT_EQ(Elements(batch_first.h_n()), Elements(time_first.h_n()));
}

TEST_F(InferSequenceTest, UnbatchedHasTheBitsOfStepsAndIgnoresBatchFirst) {
  const std::vector<float> input = RandomFloats(random_, 40 * 3);
  for (const bool batch_first : {false, true}) {
    v1::InferSequenceRequest request = Request("demo", RawTensor({40, 3}, input));
    request.set_batch_first(batch_first);
    v1::InferSequenceResponse response;
    ASSERT_TRUE(Call(request, &response).ok());
    EXPECT_THAT(response.output().shape(), ElementsAre(40, 4));
    EXPECT_THAT(response.h_n().shape(), ElementsAre(2, 4));
    EXPECT_EQ(Elements(response.output()), models().demo.Alone(input));
  }
}

TEST_F(InferSequenceTest, AnswersInTheFormOfTheRequest) {
  const std::vector<float> input = RandomFloats(random_, 2 * 3);
  v1::InferSequenceResponse raw;
  ASSERT_TRUE(Call(Request("demo", RawTensor({2, 3}, input)), &raw).ok());
  EXPECT_EQ(raw.output().raw().size(), 2U * 4 * sizeof(float));
  EXPECT_EQ(raw.output().values_size(), 0);

  v1::Tensor values;
  for (const int64_t dim : {2, 3}) values.add_shape(dim);
  values.mutable_values()->Assign(input.begin(), input.end());
  v1::InferSequenceResponse response;
  ASSERT_TRUE(Call(Request("demo", values), &response).ok());
  EXPECT_THAT(response.output().raw(), IsEmpty());
  EXPECT_EQ(response.output().values_size(), 8);
  EXPECT_EQ(Elements(response.output()), Elements(raw.output()));
  EXPECT_EQ(Elements(response.h_n()), Elements(raw.h_n()));
}

TEST_F(InferSequenceTest, NoneHasNoOutput) {
  v1::InferSequenceRequest request = Request("demo", RawTensor({5, 3}, RandomFloats(random_, 15)));
  request.set_output_selection(v1::OUTPUT_SELECTION_NONE);
  v1::InferSequenceResponse response;
  ASSERT_TRUE(Call(request, &response).ok());
  EXPECT_FALSE(response.has_output());
  EXPECT_TRUE(response.has_h_n());
}

TEST_F(InferSequenceTest, AnEmptyBatchHasAnEmptyResult) {
  v1::InferSequenceResponse response;
  const grpc::Status status = Call(Request("demo", RawTensor({5, 0, 3}, {})), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.output().shape(), ElementsAre(5, 0, 4));
  EXPECT_THAT(response.h_n().shape(), ElementsAre(2, 0, 4));
}

TEST_F(InferSequenceTest, KeepSessionGoesOnWhereTheSequenceEnded) {
  const std::vector<float> input = RandomFloats(random_, 10 * 3);
  const std::vector<float> whole = models().demo.Alone(input);
  v1::InferSequenceRequest request = Request("demo", RawTensor({9, 3}, {input.data(), 27}));
  request.mutable_keep_session()->set_session_id("prefilled");
  v1::InferSequenceResponse response;
  const grpc::Status status = Call(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.session().session_id(), "prefilled");
  EXPECT_FALSE(response.session().attached());

  v1::StepRequest step;
  step.set_session_id("prefilled");
  *step.mutable_step()->mutable_input() = RawTensor({3}, {input.data() + 27, 3});
  v1::StepResponse stepped;
  grpc::ClientContext context;
  ASSERT_TRUE(inference()->Step(&context, step, &stepped).ok());
  EXPECT_EQ(Elements(stepped.output().output()), std::vector<float>(whole.end() - 4, whole.end()));

  EXPECT_EQ(Call(request, &response).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(InferSequenceTest, KeepSessionOfAnEmptyBatchIsInvalidArgument) {
  v1::InferSequenceRequest request = Request("demo", RawTensor({5, 0, 3}, {}));
  request.mutable_keep_session();
  v1::InferSequenceResponse response;
  EXPECT_EQ(Call(request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(InferSequenceTest, KeepSessionOfABidirectionalModelIsFailedPrecondition) {
  v1::InferSequenceRequest request = Request("bi", RawTensor({5, 3}, RandomFloats(random_, 15)));
  request.mutable_keep_session();
  v1::InferSequenceResponse response;
  const grpc::Status status = Call(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("bidirectional"));
}

TEST_F(InferSequenceTest, WrongShapeIsInvalidArgument) {
  v1::InferSequenceResponse response;
  const grpc::Status status =
      Call(Request("demo", RawTensor({2, 1, 12}, RandomFloats(random_, 24))), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "input.shape[2] is 12, model \"demo\" version 1 expects 3");
}

TEST_F(InferSequenceTest, UnknownModelIsNotFound) {
  v1::InferSequenceResponse response;
  EXPECT_EQ(Call(Request("nobody", RawTensor({1, 3}, RandomFloats(random_, 3))), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(InferSequenceTest, FailedModelIsFailedPrecondition) {
  v1::InferSequenceResponse response;
  EXPECT_EQ(Call(Request("broken", RawTensor({1, 3}, RandomFloats(random_, 3))), &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(InferSequenceTest, AMessageBeyondTheLimitIsResourceExhausted) {
  v1::InferSequenceResponse response;
  const grpc::Status status =
      Call(Request("demo", RawTensor({100'000, 3}, std::vector<float>(300'000))), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(InferSequenceTest, AResultBeyondTheLimitIsResourceExhausted) {
  v1::InferSequenceResponse response;
  const grpc::Status status =
      Call(Request("bi", RawTensor({80'000, 3}, std::vector<float>(240'000))), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("80000 steps"));
}

TEST_F(InferSequenceTest, APassedDeadlineIsDeadlineExceededAndTheServerGoesOn) {
  for (const int microseconds : {0, 100, 1000, 3000}) {
    v1::InferSequenceRequest request = Request("demo", RawTensor({50'000, 3}, std::vector<float>(150'000)));
    request.set_output_selection(v1::OUTPUT_SELECTION_NONE);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(microseconds));
    v1::InferSequenceResponse response;
    EXPECT_EQ(inference()->InferSequence(&context, request, &response).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  v1::InferSequenceResponse response;
  EXPECT_TRUE(Call(Request("demo", RawTensor({1, 3}, RandomFloats(random_, 3))), &response).ok());
}

TEST_F(InferSequenceTest, CancellingAtAnyPointIsCancelledAndTheServerGoesOn) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    const v1::InferSequenceRequest request =
        Request("one", RawTensor({20'000, 3}, std::vector<float>(60'000)));
    grpc::ClientContext context;
    std::thread canceller([&context] { context.TryCancel(); });
    v1::InferSequenceResponse response;
    const grpc::StatusCode code = inference()->InferSequence(&context, request, &response).error_code();
    canceller.join();
    EXPECT_TRUE(code == grpc::StatusCode::CANCELLED || code == grpc::StatusCode::OK) << code;
  }
}

TEST_F(InferSequenceTest, MoreCallsThanAllowedAreResourceExhausted) {
  ServerOptions options = SuiteOptions();
  options.max_concurrent_calls = 1;
  const InProcessServer one_call(models().repository.root(), options);
  const v1::InferSequenceRequest request =
      Request("one", RawTensor({40'000, 3}, std::vector<float>(120'000)));
  std::vector<grpc::StatusCode> codes(8);
  std::vector<std::thread> callers;
  for (grpc::StatusCode& code : codes) {
    callers.emplace_back([&] {
      grpc::ClientContext context;
      v1::InferSequenceResponse response;
      code = v1::InferenceService::NewStub(one_call.channel())
                 ->InferSequence(&context, request, &response)
                 .error_code();
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(codes, ::testing::Contains(grpc::StatusCode::OK));
  EXPECT_THAT(codes, ::testing::Contains(grpc::StatusCode::RESOURCE_EXHAUSTED));
}

class InferCellTest : public ServiceTest {
 protected:
  static grpc::Status Call(const v1::InferCellRequest& request, v1::InferCellResponse* response) {
    grpc::ClientContext context;
    return inference()->InferCell(&context, request, response);
  }

  std::mt19937 random_{8};
};

TEST_F(InferCellTest, BatchedAndUnbatchedEqualTheReference) {
  for (const TestModel* model : {&models().cell, &models().one}) {
    const GruConfig& config = model->config();
    for (const int64_t rows : {0, 1, 3, 100}) {
      SCOPED_TRACE(rows);
      const int64_t count = std::max<int64_t>(rows, 1);
      const std::vector<float> input = RandomFloats(random_, count * config.input_size);
      const std::vector<float> h = RandomFloats(random_, count * config.hidden_size);
      const ReferenceResult wanted = ReferenceGru(model->gru(), 1, count, input, h);
      v1::InferCellRequest request;
      request.mutable_model()->set_name(model->name());
      *request.mutable_input() =
          rows == 0 ? RawTensor({config.input_size}, input) : RawTensor({rows, config.input_size}, input);
      *request.mutable_h() =
          rows == 0 ? RawTensor({config.hidden_size}, h) : RawTensor({rows, config.hidden_size}, h);
      v1::InferCellResponse response;
      const grpc::Status status = Call(request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(response.h().shape_size(), rows == 0 ? 1 : 2);
      ExpectNear(Elements(response.h()), wanted.h_n);
      EXPECT_EQ(response.gru_cell_count(), 1);
    }
  }
}

TEST_F(InferCellTest, WithoutHBeginsAtZero) {
  const std::vector<float> input = RandomFloats(random_, 5);
  v1::InferCellRequest request;
  request.mutable_model()->set_name("cell");
  *request.mutable_input() = RawTensor({5}, input);
  v1::InferCellResponse response;
  ASSERT_TRUE(Call(request, &response).ok());
  EXPECT_EQ(Elements(response.h()), models().cell.Alone(input));
}

TEST_F(InferCellTest, AnEmptyBatchHasAnEmptyResult) {
  v1::InferCellRequest request;
  request.mutable_model()->set_name("cell");
  *request.mutable_input() = RawTensor({0, 5}, {});
  v1::InferCellResponse response;
  ASSERT_TRUE(Call(request, &response).ok());
  EXPECT_THAT(response.h().shape(), ElementsAre(0, 10));
}

TEST_F(InferCellTest, ManyLayersAreFailedPrecondition) {
  v1::InferCellRequest request;
  request.mutable_model()->set_name("demo");
  *request.mutable_input() = RawTensor({3}, RandomFloats(random_, 3));
  v1::InferCellResponse response;
  const grpc::Status status = Call(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("2 layers"));
}

TEST_F(InferCellTest, WrongStateIsInvalidArgument) {
  v1::InferCellRequest request;
  request.mutable_model()->set_name("cell");
  *request.mutable_input() = RawTensor({2, 5}, RandomFloats(random_, 10));
  *request.mutable_h() = RawTensor({3, 10}, RandomFloats(random_, 30));
  v1::InferCellResponse response;
  const grpc::Status status = Call(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "h.shape[0] is 3, the batch expects 2");
}

}  // namespace
}  // namespace gruserve::server
