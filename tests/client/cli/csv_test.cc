#include "client/cli/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Tensor> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadCsv(&in);
}

struct GoodCsv {
  std::string name;
  std::string text;
};

class GoodCsvTest : public testing::TestWithParam<GoodCsv> {};

TEST_P(GoodCsvTest, IsTwoByTwo) {
  const absl::StatusOr<Tensor> tensor = Read(GetParam().text);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(tensor->shape, ElementsAre(2, 2));
  EXPECT_THAT(tensor->values, ElementsAre(1.5F, -2.0F, 3.0F, 0.25F));
}

INSTANTIATE_TEST_SUITE_P(Forms, GoodCsvTest,
                         testing::Values(GoodCsv{"Commas", "1.5,-2\n3,0.25\n"},
                                         GoodCsv{"NoLastNewline", "1.5,-2\n3,0.25"},
                                         GoodCsv{"Blanks", "1.5 -2\n  3\t 0.25 \n"},
                                         GoodCsv{"Semicolons", "1.5;-2\n3;0.25\n"},
                                         GoodCsv{"CommasAndBlanks", "1.5, -2\n3 , 0.25\n"},
                                         GoodCsv{"Windows", "1.5,-2\r\n3,0.25\r\n"},
                                         GoodCsv{"Heading", "time,value\n1.5,-2\n3,0.25\n"},
                                         GoodCsv{"EmptyLinesAndComments", "\n# two\n1.5,-2\n\n3,0.25\n\n"},
                                         GoodCsv{"TrailingComma", "1.5,-2,\n3,0.25,\n"},
                                         GoodCsv{"Exponents", "15e-1,-2E0\n3,+0.25\n"}),
                         [](const testing::TestParamInfo<GoodCsv>& row) { return row.param.name; });

struct BadCsv {
  std::string name;
  std::string text;
  std::string message;
};

class BadCsvTest : public testing::TestWithParam<BadCsv> {};

TEST_P(BadCsvTest, SaysWhereAndWhat) {
  EXPECT_THAT(Read(GetParam().text),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadCsvTest,
    testing::Values(BadCsv{"Empty", "", "no line of numbers"},
                    BadCsv{"HeadingOnly", "a,b\n", "no line of numbers"},
                    BadCsv{"Word", "1,2\n3,four\n", "line 2 column 2 is \"four\", a number is wanted"},
                    BadCsv{"Date", "2024-01-01,2\n", "line 1 column 1 is \"2024-01-01\", a number is wanted"},
                    BadCsv{"Gap", "1,,2\n", "line 1 column 2 is \"\", a number is wanted"},
                    BadCsv{"Ragged", "1,2\n\n3\n", "line 3 has 1 columns, 2 are wanted"},
                    BadCsv{"SecondHeading", "1,2\na,b\n", "line 2 column 1 is \"a\""}),
    [](const testing::TestParamInfo<BadCsv>& row) { return row.param.name; });

TEST(CsvTest, WrittenNumbersReadBackBitForBit) {
  Tensor tensor{{2, 4},
                {0.1F, -0.0F, 1.0F / 3, std::numeric_limits<float>::max(),
                 std::numeric_limits<float>::denorm_min(), INFINITY, -INFINITY, 16777217.0F}};
  std::ostringstream out;
  WriteCsv(tensor, &out);
  const absl::StatusOr<Tensor> read = Read(out.str());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->shape, tensor.shape);
  EXPECT_EQ(read->values, tensor.values);
  EXPECT_TRUE(std::signbit(read->values[1]));
}

TEST(CsvTest, WritesShortNumbersALineARow) {
  std::ostringstream out;
  WriteCsv({{2, 1, 2}, {0.1F, 2, -3.5F, 1e-7F}}, &out);
  EXPECT_EQ(out.str(), "0.1,2\n-3.5,1e-07\n");
}

TEST(CsvTest, NanIsKept) {
  const absl::StatusOr<Tensor> read = Read("1,nan\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(std::isnan(read->values[1]));
}

}  // namespace
}  // namespace gruserve::client
