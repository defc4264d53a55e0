// Replicas that share one SQLite store, and the steps of one session `a` with what they
// must answer.

#ifndef GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_FIXTURE_H_
#define GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/store/sqlite/sqlite_session_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/durability/durable_replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/session_fixture.h"

namespace gruserve {

class DurableFixture : public ::testing::Test {
 protected:
  static constexpr GruConfig kConfig{.input_size = 3, .hidden_size = 5, .num_layers = 2};

  static const LoadedRandomModel& demo() {
    static const auto* const model = new LoadedRandomModel(1, kConfig);
    return *model;
  }

  void SetUp() override {
    auto store = SqliteSessionStore::Open(folder_ / "sessions.db", &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  std::unique_ptr<DurableReplica> NewReplica(const SessionOpener::Options& options = {},
                                             absl::Duration flush_interval = absl::Hours(1)) {
    const auto find = [this](const std::string& name, int64_t version) -> absl::StatusOr<ModelHandle> {
      if (name == "demo" && version == 1) return served_;
      return absl::NotFoundError("no such model");
    };
    return std::make_unique<DurableReplica>(store_.get(), &clock_, find, options, flush_interval);
  }

  static OpenSessionOptions Options(OpenMode mode, const std::shared_ptr<RecordingSink>& sink,
                                    std::optional<Durability> durability = std::nullopt) {
    OpenSessionOptions options;
    options.id = "a";
    options.mode = mode;
    options.durability = durability;
    if (mode != OpenMode::kResume) options.model = demo().handle();
    options.attachment.sink = sink;
    options.attachment.handle = 7;
    return options;
  }
  std::shared_ptr<Session> Open(DurableReplica& replica, OpenSessionOptions options) {
    auto session = replica.Open(std::move(options));
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? *session : nullptr;
  }
  std::shared_ptr<Session> Create(DurableReplica& replica, Durability durability = Durability::kAsync) {
    return Open(replica, Options(OpenMode::kCreate, sink_, durability));
  }
  std::shared_ptr<Session> Resume(DurableReplica& replica, const std::shared_ptr<RecordingSink>& sink) {
    return Open(replica, Options(OpenMode::kResume, sink));
  }

  // The input of step `index`, and what an uninterrupted run answers to it.
  static std::vector<float> Input(int64_t index) {
    return {static_cast<float>(index % 7) / 7.0f, -0.5f, static_cast<float>(index % 5) / 5.0f};
  }
  static std::vector<float> Expected(int64_t index) {
    std::vector<float> inputs;
    for (int64_t i = 1; i <= index; ++i) {
      const std::vector<float> input = Input(i);
      inputs.insert(inputs.end(), input.begin(), input.end());
    }
    std::vector<float> state;
    const std::vector<float> outputs = demo().RunAlone(1, inputs, &state);
    return {outputs.end() - kConfig.hidden_size, outputs.end()};
  }
  void Step(DurableReplica& replica, Session& session, int64_t index,
            const std::shared_ptr<RecordingSink>& sink) {
    replica.Run(session, StepOp(Input(index), 1, index), sink);
  }
  void ExpectStep(const std::shared_ptr<RecordingSink>& sink, int64_t index) {
    ASSERT_FALSE(sink->results().empty());
    EXPECT_TRUE(sink->last().status.ok()) << sink->last().status;
    EXPECT_EQ(sink->last().index, index);
    EXPECT_THAT(sink->last().output, ::testing::ElementsAreArray(Expected(index)));
  }

  FakeClock clock_;
  ScratchFolder folder_;
  std::unique_ptr<SqliteSessionStore> store_;
  ModelHandle served_ = demo().handle();
  const std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  const std::shared_ptr<RecordingSink> other_ = std::make_shared<RecordingSink>();
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_DURABILITY_DURABLE_FIXTURE_H_
