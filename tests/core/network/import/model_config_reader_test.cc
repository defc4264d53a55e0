#include "core/network/import/model_config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/model_builder.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

TEST(ModelConfigReaderTest, ReadsTheComputeDtype) {
  EXPECT_EQ(ParseModelConfig(R"({"compute_dtype": "bf16"})")->compute_dtype, ComputeDtype::kBf16);
  EXPECT_EQ(ParseModelConfig(R"({"compute_dtype": "f32"})")->compute_dtype, ComputeDtype::kF32);
  EXPECT_EQ(ParseModelConfig("{}")->compute_dtype, std::nullopt);
}

struct BadConfig {
  const char* name;
  const char* text;
  const char* message;
};

class BadConfigTest : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, IsRefusedByName) {
  const auto config = ParseModelConfig(GetParam().text);
  EXPECT_THAT(config, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(config, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.json: ")));
}

constexpr BadConfig kBadConfigs[] = {
    {"UnknownKey", R"({"compute_dtyp": "bf16"})",
     R"(the key "compute_dtyp" is not known, those known are: compute_dtype)"},
    {"WrongType", R"({"compute_dtype": 16})",
     R"(compute_dtype is a JSON number, expected the string "f32" or "bf16")"},
    {"Null", R"({"compute_dtype": null})", "compute_dtype is a JSON null"},
    {"Object", R"({"compute_dtype": {"compute_dtype": "bf16"}})", "compute_dtype is a JSON object"},
    {"WrongValue", R"({"compute_dtype": "f16"})", R"(compute_dtype is "f16", expected "f32" or "bf16")"},
    {"Twice", R"({"compute_dtype": "f32", "compute_dtype": "bf16"})",
     R"(the key "compute_dtype" comes twice)"},
    {"Array", "[]", "the file is a JSON array, expected an object"},
    {"Empty", "", "the file is not valid UTF-8 JSON"},
    {"Cut", R"({"compute_dtype": )", "the file is not valid UTF-8 JSON"},
    {"NoUtf8", "{\"\xFF\": 1}", "the file is not valid UTF-8 JSON"},
};

INSTANTIATE_TEST_SUITE_P(All, BadConfigTest, ::testing::ValuesIn(kBadConfigs),
                         [](const auto& test) { return test.param.name; });

class ModelConfigFileTest : public ::testing::Test {
 protected:
  const ScratchFolder folder_;
};

TEST_F(ModelConfigFileTest, IsOptional) {
  const auto config = ReadModelConfig(folder_ / "model.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->compute_dtype, std::nullopt);
}

TEST_F(ModelConfigFileTest, IsRead) {
  WriteFile(folder_ / "model.json", R"({"compute_dtype": "bf16"})");
  EXPECT_EQ(ReadModelConfig(folder_ / "model.json")->compute_dtype, ComputeDtype::kBf16);
}

TEST_F(ModelConfigFileTest, MustBeARegularFile) {
  std::filesystem::create_directories(folder_ / "model.json");
  EXPECT_THAT(ReadModelConfig(folder_ / "model.json"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "model.json is not a regular file"));
  WriteFile(folder_ / "other.json", "{}");
  std::filesystem::create_symlink(folder_ / "other.json", folder_ / "link.json");
  EXPECT_THAT(ReadModelConfig(folder_ / "link.json"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "model.json is not a regular file"));
}

TEST_F(ModelConfigFileTest, MustNotBeHuge) {
  WriteFile(folder_ / "model.json", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(ReadModelConfig(folder_ / "model.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 1048576 bytes")));
}

}  // namespace
}  // namespace gruserve
