#include "core/network/row_machine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/engine/omp_threads.h"

namespace gruserve {
namespace {

// y = x W + b and z = y + x, with primitives for `batches` rows only.
RowProgram Sums(std::vector<int64_t> batches) {
  const auto kept = std::make_shared<const std::vector<int64_t>>(std::move(batches));
  RowConstants constants{.first = AlignedBuffer(5 * 5), .second = AlignedBuffer(5)};
  for (int64_t i = 0; i < 25; ++i) constants.first.data()[i] = std::sin(static_cast<float>(i));
  for (int64_t i = 0; i < 5; ++i) constants.second.data()[i] = std::cos(static_cast<float>(i));
  std::vector<RowInstruction> instructions;
  instructions.push_back({.inputs = {0},
                          .output = 1,
                          .op = {.kind = RowOpKind::kDense, .input_width = 5, .output_width = 5},
                          .constants = std::move(constants),
                          .batches = kept});
  instructions.push_back({.inputs = {1, 0},
                          .output = 2,
                          .op = {.kind = RowOpKind::kBinary, .input_width = 5, .output_width = 5},
                          .batches = kept});
  return RowProgram({5, 5, 5}, std::move(instructions));
}

std::vector<float> RunSums(const RowProgram& program, int64_t rows) {
  const SingleOmpThread single_thread;
  const auto machine = RowMachine::Create(program).value();
  for (int64_t i = 0; i < rows * 5; ++i) machine->value(0)[i] = 0.1F * static_cast<float>(i % 37);
  EXPECT_TRUE(machine->Run(0, 2, rows).ok());
  return {machine->value(2), machine->value(2) + rows * 5};
}

TEST(RowMachineTest, RowsThatFitNoBatchRunInParts) {
  const RowProgram whole = Sums({1, 2, 4, 8, 16, 32, 64});
  for (const std::vector<int64_t>& batches :
       {std::vector<int64_t>{1}, std::vector<int64_t>{4}, std::vector<int64_t>{2, 16}}) {
    const RowProgram parts = Sums(batches);
    for (const int64_t rows : {1, 3, 16, 17, 63, 64}) {
      const std::vector<float> expected = RunSums(whole, rows);
      const std::vector<float> actual = RunSums(parts, rows);
      for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-5) << rows;
    }
  }
}

TEST(RowMachineTest, RowsBeyondThoseAskedForAreOfNoEffect) {
  const SingleOmpThread single_thread;
  const RowProgram program = Sums({4, 64});
  const auto machine = RowMachine::Create(program).value();
  for (int64_t i = 0; i < 64 * 5; ++i) machine->value(0)[i] = i < 15 ? 0.25F : NAN;
  ASSERT_TRUE(machine->Run(0, 2, 3).ok());
  for (int64_t i = 0; i < 15; ++i) EXPECT_FALSE(std::isnan(machine->value(2)[i]));
}

}  // namespace
}  // namespace gruserve
