#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/bf16.h"
#include "tests/client/client_server.h"
#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ClientTest, ConnectChecksItsOptions) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Client::Connect(""), StatusIs(code, HasSubstr("target is empty, host:port is wanted")));
  EXPECT_THAT(Client::Connect("x", {.call_timeout = absl::ZeroDuration()}),
              StatusIs(code, HasSubstr("call_timeout is 0")));
  EXPECT_THAT(Client::Connect("x", {.max_message_bytes = 0}),
              StatusIs(code, HasSubstr("max_message_bytes is 0")));
  EXPECT_THAT(Client::Connect("x", {.keepalive = absl::Milliseconds(1)}),
              StatusIs(code, HasSubstr("keepalive is 1ms")));
}

TEST(ClientTest, UnreachableServerIsUnavailable) {
  const Client client = Client::Connect("unix:/nowhere/at/all").value();
  EXPECT_THAT(client.ListModels(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nowhere")));
  const auto stream = client.OpenStream();
  EXPECT_THAT(stream->Open({.model = "gru"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nowhere")));
  EXPECT_THAT(stream->status(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nowhere")));
}

class ClientServerTest : public testing::Test {
 protected:
  const ClientServer server_;
  const Client& client_ = server_.client;
};

TEST_F(ClientServerTest, ListsAndDescribesModels) {
  const auto models = client_.ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  std::vector<std::string> names;
  for (const ModelSummary& model : *models) names.push_back(model.name + " " + Name(model.state));
  EXPECT_THAT(names, ElementsAre("bi READY", "broken FAILED", "cell READY", "gru READY"));
  EXPECT_FALSE((*models)[1].reason.empty());

  const auto model = client_.GetModel("cell");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->summary.version, 1);
  EXPECT_STREQ(Name(model->module_kind), "GRUCell");
  EXPECT_STREQ(Name(model->cell_kind), "linear-before-reset");
  EXPECT_EQ(model->input_size, 5);
  EXPECT_EQ(model->hidden_size, 10);
  EXPECT_EQ(model->state_bytes_per_row, 40);
  EXPECT_TRUE(model->steppable);
  EXPECT_EQ(model->weights_sha256.size(), 64U);
  EXPECT_THAT(client_.GetModel("nope"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
  EXPECT_THAT(client_.GetModel({"cell", 7}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("7")));
  EXPECT_THAT(client_.GetModel("broken"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("broken")));
}

TEST_F(ClientServerTest, InfersSequences) {
  const Tensor x = RandomTensor({6, 3}, 10);
  const Tensor h0 = RandomTensor({2, 5}, 11);
  const auto result = client_.InferSequence({.model = "gru", .input = x, .h_0 = h0});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output.shape, ElementsAre(6, 5));
  EXPECT_EQ(result->output.values, server_.gru.Alone(x.values, h0.values));
  EXPECT_THAT(result->h_n.shape, ElementsAre(2, 5));
  EXPECT_EQ(result->model.version, 1);
  EXPECT_EQ(result->gru_cell_count, 12);
  EXPECT_EQ(result->row_steps, 6);
  EXPECT_FALSE(result->session.has_value());
}

TEST_F(ClientServerTest, InfersRaggedBatchFirstAndSelects) {
  SequenceRequest request{
      .model = "bi", .input = RandomTensor({3, 4, 3}, 12), .lengths = {4, 1, 2}, .batch_first = true};
  const auto all = client_.InferSequence(request);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(all->output.shape, ElementsAre(3, 4, 10));
  EXPECT_THAT(all->h_n.shape, ElementsAre(4, 3, 5));
  EXPECT_EQ(all->row_steps, 7);
  request.output = OutputSelection::kLast;
  const auto last = client_.InferSequence(request);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_THAT(last->output.shape, ElementsAre(3, 10));
  request.output = OutputSelection::kNone;
  const auto none = client_.InferSequence(request);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_THAT(none->output.shape, IsEmpty());
  EXPECT_EQ(none->h_n.values, all->h_n.values);
}

TEST_F(ClientServerTest, InfersCells) {
  const Tensor x = RandomTensor({5}, 13);
  const Tensor h = RandomTensor({10}, 14);
  const auto result = client_.InferCell({.model = "cell", .input = x, .h = h});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->h.shape, ElementsAre(10));
  EXPECT_EQ(result->h.values, server_.cell.Alone(x.values, h.values));
  EXPECT_EQ(result->gru_cell_count, 1);
}

// As bfloat16 travels: both ways the nearest one, and floats between.
TEST_F(ClientServerTest, Bf16TensorsAreRoundedOnTheWayAndNowhereElse) {
  const auto rounded = [](std::vector<float> values) {
    for (float& value : values) value = FromBf16(RoundToBf16(value));
    return values;
  };
  Tensor x = RandomTensor({6, 3}, 10);
  Tensor h0 = RandomTensor({2, 5}, 11);
  x.wire = h0.wire = WireType::kBf16;
  const auto sequence = client_.InferSequence({.model = "gru", .input = x, .h_0 = h0});
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(sequence->output.wire, WireType::kBf16);
  const std::vector<float> expected = rounded(server_.gru.Alone(rounded(x.values), rounded(h0.values)));
  EXPECT_EQ(sequence->output.values, expected);

  const std::unique_ptr<StepStream> stream = client_.OpenStream();
  auto session = stream->Open({.model = "gru", .h_0 = h0});
  ASSERT_TRUE(session.ok()) << session.status();
  const auto chunk = session->StepChunk(x);
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->output.values, expected);

  Tensor cell_x = RandomTensor({5}, 13);
  cell_x.wire = WireType::kBf16;
  const Tensor h = RandomTensor({10}, 14);
  const auto cell = client_.InferCell({.model = "cell", .input = cell_x, .h = h});
  ASSERT_TRUE(cell.ok()) << cell.status();
  EXPECT_EQ(cell->h.values, rounded(server_.cell.Alone(rounded(cell_x.values), h.values)));
}

TEST_F(ClientServerTest, TellsTheServersErrors) {
  EXPECT_THAT(client_.InferSequence({.model = "gru", .input = RandomTensor({4, 2, 7}, 1)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input.shape[2] is 7")));
  EXPECT_THAT(client_.InferCell({.model = "gru", .input = RandomTensor({3}, 1)}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("gru")));
  EXPECT_THAT(client_.CloseSession("nope"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
}

TEST_F(ClientServerTest, KeepsSessionsWithoutAStream) {
  const Tensor x = RandomTensor({6, 3}, 15);
  const std::vector<float> wanted = server_.gru.Alone(x.values);
  const auto opened = client_.OpenSession({.model = "gru", .session_id = "a"});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->session_id, "a");
  EXPECT_EQ(opened->next_step, 1);
  EXPECT_THAT(client_.OpenSession({.model = "gru", .session_id = "a"}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("a")));
  for (int64_t t = 0; t < 4; ++t) {
    const auto y = client_.Step("a", Row(x, t), {.index = t + 1});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ(y->index, t + 1);
    EXPECT_EQ(y->output.values, std::vector<float>(wanted.begin() + t * 5, wanted.begin() + (t + 1) * 5));
  }
  const auto chunk = client_.Step("a", Slice(x, 4, 6), {.return_state = true});
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->output.values, std::vector<float>(wanted.begin() + 20, wanted.end()));
  const auto snapshot = client_.GetSession("a", /*include_state=*/true);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->info.next_step, 7);
  ASSERT_TRUE(snapshot->state.has_value());
  EXPECT_EQ(snapshot->state->values, chunk->state.values);
  EXPECT_FALSE(client_.GetSession("a")->state.has_value());
  EXPECT_TRUE(client_.CloseSession("a").ok());
  EXPECT_THAT(client_.GetSession("a"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("a")));
}

TEST_F(ClientServerTest, ListsMoreSessionsThanAPageHolds) {
  for (int i = 0; i < 1003; ++i) {
    ASSERT_TRUE(client_.OpenSession({.model = i % 2 == 0 ? "gru" : "cell"}).ok());
  }
  EXPECT_EQ(client_.ListSessions()->size(), 1003U);
  EXPECT_EQ(client_.ListSessions("gru")->size(), 502U);
}

TEST_F(ClientServerTest, PrefillLeavesASessionBehind) {
  const Tensor x = RandomTensor({6, 3}, 16);
  const auto prefill = client_.InferSequence(
      {.model = "gru", .input = Slice(x, 0, 5), .keep_session = OpenOptions{.session_id = "kept"}});
  ASSERT_TRUE(prefill.ok()) << prefill.status();
  ASSERT_TRUE(prefill->session.has_value());
  EXPECT_EQ(prefill->session->session_id, "kept");
  const auto y = client_.Step("kept", Row(x, 5));
  ASSERT_TRUE(y.ok()) << y.status();
  const std::vector<float> wanted = server_.gru.Alone(x.values);
  EXPECT_EQ(y->output.values, std::vector<float>(wanted.end() - 5, wanted.end()));
}

TEST_F(ClientServerTest, AsksForHealth) {
  EXPECT_EQ(client_.Health().value(), HealthStatus::kServing);
  EXPECT_EQ(client_.Health("model/gru").value(), HealthStatus::kServing);
  EXPECT_EQ(client_.Health("model/broken").value(), HealthStatus::kNotServing);
  EXPECT_THAT(client_.Health("nope"), StatusIs(absl::StatusCode::kNotFound, testing::_));
  server_.server().Drain();
  EXPECT_FALSE(client_.Health().ok() && *client_.Health() == HealthStatus::kServing);
}

}  // namespace
}  // namespace gruserve::client
