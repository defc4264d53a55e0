// Every kind of bad request over a real socket: the exact code, a message that
// names the field, what came and what was wanted, and a canary session beside it
// whose bits never change.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <span>
#include <vector>

#include "tests/e2e/bad_inputs.h"
#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

std::vector<BadInput> AllBadInputs() {
  std::vector<BadInput> all;
  for (const auto& part :
       {BadTensors(), BadSequences(), BadCells(), BadOpens(), BadStreams(), BadServiceCalls()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(BadInputTest, EveryRowIsRefusedByNameAndTheCanaryNeverNotices) {
  TestRepository repository;
  const TestModel& demo = repository.Add("demo", {.input_size = 3, .hidden_size = 4, .num_layers = 2}, 1);
  repository.Add("bi", {.input_size = 3, .hidden_size = 4, .num_layers = 2, .num_directions = 2}, 2);
  repository.Add("cell", {.module_kind = ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10}, 3);
  repository.AddBroken("broken");
  const InProcessServer server(repository.root());

  const std::vector<BadInput> rows = AllBadInputs();
  ASSERT_GE(rows.size(), 60U);
  std::mt19937 random(7);
  const std::vector<float> inputs = RandomFloats(random, static_cast<int64_t>(rows.size()) * 3);
  const std::vector<float> undisturbed = demo.Alone(inputs);

  RawStream canary(server.channel());
  ASSERT_TRUE(canary.Call(OpenCommand(1, "demo", "canary")).has_opened());
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(rows[i].name);
    const Outcome outcome = rows[i].send(server.channel());
    EXPECT_EQ(outcome.code, rows[i].code) << outcome.message;
    EXPECT_THAT(outcome.message, testing::ContainsRegex(rows[i].pattern));

    const v1::SessionEvent event =
        canary.Call(StepCommand(1, RawTensor({3}, std::span(inputs).subspan(i * 3, 3))));
    ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
    const auto expected = std::span(undisturbed).subspan(i * 4, 4);
    EXPECT_EQ(Elements(event.output().output()), std::vector<float>(expected.begin(), expected.end()));
  }
  std::printf("%zu bad inputs refused\n", rows.size());
}

}  // namespace
}  // namespace gruserve
