#include "core/runtime/model_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/model_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

using testing::HasSubstr;

class ModelRepositoryTest : public testing::Test {
 protected:
  void WriteModel(const std::string& name, const std::string& version) {
    WriteFile(folder_.root() / name / version / "model.safetensors", SafetensorsBytes(StateDict(gru_)));
  }

  TestRepository folder_;
  const RandomGruNetwork gru_ = RandomGru(1, {.input_size = 3, .hidden_size = 4, .num_layers = 2});
};

TEST_F(ModelRepositoryTest, FindsTheHighestReadyVersion) {
  WriteModel("demo", "2");
  WriteModel("demo", "10");
  WriteFile(folder_.root() / "demo" / "11" / "model.safetensors", "no model");
  ModelRepository repository(folder_.root(), 1);
  ASSERT_TRUE(repository.Load().ok());
  const auto found = repository.Find("demo", 0);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->version(), 10);
  EXPECT_EQ((*found)->config(), gru_.config);
  EXPECT_EQ((*found)->model().parameter_count(), 3 * 4 * (3 + 4 + 2) + 3 * 4 * (4 + 4 + 2));
  EXPECT_EQ((*found)->weights_sha256().size(), 64U);
  EXPECT_EQ((*repository.Find("demo", 2))->version(), 2);
  EXPECT_THAT(repository.Find("demo", 11),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 11")));
  EXPECT_THAT(repository.Find("demo", 3), StatusIs(absl::StatusCode::kNotFound, HasSubstr("version 3")));
  EXPECT_THAT(repository.Find("other", 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("other")));
}

TEST_F(ModelRepositoryTest, ListsFailedVersionsWithTheirReasonAndServesTheOthers) {
  WriteModel("good", "1");
  folder_.AddBroken("bad");
  std::filesystem::create_directories(folder_.root() / "empty" / "1");
  WriteModel("both", "1");
  WriteFile(folder_.root() / "both" / "1" / "model.onnx", "");
  WriteFile(folder_.root() / "onnx" / "1" / "model.onnx", "");
  WriteModel("config", "1");
  WriteFile(folder_.root() / "config" / "1" / "model.json", "{}");
  ModelRepository repository(folder_.root(), 1);
  ASSERT_TRUE(repository.Load().ok());
  std::map<std::string, ModelStatus> by_name;
  for (const ModelStatus& status : repository.List()) by_name[status.name] = status;
  ASSERT_EQ(by_name.size(), 6U);
  EXPECT_EQ(by_name["good"].state, ModelState::kReady);
  EXPECT_EQ(by_name["good"].reason, "");
  for (const char* name : {"bad", "empty", "both", "onnx", "config"}) {
    EXPECT_EQ(by_name[name].state, ModelState::kFailed) << name;
  }
  EXPECT_THAT(by_name["bad"].reason, HasSubstr("safetensors: the header's length"));
  EXPECT_THAT(by_name["empty"].reason, HasSubstr("model.safetensors does not exist"));
  EXPECT_THAT(by_name["both"].reason, HasSubstr("expected one of them"));
  EXPECT_THAT(by_name["onnx"].reason, HasSubstr("model.onnx"));
  EXPECT_THAT(by_name["config"].reason, HasSubstr("model.json"));
}

TEST_F(ModelRepositoryTest, IgnoresWhatIsNoModelAndNoVersion) {
  WriteModel("demo", "1");
  WriteModel("demo", "01");
  WriteModel("demo", "0");
  WriteModel("demo", "v2");
  WriteModel("demo", "99999999999999999999");
  WriteModel("-demo", "1");
  WriteFile(folder_.root() / "README.md", "text");
  ModelRepository repository(folder_.root(), 1);
  ASSERT_TRUE(repository.Load().ok());
  ASSERT_EQ(repository.List().size(), 1U);
  EXPECT_EQ(repository.List()[0].version, 1);
}

TEST_F(ModelRepositoryTest, AnEmptyRootServesAndAMissingOneDoesNot) {
  ModelRepository empty(folder_.root(), 1);
  EXPECT_TRUE(empty.Load().ok());
  EXPECT_TRUE(empty.List().empty());
  ModelRepository missing(folder_.root() / "nowhere", 1);
  EXPECT_THAT(missing.Load(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace gruserve
