// What networks add to the calls: indexes as inputs, states that begin with trained
// numbers, and reasons why a network cannot step.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/cli.h"
#include "client/client.h"
#include "tests/support/in_process_server.h"
#include "tests/support/model_builder.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

namespace gc = client;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "language" and "bidirectional" of tests/golden/networks; "learned": a GRU 2-2 that
// keeps its state for ever, which begins with 0.5 and -0.25; "odd": a tensor too many.
class NetworkInputsTest : public testing::Test {
 protected:
  NetworkInputsTest()
      : server_(Repository()), client_(gc::Client::Connect(server_.server().address()).value()) {}

  const std::filesystem::path& Repository() {
    const auto networks = std::filesystem::path(GRUSERVE_SOURCE_DIR) / "tests/golden/networks";
    for (const char* name : {"language", "bidirectional"}) {
      std::filesystem::create_directories(folder_ / name);
      std::filesystem::copy(networks / name, folder_ / name / "1");
    }
    RandomGruNetwork gru = RandomGru(1, {.input_size = 2, .hidden_size = 2});
    for (std::vector<float>* tensor : {&gru.layers[0].weight_ih, &gru.layers[0].weight_hh,
                                       &gru.layers[0].bias_ih, &gru.layers[0].bias_hh}) {
      std::fill(tensor->begin(), tensor->end(), 0.0F);
    }
    // A large update gate keeps the state.
    std::fill(gru.layers[0].bias_ih.begin() + 2, gru.layers[0].bias_ih.begin() + 4, 100.0F);
    auto tensors = StateDict(gru, "gru.");
    const float initial[] = {0.5F, -0.25F};
    tensors["h0"] = {"F32", {1, 1, 2}, std::string(sizeof(initial), '\0')};
    std::memcpy(tensors["h0"].bytes.data(), initial, sizeof(initial));
    WriteFile(folder_ / "learned/1/model.safetensors", SafetensorsBytes(tensors));
    WriteFile(folder_ / "learned/1/model.json",
              R"({"modules": [{"type": "GRU", "prefix": "gru", "initial_state": "h0"}]})");
    WriteFile(folder_ / "odd/1/model.safetensors", SafetensorsBytes(tensors));
    WriteFile(folder_ / "odd/1/model.json", R"({"modules": [{"type": "GRU", "prefix": "gru"}]})");
    return folder_.path();
  }

  const ScratchFolder folder_;
  InProcessServer server_;
  const gc::Client client_;
};

TEST_F(NetworkInputsTest, AnIndexOutsideItsTableIsRefusedWithItsPlace) {
  const auto refused = [&](gc::Tensor input, bool batch_first, std::vector<int64_t> lengths = {}) {
    gc::SequenceRequest request;
    request.model = "language";
    request.input = std::move(input);
    request.batch_first = batch_first;
    request.lengths = std::move(lengths);
    return client_.InferSequence(request).status();
  };
  const char* const wanted = "model \"language\" version 1 expects an index from 0 to 39 there";
  EXPECT_THAT(
      refused({{2, 1}, {3, 40}}, false),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string("input[1, 0] is 40, ") + wanted)));
  EXPECT_THAT(refused({{2, 3, 1}, {0, 1, 2, 3, -1, 5}}, false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input[1, 1, 0] is -1")));
  EXPECT_THAT(refused({{3, 2, 1}, {0, 1, 2, 0.5F, 4, 5}}, true),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input[1, 1, 0] is 0.5")));
  // Past a row's end nobody looks.
  EXPECT_TRUE(refused({{2, 2, 1}, {0, 1, 2, -1}}, false, {2, 1}).ok());
}

TEST_F(NetworkInputsTest, ABadIndexFailsItsStepAndTheSessionGoesOn) {
  const auto stream = client_.OpenStream();
  auto session = stream->Open({.model = "language"});
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(session->Step({{1}, {7}}).ok());
  const auto bad = session->Step({{1}, {41}});
  EXPECT_THAT(bad.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input[row 0, 0] is 41")));
  const auto chunk = session->StepChunk({{2, 1}, {1, 1.5F}}, {.index = 2});
  EXPECT_THAT(chunk.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input[row 1, 0] is 1.5")));
  const auto good = session->Step({{1}, {8}}, {.index = 2});
  ASSERT_TRUE(good.ok()) << good.status();
  gc::SequenceRequest request;
  request.model = "language";
  request.input = {{2, 1}, {7, 8}};
  const auto sequence = client_.InferSequence(request);
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_TRUE(std::equal(good->output.values.begin(), good->output.values.end(),
                         sequence->output.values.begin() + 40));
}

TEST_F(NetworkInputsTest, StatesBeginWithTrainedNumbers) {
  gc::SequenceRequest request;
  request.model = "learned";
  request.input = {{1, 2, 2}, {1, 1, 1, 1}};
  const auto sequence = client_.InferSequence(request);
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_THAT(sequence->h_n.values, ElementsAre(0.5F, -0.25F, 0.5F, -0.25F));

  const auto stream = client_.OpenStream();
  auto session = stream->Open({.model = "learned"});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(session->Step({{2}, {1, 1}})->output.values, ElementsAre(0.5F, -0.25F));
  ASSERT_TRUE(session->SetState({{1, 2}, {3, 4}}).ok());
  EXPECT_THAT(session->Step({{2}, {1, 1}})->output.values, ElementsAre(3, 4));
  ASSERT_TRUE(session->Reset().ok());
  EXPECT_THAT(session->Step({{2}, {1, 1}})->output.values, ElementsAre(0.5F, -0.25F));

  const auto cell = client_.InferCell({.model = "learned", .input = {{2}, {1, 1}}});
  ASSERT_TRUE(cell.ok()) << cell.status();
  EXPECT_THAT(cell->h.values, ElementsAre(0.5F, -0.25F));
}

TEST_F(NetworkInputsTest, WhatCannotStepSaysWhyAndRunsAsASequence) {
  const std::string why =
      "model \"bidirectional\" version 1 cannot step, InferSequence runs it: node \"gru\": a bidirectional "
      "GRU "
      "needs the whole sequence";
  EXPECT_THAT(client_.OpenStream()->Open({.model = "bidirectional"}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why)));
  const auto model = client_.GetModel("bidirectional");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE(model->steppable);
  EXPECT_EQ(model->not_steppable, "node \"gru\": a bidirectional GRU needs the whole sequence");
  EXPECT_EQ(model->modules.size(), 5U);
  EXPECT_EQ(model->modules[0].kind, "BatchNorm1d");
  gc::SequenceRequest request;
  request.model = "bidirectional";
  request.input = {{3, 6}, std::vector<float>(18, 0.5F)};
  request.output = gc::OutputSelection::kLast;
  const auto last = client_.InferSequence(request);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_THAT(last->output.shape, ElementsAre(6));
  EXPECT_THAT(last->h_n.shape, ElementsAre(4, 9));
}

TEST_F(NetworkInputsTest, TheCommandLineDescribesModulesAndStates) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(gc::RunCli({"--server", server_.server().address(), "describe", "language"}, {&in, &out, &err}),
            0);
  EXPECT_THAT(out.str(), HasSubstr("inputs               {\"input\":1}\n"));
  EXPECT_THAT(out.str(), HasSubstr("\"embed: Embedding -> 12\",\"gru: GRU -> 20\""));
  EXPECT_THAT(out.str(), HasSubstr("states               {\"gru\":[2,-1,20]}\n"));
  EXPECT_THAT(out.str(), testing::Not(HasSubstr("hidden_size")));
}

TEST_F(NetworkInputsTest, ATensorThatNoModuleUsesFailsTheLoad) {
  const auto models = client_.ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  for (const gc::ModelSummary& model : *models) {
    EXPECT_EQ(model.reason, model.name == "odd" ? "tensor h0 belongs to no module of model.json" : "");
  }
}

}  // namespace
}  // namespace gruserve
