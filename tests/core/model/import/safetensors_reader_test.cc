#include "core/model/import/safetensors_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/support/model_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

using absl::StatusCode;
using testing::ContainsRegex;
using testing::HasSubstr;

constexpr const char* kGood = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

std::string WithLength(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

// One tensor "a" with these fields, and eight bytes of data.
std::string WithTensor(const std::string& fields) {
  return SafetensorsBytes("{\"a\":{" + fields + "}}", "12345678");
}

struct Hostile {
  const char* name;
  std::string bytes;
  const char* pattern;
};

std::vector<Hostile> HostileFiles() {
  const std::string good = SafetensorsBytes(kGood, "12345678");
  const std::string two = R"("dtype":"U8","shape":[4],"data_offsets":)";
  return {
      {"Empty", "", "has 0 bytes, expected at least 8"},
      {"HalfALength", "1234567", "has 7 bytes, expected at least 8"},
      {"LengthOnly", good.substr(0, 8), "header's length is 54, the file has 0 bytes"},
      {"HalfAHeader", good.substr(0, 40), "header's length is 54, the file has 32 bytes"},
      {"HeaderOnly", good.substr(0, 62), "data_offsets are 0 to 8, expected a range within the file's 0"},
      {"OneByteShort", good.substr(0, good.size() - 1),
       "data_offsets are 0 to 8, expected a range within the file's 7"},
      {"TrailingByte", good + "x", "end at byte 8 of the data, the file has 9"},
      {"LengthZero", WithLength(0, kGood), "not valid UTF-8 JSON"},
      {"LengthHuge", WithLength(UINT64_MAX, kGood), "header's length is 18446744073709551615"},
      {"LengthNegative", WithLength(uint64_t{1} << 63, kGood), "header's length is 9223372036854775808"},
      {"LengthOverLimit", WithLength(100'000'001, kGood),
       "header's length is 100000001.*100000000 are allowed"},
      {"NotJson", SafetensorsBytes("nonsense", ""), "not valid UTF-8 JSON"},
      {"CutJson", SafetensorsBytes(R"({"a":{"dtype")", ""), "not valid UTF-8 JSON"},
      {"TwoObjects", SafetensorsBytes("{}{}", ""), "not valid UTF-8 JSON"},
      {"NotUtf8", SafetensorsBytes("{\"\xff\":1}", ""), "not valid UTF-8 JSON"},
      {"Array", SafetensorsBytes("[]", ""), "header is a JSON array, expected an object"},
      {"Number", SafetensorsBytes("7", ""), "header is a JSON number, expected an object"},
      {"Deep", SafetensorsBytes(R"({"a":)" + std::string(100, '[') + std::string(100, ']') + "}", ""),
       "nests deeper"},
      {"VeryDeep", SafetensorsBytes(std::string(1'000'000, '['), ""), "nests deeper|not valid UTF-8 JSON"},
      {"TwiceTheName",
       SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                        R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                        "12345678"),
       "\"a\" comes twice"},
      {"TwiceAField", WithTensor(R"("dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8])"),
       "\"dtype\" comes twice"},
      {"TensorIsANumber", SafetensorsBytes(R"({"a":5})", ""), "tensor \"a\" is a JSON number"},
      {"NoDtype", WithTensor(R"("shape":[2],"data_offsets":[0,8])"), "\"a\" has no dtype"},
      {"NoShape", WithTensor(R"("dtype":"F32","data_offsets":[0,8])"), "\"a\" has no shape"},
      {"NoOffsets", WithTensor(R"("dtype":"F32","shape":[2])"), "\"a\" has no data_offsets"},
      {"UnknownField", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)"),
       "unknown field \"x\""},
      {"UnknownDtype", WithTensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), "dtype is .*F31"},
      {"DtypeIsANumber", WithTensor(R"("dtype":7,"shape":[2],"data_offsets":[0,8])"), "dtype is \"7\""},
      {"ShapeIsANumber", WithTensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"),
       "shape is a JSON number"},
      {"NegativeDimension", WithTensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"),
       R"(shape\[0\] is "-2", expected a whole number)"},
      {"FractionalDimension", WithTensor(R"("dtype":"F32","shape":[2.5],"data_offsets":[0,8])"),
       R"(shape\[0\] is "2.5")"},
      {"HugeDimension", WithTensor(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])"),
       R"(shape\[0\] is "18446744073709551615")"},
      {"OverflowingShape",
       WithTensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
       "shape .* is too large"},
      {"OverflowingBytes", WithTensor(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,8])"),
       "shape .* is too large"},
      {"ShapeTooLarge", WithTensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       R"(hold 8 bytes, F32 of shape \[3\] needs 12)"},
      {"ShapeTooSmall", WithTensor(R"("dtype":"F32","shape":[],"data_offsets":[0,8])"),
       R"(hold 8 bytes, F32 of shape \[\] needs 4)"},
      {"OneOffset", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"),
       "data_offsets has 1 numbers"},
      {"ThreeOffsets", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"),
       "data_offsets has 3 numbers"},
      {"NegativeOffset", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"),
       R"(data_offsets\[0\] is "-8")"},
      {"ReversedOffsets", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "are 8 to 0"},
      {"OffsetBeyond", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"), "are 4 to 12"},
      {"OffsetOverflow", WithTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807])"),
       "are 0 to 9223372036854775807"},
      {"HoleInFront", WithTensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"),
       "begin at 4, expected 0 .a hole"},
      {"HoleBetween", SafetensorsBytes("{\"a\":{" + two + "[0,4]},\"b\":{" + two + "[5,9]}}", "123456789"),
       "tensor \"b\": data_offsets begin at 5, expected 4 .a hole"},
      {"Overlap", SafetensorsBytes("{\"a\":{" + two + "[0,4]},\"b\":{" + two + "[3,7]}}", "1234567"),
       "tensor \"b\": data_offsets begin at 3, expected 4 .two tensors overlap"},
      {"SameRange", SafetensorsBytes("{\"a\":{" + two + "[0,4]},\"b\":{" + two + "[0,4]}}", "1234"),
       "tensor \"b\": data_offsets begin at 0, expected 4 .two tensors overlap"},
      {"MetadataIsAString", SafetensorsBytes(R"({"__metadata__":"x"})", ""), "__metadata__ is a JSON string"},
      {"MetadataOfNumbers", SafetensorsBytes(R"({"__metadata__":{"format":1}})", ""),
       "__metadata__ \"format\" is a JSON number"},
  };
}

class HostileSafetensorsTest : public testing::TestWithParam<Hostile> {};

TEST_P(HostileSafetensorsTest, IsRefusedByName) {
  EXPECT_THAT(SafetensorsFile::Parse(GetParam().bytes),
              StatusIs(StatusCode::kInvalidArgument, ContainsRegex(GetParam().pattern)));
}

INSTANTIATE_TEST_SUITE_P(Files, HostileSafetensorsTest, testing::ValuesIn(HostileFiles()),
                         [](const auto& row) { return row.param.name; });

TEST(SafetensorsReaderTest, ReadsAnyKeyOrderUnalignedDataEmptyTensorsAndMetadata) {
  const auto file = SafetensorsFile::Parse(SafetensorsBytes(
      R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"format":"pt"},)"
      R"("a":{"shape":[1],"data_offsets":[3,7],"dtype":"F32"},"none":{"dtype":"F32","shape":[0,5],"data_offsets":[7,7]}})",
      "abcWXYZ"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entries().size(), 3U);
  const auto bytes = file->bytes(file->entries().at("a"));
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "WXYZ");
  EXPECT_TRUE(file->bytes(file->entries().at("none")).empty());
}

TEST(SafetensorsReaderTest, ReadsRegularFilesOnly) {
  const TestRepository folder;
  const auto path = folder.root() / "a.safetensors";
  WriteFile(path, SafetensorsBytes(kGood, "12345678"));
  EXPECT_TRUE(SafetensorsFile::Read(path).ok());
  std::filesystem::create_symlink(path, folder.root() / "link.safetensors");
  EXPECT_THAT(SafetensorsFile::Read(folder.root() / "link.safetensors"),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("symbolic link")));
  EXPECT_THAT(SafetensorsFile::Read(folder.root()),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("regular file")));
  EXPECT_THAT(SafetensorsFile::Read(folder.root() / "none"),
              StatusIs(StatusCode::kNotFound, HasSubstr("none")));
  ASSERT_EQ(mkfifo((folder.root() / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(SafetensorsFile::Read(folder.root() / "fifo"),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("regular file")));
}

TEST(SafetensorsReaderTest, ManyRandomMutationsNeverCrash) {
  const uint32_t seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const std::string good = SafetensorsBytes(StateDict(RandomGru(1, {.input_size = 1, .hidden_size = 2})));
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % std::min<size_t>(bytes.size(), 400)] = static_cast<char>(random());
    }
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    accepted += SafetensorsFile::Parse(bytes).ok() ? 1 : 0;
  }
  std::printf("%d of 20000 mutations were still sound\n", accepted);
}

}  // namespace
}  // namespace gruserve
