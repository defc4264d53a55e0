// Networks on the compute pool: sequences of them shared by workers, beside steps.

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "tests/core/network/network_fixture.h"
#include "tests/core/runtime/compute_pool_fixture.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

class NetworkSequence : public SequenceTask {
 public:
  NetworkSequence(const LoadedModel& of, std::latch* done, int64_t time_steps, int64_t batch_size,
                  uint32_t seed)
      : arrays(of.network(), time_steps, batch_size, seed), done_(done) {
    model = &of;
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& result) override {
    status = result;
    done_->count_down();
  }

  NetworkCall arrays;
  absl::Status status = absl::UnknownError("not done");

 private:
  std::latch* const done_;
};

class NetworkPoolTest : public ComputePoolTest, public testing::WithParamInterface<NetworkForm> {};

TEST_P(NetworkPoolTest, SharedSequencesHaveTheBitsOfTheSequenceAlone) {
  const auto network = GetParam().Load();
  const ModelHandle model =
      LoadedModel::Create("network", 1, "0123", network, kWorkers,
                          StepCosts({{1, absl::Microseconds(1)}, {64, absl::Microseconds(18)}}))
          .value();
  const auto lone = NetworkReplica::Create(network).value();
  Start(kWorkers);
  std::latch step_done(1);
  EndlessStep endless(pool_.get(), &step_done);
  ASSERT_TRUE(pool_->SubmitStep(&endless).ok());
  std::latch done(12);
  std::vector<std::unique_ptr<NetworkSequence>> sequences;
  for (uint32_t i = 0; i < 12; ++i) {
    sequences.push_back(
        std::make_unique<NetworkSequence>(*model, &done, 40 + 150 * (i % 3), 1 + 23 * (i % 4), i));
    ASSERT_TRUE(pool_->SubmitSequence(sequences.back().get()).ok());
  }
  done.wait();
  endless.Stop();
  step_done.wait();
  for (const auto& sequence : sequences) {
    ASSERT_TRUE(sequence->status.ok()) << sequence->status;
    const std::vector<float> output = sequence->arrays.output;
    const std::vector<float> states = sequence->arrays.states;
    sequence->arrays.Reset();
    ASSERT_TRUE(lone->RunSequence(sequence->arrays.call()).ok());
    EXPECT_TRUE(SameBits(output, sequence->arrays.output));
    EXPECT_TRUE(SameBits(states, sequence->arrays.states));
  }
}

TEST_P(NetworkPoolTest, ACancelledSequenceEndsBetweenSlices) {
  const auto network = GetParam().Load();
  const ModelHandle model =
      LoadedModel::Create("network", 1, "0123", network, 1, StepCosts({{1, absl::Microseconds(1)}})).value();
  Start(1);
  std::latch gate_done(1);
  Gate gate(&gate_done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  std::latch done(1);
  NetworkSequence sequence(*model, &done, 50, 2, 1);
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  sequence.cancelled = true;
  gate.Open();
  done.wait();
  EXPECT_EQ(sequence.status.code(), absl::StatusCode::kCancelled);
  gate_done.wait();
}

INSTANTIATE_TEST_SUITE_P(Forms, NetworkPoolTest, testing::ValuesIn(kForms),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gruserve
