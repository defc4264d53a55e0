// What the command line refuses before any server is asked: nothing listens
// where these calls would go, so a code 2 shows that none was made.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/cli/npy.h"
#include "tests/client/cli/cli_run.h"

namespace gruserve::client {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kNowhere[] = "unix:/nowhere/at/all";

struct BadLine {
  std::string name;
  std::vector<std::string> args;
  std::string message;
  std::string input = "1,2,3\n";
};

class UsageTest : public testing::TestWithParam<BadLine> {};

TEST_P(UsageTest, ExitsTwoWithOneLine) {
  std::vector<std::string> args = {"--server", kNowhere};
  args.insert(args.end(), GetParam().args.begin(), GetParam().args.end());
  const CliRun run = RunOn(GetParam().input, args);
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, StartsWith("gruserve: "));
  EXPECT_THAT(run.err, HasSubstr(GetParam().message));
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, UsageTest,
    testing::Values(
        BadLine{"NoCommand", {}, "A subcommand is required"},
        BadLine{"UnknownCommand", {"infre", "m"}, "\"infre\" is no command"},
        BadLine{"UnknownOption", {"models", "--yaml"}, "--yaml"},
        BadLine{"NoModel", {"infer"}, "MODEL is required (see gruserve infer --help)"},
        BadLine{"TooManyModels", {"infer", "a", "b"}, "b"},
        BadLine{"NegativeTimeout", {"--timeout", "-1", "models"}, "--timeout"},
        BadLine{"NoSuchInput", {"infer", "m", "--input", "/no/such.npy"}, "cannot read /no/such.npy"},
        BadLine{"FolderInput", {"infer", "m", "--input", "/"}, "cannot read /"},
        BadLine{"NoSuchH0", {"infer", "m", "--h0", "/no/such.npy"}, "cannot read /no/such.npy"},
        BadLine{"WordInStdin", {"infer", "m"}, "stdin: line 2 column 1 is \"x\"", "1\nx\n"},
        BadLine{"EmptyStdin", {"infer", "m"}, "stdin: no line of numbers", ""},
        BadLine{"CutNpyOnStdin", {"infer", "m"}, "stdin: not a readable .npy file", "\x93NUMPY"},
        BadLine{"LengthsOfWords", {"infer", "m", "--lengths", "3,x"}, "--lengths is \"3,x\""},
        BadLine{"LengthsEmptyItem", {"infer", "m", "--lengths", "3,,1"}, "--lengths is \"3,,1\""},
        BadLine{
            "OutputEnding", {"infer", "m", "--output", "y.bin"}, "cannot tell what to write to \"y.bin\""},
        BadLine{"HnEnding", {"infer", "m", "--h-n", "hn"}, "cannot tell what to write to \"hn\""},
        BadLine{"TwoStdouts", {"infer", "m", "--output", "-", "--h-n", "-"}, "both stdout"},
        BadLine{"LastWithoutOutput", {"infer", "m", "--last", "--h-n", "h.npy"}, "--last wants an --output"},
        BadLine{"CellOutputEnding", {"cell", "m", "--output", "y"}, "cannot tell"},
        BadLine{"CellNoSuchH", {"cell", "m", "--h", "/no/such.csv"}, "cannot read"},
        BadLine{"ChunkZero", {"stream", "m", "--chunk", "0"}, "--chunk"},
        BadLine{"ChunkWord", {"stream", "m", "--chunk", "many"}, "--chunk"},
        BadLine{"RateNegative", {"stream", "m", "--rate", "-5"}, "--rate"},
        BadLine{"StreamNoSuchInput", {"stream", "m", "--input", "/no/such.csv"}, "cannot read"},
        BadLine{"StreamOutputEnding", {"stream", "m", "--output", "y.txt"}, "cannot tell"},
        BadLine{"StreamHnOnStdout", {"stream", "m", "--h-n", "-"}, "--h-n is stdout"},
        BadLine{"SessionsAlone", {"sessions"}, "A subcommand is required"},
        BadLine{"SessionsGetNothing", {"sessions", "get"}, "ID is required"}),
    [](const testing::TestParamInfo<BadLine>& row) { return row.param.name; });

TEST(CliTest, UnreachableServerExitsOne) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"models"},
                                             {"health"},
                                             {"describe", "m"},
                                             {"infer", "m"},
                                             {"cell", "m"},
                                             {"stream", "m"},
                                             {"sessions", "list"}}) {
    std::vector<std::string> args = {"--server", kNowhere};
    args.insert(args.end(), command.begin(), command.end());
    const CliRun run = RunOn("1,2,3\n", args);
    EXPECT_EQ(run.code, 1) << command[0];
    EXPECT_THAT(run.err, StartsWith("gruserve: UNAVAILABLE: ")) << command[0];
    EXPECT_THAT(run.err, HasSubstr(kNowhere)) << command[0];
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  }
}

TEST(CliTest, EveryCommandHelpsWithExamples) {
  for (const char* command : {"models", "describe", "infer", "cell", "stream", "sessions", "health"}) {
    const CliRun run = RunOn("", {command, "--help"});
    EXPECT_EQ(run.code, 0) << command;
    EXPECT_THAT(run.out, HasSubstr(std::string("Examples:\n  "))) << command;
    EXPECT_THAT(run.out, HasSubstr(std::string("gruserve ") + command)) << command;
  }
}

TEST(CliTest, HelpNamesServerAndVariable) {
  const CliRun run = RunOn("", {"--help"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, HasSubstr("127.0.0.1:50051"));
  EXPECT_THAT(run.out, HasSubstr("GRUSERVE_SERVER"));
}

TEST(CliTest, SaysItsVersion) {
  const CliRun run = RunOn("", {"--version"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, testing::ContainsRegex("^gruserve [0-9]+\\.[0-9]+\\.[0-9]+\n$"));
}

TEST(CliTest, StreamRefusesArraysThatAreNoSequence) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{6}, {1, 1, 2, 3}, {0, 3}, {2, 0, 3}}) {
    Tensor tensor{shape, {}};
    int64_t count = 1;
    for (const int64_t dim : shape) count *= dim;
    tensor.values.resize(static_cast<size_t>(count));
    std::ostringstream npy;
    WriteNpy(tensor, &npy);
    const CliRun run = RunOn(npy.str(), {"--server", kNowhere, "stream", "m"});
    EXPECT_EQ(run.code, 2) << shape.size();
    EXPECT_THAT(run.err, HasSubstr("stdin has")) << shape.size();
  }
}

}  // namespace
}  // namespace gruserve::client
