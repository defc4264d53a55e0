// How a repository changes while it serves: what is loaded, replaced, kept and refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/runtime/background_thread.h"
#include "core/runtime/model_repository.h"
#include "tests/support/model_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using Models = absl::StatusOr<std::vector<ModelStatus>>;

const GruConfig kConfig = {.input_size = 3, .hidden_size = 4};

class RepositoryChangesTest : public testing::Test {
 protected:
  // Starts a repository on the folder.
  void Start(ModelRepository::Options options) {
    options.root = folder_.root();
    options.observe = [this](const std::string& name) { changed_.push_back(name); };
    // As long as no test waits for it.
    options.poll_interval = absl::InfiniteDuration();
    models_ = std::make_unique<ModelRepository>(std::move(options));
    ASSERT_TRUE(models_->Load().ok());
  }
  void Start(RepositoryMode mode) { Start(ModelRepository::Options{.mode = mode}); }

  template <typename Call>
  static Models Wait(Call call) {
    std::latch answered(1);
    Models answer = absl::UnknownError("no answer");
    call([&](Models models) {
      answer = std::move(models);
      answered.count_down();
    });
    answered.wait();
    return answer;
  }
  Models LoadModel(const std::string& name, int64_t version = 0) {
    return Wait([&](ModelRepository::Done done) { models_->LoadModel(name, version, std::move(done)); });
  }
  Models UnloadModel(const std::string& name, int64_t version = 0) {
    return Wait([&](ModelRepository::Done done) { models_->UnloadModel(name, version, std::move(done)); });
  }
  Models Poll() {
    return Wait([&](ModelRepository::Done done) { models_->Poll(std::move(done)); });
  }
  // Waits until the repository's thread has done what it was asked so far.
  void WaitForThread() { Poll().IgnoreError(); }

  // Of each listed version of "demo", whether it serves.
  std::vector<std::pair<int64_t, bool>> Listed() const {
    std::vector<std::pair<int64_t, bool>> listed;
    for (const ModelStatus& status : models_->List())
      if (status.name == "demo") listed.emplace_back(status.version, status.state == ModelState::kReady);
    return listed;
  }

  TestRepository folder_;
  std::vector<std::string> changed_;  // Of the repository's thread, until it stops.
  std::unique_ptr<ModelRepository> models_;
};

TEST_F(RepositoryChangesTest, ExplicitModeServesWhatItIsTold) {
  folder_.Add("demo", kConfig, 1);
  folder_.Add("other", kConfig, 2);
  Start({.mode = RepositoryMode::kExplicit, .load_models = {"other", "missing"}});
  EXPECT_THAT(models_->Find("demo", 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("demo")));
  EXPECT_TRUE(models_->Find("other", 0).ok());
  const Models loaded = LoadModel("demo");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true)));
  ModelHandle held = *models_->Find("demo", 0);
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_EQ(*models_->Find("demo", 0), held) << "what did not change is not loaded anew";
  ASSERT_TRUE(UnloadModel("demo").ok());
  EXPECT_THAT(models_->Find("demo", 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("demo")));
  EXPECT_EQ(held->version(), 1) << "who holds it keeps it";
  EXPECT_EQ(models_->counters().retired, 1);
  EXPECT_THAT(UnloadModel("demo"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("is not loaded")));
  held = nullptr;
  EXPECT_EQ(models_->counters().retired, 0);
  models_->Stop();
  EXPECT_THAT(changed_, ElementsAre("other", "demo", "demo"));
}

TEST_F(RepositoryChangesTest, AStarLoadsAllAtStart) {
  folder_.Add("demo", kConfig, 1);
  folder_.Add("other", kConfig, 2);
  Start({.mode = RepositoryMode::kExplicit, .load_models = {"*"}});
  EXPECT_EQ(models_->List().size(), 2U);
}

TEST_F(RepositoryChangesTest, OtherModesRefuseToBeTold) {
  for (const auto& [mode, word] :
       {std::pair(RepositoryMode::kStatic, "static"), {RepositoryMode::kPoll, "poll"}}) {
    Start(mode);
    EXPECT_THAT(LoadModel("demo"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(word)));
    EXPECT_THAT(UnloadModel("demo"),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--repository-mode explicit")));
  }
}

TEST_F(RepositoryChangesTest, WhatIsNotThereCannotBeLoaded) {
  folder_.Add("demo", kConfig, 1);
  std::filesystem::create_directories(folder_.root() / "empty");
  Start(RepositoryMode::kExplicit);
  EXPECT_THAT(LoadModel("nope"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
  EXPECT_THAT(LoadModel("../demo"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("not in the repository")));
  EXPECT_THAT(LoadModel("empty"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no version")));
  EXPECT_THAT(LoadModel("demo", 2), StatusIs(absl::StatusCode::kNotFound, HasSubstr("version 2")));
  EXPECT_TRUE(models_->List().empty());
}

TEST_F(RepositoryChangesTest, AChangedVersionTakesThePlaceOfTheOldOne) {
  folder_.Add("demo", kConfig, 1);
  Start(RepositoryMode::kExplicit);
  ASSERT_TRUE(LoadModel("demo").ok());
  const ModelHandle old = *models_->Find("demo", 1);
  folder_.Add("demo", kConfig, 2);
  ASSERT_TRUE(LoadModel("demo").ok());
  const ModelHandle fresh = *models_->Find("demo", 1);
  EXPECT_NE(old->weights_sha256(), fresh->weights_sha256());
  EXPECT_EQ(old->step_costs().points().size(), fresh->step_costs().points().size());
  EXPECT_EQ(old->step_costs().largest_batch(), fresh->step_costs().largest_batch())
      << "what steps cost is known from the version before";
  EXPECT_EQ(models_->counters().retired, 1);
}

TEST_F(RepositoryChangesTest, AFailedLoadKeepsTheOldOneAndSaysWhy) {
  folder_.Add("demo", kConfig, 1);
  Start(RepositoryMode::kExplicit);
  ASSERT_TRUE(LoadModel("demo").ok());
  const ModelHandle old = *models_->Find("demo", 0);
  folder_.AddBroken("demo");
  EXPECT_THAT(LoadModel("demo"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       testing::AllOf(HasSubstr("model \"demo\" version 1 failed to load: safetensors"),
                                      HasSubstr("goes on serving"))));
  EXPECT_EQ(*models_->Find("demo", 0), old);
  EXPECT_EQ(models_->List()[0].state, ModelState::kReady);
  EXPECT_THAT(models_->List()[0].reason, HasSubstr("safetensors"));
  folder_.Add("demo", kConfig, 3);
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_NE(*models_->Find("demo", 0), old);
  EXPECT_EQ(models_->List()[0].reason, "");
}

TEST_F(RepositoryChangesTest, PollingLoadsWhatHoldsStillAndDropsWhatIsGone) {
  folder_.Add("demo", kConfig, 1);
  Start(RepositoryMode::kPoll);
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true)));
  folder_.Add("demo", kConfig, 2, 2);
  ASSERT_TRUE(Poll().ok());
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true))) << "it may still be written";
  ASSERT_TRUE(Poll().ok());
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true), Pair(2, true)));
  const std::string before = (*models_->Find("demo", 1))->weights_sha256();
  folder_.Add("demo", kConfig, 3, 1);
  ASSERT_TRUE(Poll().ok());
  EXPECT_EQ((*models_->Find("demo", 1))->weights_sha256(), before);
  ASSERT_TRUE(Poll().ok());
  EXPECT_NE((*models_->Find("demo", 1))->weights_sha256(), before);
  std::filesystem::remove_all(folder_.root() / "demo");
  ASSERT_TRUE(Poll().ok());
  EXPECT_TRUE(models_->List().empty());
  std::filesystem::remove_all(folder_.root());
  EXPECT_THAT(Poll(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("is not a folder")));
}

TEST_F(RepositoryChangesTest, AFailedVersionIsTriedAgainOnceItChanges) {
  Start(RepositoryMode::kPoll);
  folder_.AddBroken("demo");
  for (int look = 0; look < 4; ++look) ASSERT_TRUE(Poll().ok());
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, false)));
  EXPECT_EQ(models_->counters().failed, 1);
  folder_.Add("demo", kConfig, 1);
  for (int look = 0; look < 2; ++look) ASSERT_TRUE(Poll().ok());
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true)));
}

TEST_F(RepositoryChangesTest, TheLatestServeAndOlderOnesStandInForOnesThatFail) {
  for (int64_t version = 1; version <= 3; ++version) folder_.Add("demo", kConfig, 1, version);
  Start({.mode = RepositoryMode::kExplicit,
         .load_models = {"demo"},
         .version_policy = *ParseVersionPolicy("latest:2")});
  EXPECT_THAT(Listed(), ElementsAre(Pair(2, true), Pair(3, true)));
  folder_.AddBroken("demo", 4);
  EXPECT_THAT(LoadModel("demo"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 4")));
  EXPECT_THAT(Listed(), ElementsAre(Pair(2, true), Pair(3, true), Pair(4, false)));
  folder_.Add("demo", kConfig, 2, 4);
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_THAT(Listed(), ElementsAre(Pair(3, true), Pair(4, true)));
}

TEST_F(RepositoryChangesTest, VersionsJsonChoosesVersionsAndLabelsThem) {
  for (int64_t version = 1; version <= 3; ++version) folder_.Add("demo", kConfig, 1, version);
  const auto write = [this](const std::string& text) {
    WriteFile(folder_.root() / "demo" / "versions.json", text);
  };
  write(
      R"({"version_policy": {"specific": [1, 3]}, "version_labels": {"stable": 1, "canary": 3, "old": 2}})");
  Start({.mode = RepositoryMode::kExplicit, .load_models = {"demo"}});
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true), Pair(3, true)));
  EXPECT_EQ((*models_->FindLabel("demo", "stable"))->version(), 1);
  EXPECT_EQ((*models_->FindLabel("demo", "canary"))->version(), 3);
  EXPECT_THAT(models_->List()[1].labels, ElementsAre("canary"));
  EXPECT_THAT(
      models_->FindLabel("demo", "old"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("labelled \"old\"; its labels: canary, stable")));
  EXPECT_THAT(models_->FindLabel("nope", "old"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
  // A label moves once its new version serves.
  folder_.AddBroken("demo", 4);
  write(R"({"version_labels": {"stable": 4}, "version_policy": {"latest": 1}})");
  EXPECT_FALSE(LoadModel("demo").ok());
  EXPECT_EQ((*models_->Find("demo", 0))->version(), 3);
  folder_.Add("demo", kConfig, 4, 4);
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_EQ((*models_->FindLabel("demo", "stable"))->version(), 4);
  EXPECT_THAT(Listed(), ElementsAre(Pair(4, true)));
  // Rules that cannot be read change nothing.
  write("{");
  EXPECT_THAT(LoadModel("demo"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("stays as it is: versions.json: is no JSON object")));
  EXPECT_EQ((*models_->FindLabel("demo", "stable"))->version(), 4);
}

TEST_F(RepositoryChangesTest, ARetiredVersionHasASuccessorWhereSessionsAreCarried) {
  folder_.Add("demo", kConfig, 1);
  const auto write = [this](const std::string& text) {
    WriteFile(folder_.root() / "demo" / "versions.json", text);
  };
  write(R"({"version_policy": {"latest": 1}, "carry_sessions": true})");
  Start({.mode = RepositoryMode::kExplicit, .load_models = {"demo"}});
  EXPECT_TRUE(models_->CarriesSessions("demo"));
  EXPECT_FALSE(models_->CarriesSessions("nope"));
  const ModelHandle first = *models_->Find("demo", 0);
  folder_.Add("demo", kConfig, 2, 2);
  ASSERT_TRUE(LoadModel("demo").ok());
  ASSERT_EQ(models_->RetiredHandles().size(), 1U);
  EXPECT_EQ(models_->RetiredHandles()[0].successor, *models_->Find("demo", 2));
  // Other shapes cannot go on, and nothing can once all is unloaded.
  folder_.Add("demo", {.input_size = 3, .hidden_size = 5}, 3, 3);
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_EQ(models_->RetiredHandles()[0].successor, nullptr);
  ASSERT_TRUE(UnloadModel("demo").ok());
  EXPECT_EQ(models_->RetiredHandles()[0].successor, nullptr);
  folder_.Add("demo", kConfig, 4, 4);
  write(R"({"version_policy": {"latest": 1}})");
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_EQ(models_->RetiredHandles()[0].successor, nullptr) << "nobody asks for it any more";
}

TEST_F(RepositoryChangesTest, WhatDoesNotFitInTheBudgetIsRefusedWithTheFigures) {
  folder_.Add("demo", kConfig, 1);
  const int64_t file =
      static_cast<int64_t>(std::filesystem::file_size(folder_.FolderOf("demo", 1) / "model.safetensors"));
  const int64_t weights = 4 * (3 * 4 * (3 + 4 + 2));
  Start({.mode = RepositoryMode::kExplicit, .memory_bytes = file + weights - 1});
  ASSERT_TRUE(LoadModel("demo").ok());
  EXPECT_EQ(models_->counters().memory_bytes, weights);
  ModelHandle held = *models_->Find("demo", 0);
  folder_.Add("demo", kConfig, 2, 2);
  EXPECT_THAT(LoadModel("demo"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("its weights take " + std::to_string(file) + " bytes; " +
                                 std::to_string(file - 1) + " of the " + std::to_string(file + weights - 1) +
                                 " bytes of the model memory budget are left, 0 are of old versions")));
  EXPECT_THAT(Listed(), ElementsAre(Pair(1, true), Pair(2, false)));
  EXPECT_EQ(*models_->Find("demo", 0), held);
  // What a session holds counts on.
  ASSERT_TRUE(UnloadModel("demo", 1).ok());
  EXPECT_THAT(LoadModel("demo", 2), StatusIs(absl::StatusCode::kResourceExhausted,
                                             HasSubstr(std::to_string(weights) + " are of old versions")));
  held = nullptr;
  EXPECT_TRUE(LoadModel("demo", 2).ok()) << "and is tried again once it is gone";
}

TEST_F(RepositoryChangesTest, WhatIsTooLargeOnceReadIsReadAgainOnlyWhenMemoryComesFree) {
  folder_.Add("demo", kConfig, 1);
  // Half as large as a file as in memory.
  auto tensors = StateDict(RandomGru(2, {.input_size = 30, .hidden_size = 40}));
  for (auto& [name, tensor] : tensors) {
    tensor.dtype = "F16";
    tensor.bytes = std::string(tensor.bytes.size() / 2, '\0');
  }
  const std::string bytes = SafetensorsBytes(tensors);
  const auto size = static_cast<int64_t>(bytes.size());
  Start({.mode = RepositoryMode::kPoll, .memory_bytes = size + size / 2});
  WriteFile(folder_.FolderOf("large", 1) / "model.safetensors", bytes);
  ASSERT_TRUE(Poll().ok());
  const absl::Duration before = models_->counters().load_time;
  ASSERT_TRUE(Poll().ok());
  EXPECT_THAT(models_->Find("large", 0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("its weights take")));
  const absl::Duration once = models_->counters().load_time;
  EXPECT_GT(once, before);
  ASSERT_TRUE(Poll().ok());
  EXPECT_EQ(models_->counters().load_time, once);
  std::filesystem::remove_all(folder_.root() / "demo");
  ASSERT_TRUE(Poll().ok());
  ASSERT_TRUE(Poll().ok());
  EXPECT_GT(models_->counters().load_time, once);
}

TEST_F(RepositoryChangesTest, AfterTheStopNothingChangesAndHandlesLive) {
  folder_.Add("demo", kConfig, 1);
  Start({.mode = RepositoryMode::kExplicit, .load_models = {"demo"}});
  const ModelHandle held = *models_->Find("demo", 0);
  models_->Stop();
  EXPECT_THAT(LoadModel("demo"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_THAT(UnloadModel("demo"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_EQ(*models_->Find("demo", 0), held);
  models_.reset();
  EXPECT_EQ(held->version(), 1);
}

TEST(BackgroundThreadTest, RunsInOrderAtTheLowestPriority) {
  BackgroundThread thread;
  std::vector<int> order;
  int policy = -1;
  std::latch done(1);
  thread.Post([&] {
    policy = sched_getscheduler(0);
    order.push_back(1);
  });
  thread.Post([&] {
    order.push_back(2);
    done.count_down();
  });
  done.wait();
  EXPECT_THAT(order, ElementsAre(1, 2));
  EXPECT_EQ(policy, SCHED_IDLE);
  EXPECT_NE(sched_getscheduler(0), SCHED_IDLE);
}

}  // namespace
}  // namespace gruserve
