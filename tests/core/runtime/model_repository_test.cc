#include "core/runtime/model_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

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
  ModelRepository repository({.root = folder_.root()});
  ASSERT_TRUE(repository.Load().ok());
  const auto found = repository.Find("demo", 0);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->version(), 10);
  EXPECT_EQ((*found)->config(), gru_.config);
  EXPECT_EQ((*found)->network().parameter_count(), 3 * 4 * (3 + 4 + 2) + 3 * 4 * (4 + 4 + 2));
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
  WriteFile(folder_.root() / "config" / "1" / "model.json", R"({"compute": "bf16"})");
  ModelRepository repository({.root = folder_.root()});
  ASSERT_TRUE(repository.Load().ok());
  std::map<std::string, ModelStatus> by_name;
  for (const ModelStatus& status : repository.List()) by_name[status.name] = status;
  ASSERT_EQ(by_name.size(), 6U);
  EXPECT_EQ(by_name["good"].state, ModelState::kReady);
  EXPECT_EQ(by_name["good"].reason, "");
  EXPECT_EQ(by_name["good"].compute_dtype, ComputeDtype::kF32);
  EXPECT_EQ(by_name["bad"].compute_dtype, std::nullopt);
  for (const char* name : {"bad", "empty", "both", "onnx", "config"}) {
    EXPECT_EQ(by_name[name].state, ModelState::kFailed) << name;
  }
  EXPECT_THAT(by_name["bad"].reason, HasSubstr("safetensors: the header's length"));
  EXPECT_THAT(by_name["empty"].reason, HasSubstr("model.safetensors does not exist"));
  EXPECT_THAT(by_name["both"].reason, HasSubstr("expected one of them"));
  EXPECT_THAT(by_name["onnx"].reason, HasSubstr("onnx: the file is no ONNX protobuf"));
  EXPECT_THAT(by_name["config"].reason, HasSubstr(R"(model.json: the key "compute" is not known)"));
}

TEST_F(ModelRepositoryTest, IgnoresWhatIsNoModelAndNoVersion) {
  WriteModel("demo", "1");
  WriteModel("demo", "01");
  WriteModel("demo", "0");
  WriteModel("demo", "v2");
  WriteModel("demo", "99999999999999999999");
  WriteModel("-demo", "1");
  WriteFile(folder_.root() / "README.md", "text");
  ModelRepository repository({.root = folder_.root()});
  ASSERT_TRUE(repository.Load().ok());
  ASSERT_EQ(repository.List().size(), 1U);
  EXPECT_EQ(repository.List()[0].version, 1);
}

// Without the instructions for bf16 the same versions are refused, by name.
TEST_F(ModelRepositoryTest, ComputesInWhatModelJsonSaysOrElseTheDefault) {
  WriteModel("silent", "1");
  WriteModel("f32", "1");
  WriteFile(folder_.root() / "f32" / "1" / "model.json", R"({"compute_dtype": "f32"})");
  WriteModel("bf16", "1");
  WriteFile(folder_.root() / "bf16" / "1" / "model.json", R"({"compute_dtype": "bf16"})");
  const bool has_bf16 = CheckProcessorHas(ComputeDtype::kBf16).ok();
  for (const ComputeDtype other : {ComputeDtype::kF32, ComputeDtype::kBf16}) {
    ModelRepository repository({.root = folder_.root(), .compute_dtype = other});
    ASSERT_TRUE(repository.Load().ok());
    for (const ModelStatus& status : repository.List()) {
      SCOPED_TRACE(status.name + ", else " + Name(other));
      const bool bf16 = status.name == "bf16" || (status.name == "silent" && other == ComputeDtype::kBf16);
      if (bf16 && !has_bf16) {
        EXPECT_EQ(status.state, ModelState::kFailed);
        EXPECT_THAT(status.reason, HasSubstr("neither AVX512_BF16 nor AMX"));
        continue;
      }
      EXPECT_EQ(status.state, ModelState::kReady) << status.reason;
      EXPECT_EQ(status.compute_dtype, bf16 ? ComputeDtype::kBf16 : ComputeDtype::kF32);
      EXPECT_EQ((*repository.Find(status.name, 1))->config().compute_dtype, status.compute_dtype);
    }
  }
}

// In a process whose oneDNN may not use the instructions, whatever the machine.
TEST_F(ModelRepositoryTest, Bf16WithoutItsInstructionsIsFailedAndTheOthersServe) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  WriteModel("wide", "1");
  WriteModel("narrow", "1");
  WriteFile(folder_.root() / "narrow" / "1" / "model.json", R"({"compute_dtype": "bf16"})");
  const auto list = [this] {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
    ModelRepository repository({.root = folder_.root()});
    if (!repository.Load().ok() || !repository.Find("wide", 0).ok()) std::exit(1);
    std::fputs(std::string(repository.Find("narrow", 0).status().ToString()).c_str(), stderr);
    std::exit(0);
  };
  EXPECT_EXIT(
      list(), testing::ExitedWithCode(0),
      "FAILED_PRECONDITION: model \"narrow\" version 1 failed to load: compute_dtype is bf16, and this "
      "processor has neither");
}

TEST_F(ModelRepositoryTest, AnEmptyRootServesAndAMissingOneDoesNot) {
  ModelRepository empty({.root = folder_.root()});
  EXPECT_TRUE(empty.Load().ok());
  EXPECT_TRUE(empty.List().empty());
  ModelRepository missing({.root = folder_.root() / "nowhere"});
  EXPECT_THAT(missing.Load(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace gruserve
