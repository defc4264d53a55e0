#include "core/network/import/model_config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

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

TEST(ModelConfigReaderTest, ReadsModules) {
  const auto config = ParseModelConfig(R"({
      "inputs": [{"name": "x", "size": 5}],
      "modules": [{"type": "Affine", "mean": [1, 2.5], "scale": 3, "inverse": true},
                  {"type": "GRU", "prefix": "gru."},
                  {"type": "Concat", "name": "both", "inputs": ["x", "gru"]},
                  {"type": "LayerNorm", "prefix": "norm", "name": "n", "eps": 1e-3}],
      "output": "both"})");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->inputs.size(), 1U);
  EXPECT_EQ(config->inputs[0].name, "x");
  EXPECT_EQ(config->inputs[0].size, 5);
  EXPECT_EQ(config->output, "both");
  ASSERT_EQ(config->modules.size(), 4U);
  const ModuleConfig& affine = config->modules[0];
  EXPECT_EQ(affine.name, "modules[0]");
  EXPECT_EQ(affine.get("mean", std::vector<double>()), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(affine.get("scale", 0.0), 3);
  EXPECT_TRUE(affine.get("inverse", false));
  EXPECT_EQ(config->modules[1].name, "gru");
  EXPECT_EQ(config->modules[1].get<std::string>("prefix", ""), "gru.");
  EXPECT_EQ(config->modules[2].inputs, (std::vector<std::string>{"x", "gru"}));
  EXPECT_EQ(config->modules[3].name, "n");
  EXPECT_EQ(config->modules[3].get<std::string>("prefix", ""), "norm.");
  EXPECT_EQ(config->modules[3].get("eps", 0.0), 1e-3);
}

// Editors check a model.json with the schema: it must know what the reader knows.
TEST(ModelConfigReaderTest, TheSchemaKnowsTheSameTypesAndKeys) {
  std::ifstream file(std::string(GRUSERVE_SOURCE_DIR) + "/deploy/models/model.schema.json");
  const nlohmann::json schema = nlohmann::json::parse(file);
  std::map<std::string, std::set<std::string>> in_schema;
  std::map<std::string, std::set<std::string>> required;
  for (const auto& module : schema["$defs"]["module"]["oneOf"]) {
    EXPECT_FALSE(module["additionalProperties"].get<bool>());
    std::set<std::string> keys;
    for (const auto& [key, value] : module["properties"].items()) keys.insert(key);
    const auto& types = module["properties"]["type"]["enum"];
    for (const auto& type : types) {
      in_schema[type] = keys;
      required[type] = module["required"].get<std::set<std::string>>();
    }
  }
  std::map<std::string, std::set<std::string>> in_reader;
  for (const ModuleType& type : KnownModuleTypes()) {
    std::set<std::string>& keys = in_reader[type.name];
    keys = {"type", "name", "inputs"};
    for (const ModuleKey& key : type.keys) {
      keys.insert(key.name);
      EXPECT_EQ(required[type.name].contains(key.name), key.required) << type.name << "." << key.name;
    }
  }
  EXPECT_EQ(in_schema, in_reader);
}

struct BadConfig {
  const char* name;
  const char* text;
  const char* message;
};

class BadConfigTest : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, IsRefusedByName) {
  // A null text stands for one that is too long to write down.
  const std::string text = GetParam().text != nullptr
                               ? GetParam().text
                               : R"({"modules": [{"type": ")" + std::string(1000, 'x') + R"("}]})";
  const auto config = ParseModelConfig(text);
  EXPECT_THAT(config, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(config, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.json: ")));
}

constexpr BadConfig kBadConfigs[] = {
    {"UnknownKey", R"({"compute_dtyp": "bf16"})",
     R"(the key "compute_dtyp" is not known, those known are: compute_dtype, inputs, linear_before_reset, modules, output)"},
    {"LinearBeforeReset", R"({"linear_before_reset": true})",
     R"(linear_before_reset is "true", expected 0 or 1)"},
    {"WrongType", R"({"compute_dtype": 16})",
     R"(compute_dtype is a JSON number, expected the string "f32" or "bf16")"},
    {"Null", R"({"compute_dtype": null})", "compute_dtype is a JSON null"},
    {"Object", R"({"compute_dtype": {"compute_dtype": "bf16"}})", "compute_dtype is a JSON object"},
    {"WrongValue", R"({"compute_dtype": "f16"})", R"(compute_dtype is "f16", expected "f32" or "bf16")"},
    {"Twice", R"({"compute_dtype": "f32", "compute_dtype": "bf16"})",
     R"(the key "compute_dtype" comes twice)"},
    {"TwiceInside", R"({"modules": [{"type": "GRU", "prefix": "a", "prefix": "b"}]})",
     R"(the key "prefix" comes twice)"},
    {"ModulesNoArray", R"({"modules": {}})", "modules is a JSON object, expected an array of objects"},
    {"NoModules", R"({"modules": []})", "modules has 0 elements, expected 1 to 4096"},
    {"ModuleNoObject", R"({"modules": ["GRU"]})", "modules[0] is a JSON string, expected an object"},
    {"NoType", R"({"modules": [{"prefix": "a"}]})", "modules[0].type is missing"},
    {"TypeNoText", R"({"modules": [{"type": 1}]})", "modules[0].type is a JSON number, expected a string"},
    {"UnknownType", R"({"modules": [{"type": "Conv1d"}]})",
     R"(modules[0].type is "Conv1d", expected one of: Add, Affine, BatchNorm1d, Concat)"},
    {"LongType", nullptr, R"(modules[0].type is "xxxxxxxx)"},
    {"UnknownModuleKey", R"({"modules": [{"type": "Linear", "prefix": "fc", "bias": true}]})",
     R"(modules[0]: the key "bias" is not known, a Linear has: type, name, inputs, prefix)"},
    {"NoPrefix", R"({"modules": [{"type": "Linear"}]})", "modules[0].prefix is missing, a Linear needs it"},
    {"PrefixNoText", R"({"modules": [{"type": "Linear", "prefix": 3}]})",
     "modules[0].prefix is a JSON number, expected a string"},
    {"NameNoText", R"({"modules": [{"type": "Tanh", "name": []}]})", "modules[0].name is a JSON array"},
    {"EmptyName", R"({"modules": [{"type": "Tanh", "name": ""}]})", "modules[0].name is empty"},
    {"InputsNoArray", R"({"modules": [{"type": "Tanh", "inputs": "x"}]})",
     "modules[0].inputs is a JSON string, expected an array of names"},
    {"InputsEmpty", R"({"modules": [{"type": "Concat", "inputs": []}]})", "modules[0].inputs is empty"},
    {"InputNoText", R"({"modules": [{"type": "Concat", "inputs": ["a", 1]}]})",
     "modules[0].inputs[1] is a JSON number, expected a string"},
    {"EpsNoNumber", R"({"modules": [{"type": "LayerNorm", "eps": "1e-5"}]})",
     "modules[0].eps is a JSON string, expected a number"},
    {"EpsTooLarge", R"({"modules": [{"type": "LayerNorm", "eps": 1e300}]})",
     "modules[0].eps is 1e+300, expected a finite number"},
    {"SizeNegative", R"({"modules": [{"type": "OneHot", "size": -1}]})",
     "modules[0].size is -1, expected a whole number from 0 to"},
    {"SizeBroken", R"({"modules": [{"type": "OneHot", "size": 1.5}]})",
     "modules[0].size is 1.5, expected a whole"},
    {"InverseNoBool", R"({"modules": [{"type": "Affine", "inverse": 1}]})",
     "modules[0].inverse is a JSON number, expected true or false"},
    {"MeanNoNumbers", R"({"modules": [{"type": "Affine", "mean": [1, "2"]}]})",
     "modules[0].mean[1] is a JSON string, expected a number"},
    {"MeanEmpty", R"({"modules": [{"type": "Affine", "mean": []}]})", "modules[0].mean is empty"},
    {"MeanNull", R"({"modules": [{"type": "Affine", "mean": null}]})",
     "modules[0].mean is a JSON null, expected a number, an array of numbers or a tensor's name"},
    {"Inputs", R"({"inputs": 3, "modules": [{"type": "Tanh"}]})",
     "inputs is a JSON number, expected an array"},
    {"InputNoObject", R"({"inputs": ["x"]})", "inputs[0] is a JSON string, expected an object"},
    {"InputKey", R"({"inputs": [{"name": "x", "shape": 1}]})",
     R"(inputs[0]: the key "shape" is not known, an input has: name, size)"},
    {"InputNoName", R"({"inputs": [{"size": 1}]})", "inputs[0].name is missing or empty"},
    {"InputNoSize", R"({"inputs": [{"name": "x"}]})", "inputs[0].size is missing or 0"},
    {"InputsNone", R"({"inputs": []})", "inputs is empty, expected at least one"},
    {"OutputNoText", R"({"output": 1})", "output is a JSON number, expected a module's name"},
    {"InputsAlone", R"({"inputs": [{"name": "x", "size": 1}]})", "inputs or output is there without modules"},
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
