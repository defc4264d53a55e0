#include "core/network/import/onnx/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/core/network/import/onnx/onnx_builder.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

class ModelFolderTest : public testing::Test {
 protected:
  ModelFolderTest() : inside_(scratch_ / "model"), folder_(inside_) {
    std::filesystem::create_directories(inside_ / "sub");
    Write(scratch_ / "secret", "secret");
    Write(inside_ / "data", "0123456789");
  }

  static void Write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  absl::Status Refusal(const std::string& file) const { return folder_.Read("it", file).status(); }

  // A GRU whose W lies in `location`.
  absl::StatusOr<OnnxModel> External(const std::string& location, const std::string& offset,
                                     const std::string& length) const {
    OnnxBuilder builder;
    builder.SmallGru();
    builder.Output("y");
    onnx::TensorProto& w = *builder.graph().mutable_initializer(0);
    w.clear_float_data();
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] :
         {std::pair{"location", location}, std::pair{"offset", offset}, std::pair{"length", length}}) {
      if (value.empty()) continue;
      auto* const entry = w.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
    return ParseOnnx(builder.proto.SerializeAsString(), &folder_);
  }

  const ScratchFolder scratch_;
  const std::filesystem::path inside_;
  const ModelFolder folder_;
};

TEST_F(ModelFolderTest, ReadsPartsOfItsFiles) {
  EXPECT_EQ(folder_.Read("it", "data").value(), "0123456789");
  EXPECT_EQ(folder_.Read("it", "data", 3).value(), "3456789");
  EXPECT_EQ(folder_.Read("it", "data", 3, 4).value(), "3456");
  EXPECT_EQ(folder_.Read("it", "./sub/../data", 10, 0).value(), "");
}

TEST_F(ModelFolderTest, StaysInside) {
  const std::string absolute = (scratch_ / "secret").string();
  for (const std::string& file : {std::string("../secret"), std::string("sub/../../secret"), absolute})
    EXPECT_THAT(Refusal(file), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("it leads out of the model's folder")))
        << file;
  std::filesystem::create_symlink(scratch_ / "secret", inside_ / "link");
  std::filesystem::create_symlink("data", inside_ / "near");
  std::filesystem::create_directory_symlink(scratch_.path(), inside_ / "up");
  for (const char* file : {"link", "near", "up/secret"})
    EXPECT_THAT(Refusal(file), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("symbolic link")));
  std::filesystem::create_hard_link(scratch_ / "secret", inside_ / "hard");
  EXPECT_THAT(Refusal("hard"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a hard link")));
}

TEST_F(ModelFolderTest, ReadsPlainFilesOnly) {
  ASSERT_EQ(mkfifo((inside_ / "pipe").c_str(), 0600), 0);
  for (const char* file : {"pipe", "sub"})
    EXPECT_THAT(Refusal(file), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no regular file")));
  EXPECT_THAT(Refusal("absent"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("it does not exist")));
  EXPECT_THAT(Refusal(std::string("data\0/x", 7)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("zero byte")));
}

TEST_F(ModelFolderTest, ChecksPartsAgainstTheFile) {
  for (const auto& [offset, length] :
       {std::pair<uint64_t, uint64_t>{11, 0}, {5, 6}, {UINT64_MAX, 2}, {2, UINT64_MAX}})
    EXPECT_THAT(folder_.Read("it", "data", offset, length),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("it has 10 bytes")));
}

TEST_F(ModelFolderTest, WeightsMayLieBesideTheModel) {
  std::vector<float> numbers(20, 0.25F);
  numbers[2] = 7;
  Write(inside_ / "w.bin", std::string(reinterpret_cast<const char*>(numbers.data()), 80));
  const auto model = External("w.bin", "8", "72");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->initializers.at("W")->floats[0], 7);
  EXPECT_EQ(model->initializers.at("W")->floats.size(), 18U);
  EXPECT_EQ(model->external.size(), 1U);
  EXPECT_TRUE(External("w.bin", "8", "").ok());
  EXPECT_THAT(
      External("w.bin", "12", ""),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 80 bytes, 72 from byte 12 on are wanted")));
  EXPECT_THAT(External("w.bin", "8", "71"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("external length is \"71\"")));
  EXPECT_THAT(External("w.bin", "-1", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("external offset is \"-1\"")));
  EXPECT_THAT(External("w.bin", "18446744073709551615", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 80 bytes")));
  EXPECT_THAT(External("", "", ""), StatusIs(absl::StatusCode::kInvalidArgument, testing::_));
  EXPECT_THAT(External("../secret", "", ""),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("initializer \"W\": external file \"../secret\" leads out of")));
}

}  // namespace
}  // namespace gruserve
