#include "client/cli/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;

template <typename Element>
std::string Bytes(const std::vector<Element>& elements) {
  std::string bytes(elements.size() * sizeof(Element), '\0');
  if (!elements.empty()) std::memcpy(bytes.data(), elements.data(), bytes.size());
  return bytes;
}

// A file with this dictionary, as NumPy lays it out.
std::string File(const std::string& dictionary, const std::string& data, int version = 1) {
  const size_t before = version == 1 ? 10 : 12;
  std::string header = dictionary + std::string(63 - (before + dictionary.size()) % 64, ' ') + "\n";
  std::string file = "\x93NUMPY";
  file.push_back(static_cast<char>(version));
  file.push_back('\0');
  for (size_t i = 0; i < before - 8; ++i) file.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return file + header + data;
}

std::string Dictionary(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

// The data of [1.5, -2].
std::string Two() { return Bytes<float>({1.5F, -2.0F}); }

class NpyRoundTripTest : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(NpyRoundTripTest, KeepsEveryBit) {
  Tensor tensor;
  tensor.shape = GetParam();
  tensor.values.resize(static_cast<size_t>(
      std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>())));
  for (size_t i = 0; i < tensor.values.size(); ++i)
    tensor.values[i] = std::sin(static_cast<float>(i)) * 1e-30F;
  if (!tensor.values.empty()) tensor.values[0] = NAN;
  std::ostringstream file;
  WriteNpy(tensor, &file);
  EXPECT_EQ(file.str().find('\n') % 64, 63U);
  const absl::StatusOr<NpyArray> read = ParseNpy(file.str());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->tensor.shape, tensor.shape);
  EXPECT_EQ(Bytes(read->tensor.values), Bytes(tensor.values));
  EXPECT_FALSE(read->rounded);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NpyRoundTripTest,
                         testing::Values(std::vector<int64_t>{}, std::vector<int64_t>{1},
                                         std::vector<int64_t>{7}, std::vector<int64_t>{2, 3},
                                         std::vector<int64_t>{5, 1, 4}, std::vector<int64_t>{3, 0, 2},
                                         std::vector<int64_t>{1, 2, 1, 3, 1}));

TEST(NpyTest, ReadsWhatNumpyWrites) {
  // numpy.save of numpy.float32([1.5, -2]).
  const std::string file = std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" +
                           std::string(60, ' ') + "\n" + Two();
  const absl::StatusOr<NpyArray> read = ParseNpy(file);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->tensor.shape, ElementsAre(2));
  EXPECT_THAT(read->tensor.values, ElementsAre(1.5F, -2.0F));
}

TEST(NpyTest, WritesWhatNumpyWrites) {
  std::ostringstream file;
  WriteNpy({{2}, {1.5F, -2.0F}}, &file);
  EXPECT_EQ(file.str(), std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" +
                            std::string(60, ' ') + "\n" + Two());
}

TEST(NpyTest, RoundsFloat64) {
  const absl::StatusOr<NpyArray> read =
      ParseNpy(File(Dictionary("<f8", "False", "(2,)"), Bytes<double>({0.1, 1e-300})));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->rounded);
  EXPECT_THAT(read->tensor.values, ElementsAre(0.1F, 0.0F));
}

TEST(NpyTest, TurnsFortranOrder) {
  // [[1, 2, 3], [4, 5, 6]] column by column; and a [2, 2, 2].
  absl::StatusOr<NpyArray> read =
      ParseNpy(File(Dictionary("<f4", "True", "(2, 3)"), Bytes<float>({1, 4, 2, 5, 3, 6})));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->tensor.values, ElementsAre(1, 2, 3, 4, 5, 6));
  read = ParseNpy(File(Dictionary("<f4", "True", "(2, 2, 2)"), Bytes<float>({0, 4, 2, 6, 1, 5, 3, 7})));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->tensor.values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(NpyTest, TakesOtherVersionsKeyOrdersAndQuotes) {
  const std::string dictionary = R"({"shape": (1,2), "fortran_order": False, "descr": "<f4"})";
  for (const int version : {1, 2, 3}) {
    const absl::StatusOr<NpyArray> read = ParseNpy(File(dictionary, Two(), version));
    ASSERT_TRUE(read.ok()) << version << ": " << read.status();
    EXPECT_THAT(read->tensor.shape, ElementsAre(1, 2));
  }
}

struct BadFile {
  std::string name;
  std::string bytes;
  std::string pattern;
};

class BadNpyTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadNpyTest, SaysWhatIsWrong) {
  EXPECT_THAT(ParseNpy(GetParam().bytes),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ContainsRegex("^not a readable .npy file: .*" + GetParam().pattern)));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadNpyTest,
    testing::Values(
        BadFile{"Empty", "", "begin"}, BadFile{"NoMagic", "1,2,3\n", "begin"},
        BadFile{"MagicOnly", "\x93NUMPY", "ends within"},
        BadFile{"NoLength", std::string("\x93NUMPY\x01\x00\x76", 9), "ends within"},
        BadFile{"HeaderCut", File(Dictionary("<f4", "False", "(2,)"), "").substr(0, 40), "ends within"},
        BadFile{"VersionNine", File(Dictionary("<f4", "False", "(2,)"), Two(), 9), "version 9, 1 to 3"},
        BadFile{"HugeHeader", std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12) + Two(),
                "4294967295 bytes, at most"},
        BadFile{"HeaderOfZeros", File(std::string(100, '\0'), Two()), "no 'descr'"},
        BadFile{"NotClosed", File("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", Two()),
                "no dictionary"},
        BadFile{"QuoteNotClosed", File("{'descr", Two()), "no dictionary"},
        BadFile{"NoColon", File("{'descr' '<f4'}", Two()), "no dictionary"},
        BadFile{"OtherKey", File("{'descr': '<f4', 'offset': 3}", Two()), "key 'offset'"},
        BadFile{"BigEndian", File(Dictionary(">f4", "False", "(2,)"), Two()), "'>f4', '<f4' or '<f8'"},
        BadFile{"Integers", File(Dictionary("<i8", "False", "(1,)"), Two()), "'<i8'"},
        BadFile{"Half", File(Dictionary("<f2", "False", "(4,)"), Two()), "'<f2'"},
        BadFile{"Objects", File(Dictionary("|O", "False", "(1,)"), Two()), "'|O'"},
        BadFile{"Record", File("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", Two()),
                "'descr'"},
        BadFile{"NoOrder", File("{'descr': '<f4', 'shape': (2,)}", Two()), "'fortran_order'"},
        BadFile{"OrderOne", File(Dictionary("<f4", "1", "(2,)"), Two()), "'fortran_order'"},
        BadFile{"NoShape", File("{'descr': '<f4', 'fortran_order': False}", Two()), "'shape'"},
        BadFile{"TwoShapes",
                File("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (1,)}", Two()),
                "'shape' twice"},
        BadFile{"NegativeDim", File(Dictionary("<f4", "False", "(-2,)"), Two()), "shape \\(-2,\\)"},
        BadFile{"DimOfWords", File(Dictionary("<f4", "False", "(two,)"), Two()), "shape .two,"},
        BadFile{"DimTooLong", File(Dictionary("<f4", "False", "(99999999999999999999,)"), Two()), "shape"},
        BadFile{"GiantShape", File(Dictionary("<f4", "False", "(1000000000000,)"), Two()),
                "wants 4000000000000 bytes, 8"},
        BadFile{"WrappingShape", File(Dictionary("<f4", "False", "(4611686018427387904, 4, 4)"), Two()),
                "wants more bytes, 8"},
        BadFile{"WrappingBytes", File(Dictionary("<f8", "False", "(2305843009213693953,)"), Two()),
                "wants more bytes"},
        BadFile{"ThirtyThreeDims",
                File(Dictionary("<f4", "False",
                                "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2)"),
                     Two()),
                "33 dimensions"},
        BadFile{"DataCut", File(Dictionary("<f4", "False", "(2,)"), Two().substr(0, 7)),
                "wants 8 bytes, 7 follow"},
        BadFile{"DataTrailing", File(Dictionary("<f4", "False", "(2,)"), Two() + "x"),
                "wants 8 bytes, 9 follow"}),
    [](const testing::TestParamInfo<BadFile>& row) { return row.param.name; });

TEST(NpyTest, SurvivesEveryCutAndEveryFlippedByte) {
  const std::string good = File(Dictionary("<f4", "True", "(1, 2)"), Two());
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(ParseNpy(good.substr(0, length)).ok()) << length;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {1, 4, 0x10, 0x80}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      const absl::StatusOr<NpyArray> read = ParseNpy(bad);
      EXPECT_TRUE(!read.ok() || read->tensor.values.size() == 2) << i;
    }
  }
}

}  // namespace
}  // namespace gruserve::client
