// Every command against a real server, on files and pipes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/csv.h"
#include "client/cli/npy.h"
#include "client/cli/session_watch.h"
#include "tests/client/cli/cli_run.h"
#include "tests/client/client_server.h"
#include "tests/support/in_process_server.h"
#include "tests/support/model_builder.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/test_repository.h"

namespace gruserve::client {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class CommandsTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }

  std::string Write(const std::string& name, const Tensor& tensor) const {
    std::ofstream file(Path(name), std::ios::binary);
    WriteNpy(tensor, &file);
    return Path(name);
  }
  Tensor Read(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return ParseNpy(bytes.str()).value().tensor;
  }
  static std::string Csv(const Tensor& tensor) {
    std::ostringstream text;
    WriteCsv(tensor, &text);
    return text.str();
  }

  CliRun RunWith(const std::string& input, std::vector<std::string> args) const {
    args.insert(args.begin(), {"--server", server_.address()});
    return RunOn(input, args);
  }
  // Runs what must go well, in silence.
  std::string Run(const std::vector<std::string>& args, const std::string& input = "") const {
    const CliRun run = RunWith(input, args);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.err, "");
    return run.out;
  }

  const ClientServer server_;
  const ScratchFolder folder_;
};

TEST_F(CommandsTest, ModelsAsTableAndJson) {
  EXPECT_THAT(Run({"models"}),
              ContainsRegex(
                  "NAME +VERSION  DTYPE  STATE\nbi +1  f32    READY\nbroken +1  -      FAILED: safetensors"));
  const nlohmann::json list = nlohmann::json::parse(Run({"models", "--json"}));
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[3], (nlohmann::json{{"name", "gru"},
                                     {"version", 1},
                                     {"compute_dtype", "f32"},
                                     {"state", "READY"},
                                     {"reason", ""},
                                     {"labels", nlohmann::json::array()}}));
  EXPECT_EQ(list[1]["state"], "FAILED");
  EXPECT_THAT(list[1]["reason"].get<std::string>(), HasSubstr("safetensors"));
}

TEST_F(CommandsTest, ModelsLoadAndUnload) {
  const CliRun refused = RunWith("", {"models", "load", "gru"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("repository mode is static"));
  EXPECT_EQ(RunWith("", {"models", "load"}).code, 2);

  TestRepository repository;
  repository.Add("demo", {.input_size = 3, .hidden_size = 4}, 1);
  repository.Add("demo", {.input_size = 3, .hidden_size = 4}, 2, 2);
  WriteFile(repository.root() / "demo" / "versions.json", R"({"version_labels": {"stable": 1}})");
  const InProcessServer server(repository.root(), {.repository_mode = "explicit"});
  const auto run = [&server](std::vector<std::string> args) {
    args.insert(args.begin(), {"--server", server.server().address()});
    return RunOn("", args);
  };
  EXPECT_THAT(run({"models", "load", "demo"}).out,
              ContainsRegex("demo +1  f32    READY \\(stable\\)\ndemo +2  f32    READY\n"));
  EXPECT_EQ(run({"describe", "demo", "--model-label", "stable"}).code, 0);
  EXPECT_EQ(run({"describe", "demo", "--model-label", "canary"}).code, 1);
  const CliRun unloaded = run({"models", "unload", "demo", "--model-version", "1", "--json"});
  EXPECT_EQ(nlohmann::json::parse(unloaded.out)[0]["version"], 2);
  EXPECT_EQ(run({"models", "unload", "demo"}).code, 0);
  EXPECT_THAT(run({"models", "unload", "demo"}).err, HasSubstr("is not loaded"));
}

TEST_F(CommandsTest, DescribeSaysWhatAModelIs) {
  EXPECT_THAT(Run({"describe", "cell"}),
              ContainsRegex("module +GRUCell\n(.|\n)*compute_dtype +f32\ninput_size +5\nhidden_size +10\n"));
  EXPECT_EQ(nlohmann::json::parse(Run({"describe", "bi", "--json"}))["steppable"], false);
  const CliRun missing = RunWith("", {"describe", "nope"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, StartsWith("gruserve: NOT_FOUND: "));
}

TEST_F(CommandsTest, HealthExitsZeroOrOne) {
  EXPECT_EQ(Run({"health"}), "SERVING\n");
  EXPECT_EQ(Run({"health", "model/gru"}), "SERVING\n");
  const CliRun broken = RunWith("", {"health", "model/broken"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.err, HasSubstr("NOT_SERVING"));
  EXPECT_EQ(RunWith("", {"health", "nope"}).code, 1);
}

TEST_F(CommandsTest, InferStreamAndChunksWriteTheSameBytes) {
  const std::string x = Write("x.npy", RandomTensor({11, 4, 3}, 1));
  const std::string h0 = Write("h0.npy", RandomTensor({2, 4, 5}, 2));
  const std::vector<std::string> files = {"--input",     x,       "--h0",        h0, "--output",
                                          Path("y.npy"), "--h-n", Path("hn.npy")};
  std::vector<std::pair<Tensor, Tensor>> results;
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"infer", "gru"},
                                             {"stream", "gru"},
                                             {"stream", "gru", "--chunk", "4"},
                                             {"stream", "gru", "--chunk", "64"}}) {
    std::vector<std::string> args = command;
    args.insert(args.end(), files.begin(), files.end());
    EXPECT_EQ(Run(args), "");
    results.emplace_back(Read("y.npy"), Read("hn.npy"));
    EXPECT_THAT(results.back().first.shape, ElementsAre(11, 4, 5));
    EXPECT_THAT(results.back().second.shape, ElementsAre(2, 4, 5));
    EXPECT_EQ(results.back().first.values, results.front().first.values) << command.back();
    EXPECT_EQ(results.back().second.values, results.front().second.values) << command.back();
  }
  EXPECT_EQ(server_.client.ListSessions()->size(), 0U);
}

TEST_F(CommandsTest, UnbatchedDropsTheBatch) {
  const Tensor x = RandomTensor({7, 3}, 3);
  for (const char* command : {"infer", "stream"}) {
    Run({command, "gru", "--input", Write("x.npy", x), "--output", Path("y.npy"), "--h-n", Path("hn.npy")});
    EXPECT_THAT(Read("y.npy").shape, ElementsAre(7, 5));
    EXPECT_EQ(Read("y.npy").values, server_.gru.Alone(x.values));
    EXPECT_THAT(Read("hn.npy").shape, ElementsAre(2, 5));
  }
}

TEST_F(CommandsTest, CellModelsHaveStatesWithoutLayers) {
  const std::string x = Write("x.npy", RandomTensor({4, 3, 5}, 4));
  for (const char* command : {"infer", "stream"}) {
    Run({command, "cell", "--input", x, "--h0", Write("h.npy", RandomTensor({3, 10}, 5)), "--h-n",
         Path("hn.npy")});
    EXPECT_THAT(Read("hn.npy").shape, ElementsAre(3, 10));
  }
}

TEST_F(CommandsTest, InferRaggedBatchFirstAndLast) {
  const std::string x = Write("x.npy", RandomTensor({3, 4, 3}, 6));
  Run({"infer", "bi", "--input", x, "--lengths", "4,1,2", "--batch-first", "--output", Path("y.npy")});
  const Tensor y = Read("y.npy");
  EXPECT_THAT(y.shape, ElementsAre(3, 4, 10));
  EXPECT_EQ(Row(Row(y, 1), 3).values, std::vector<float>(10));
  Run({"infer", "bi", "--input", x, "--lengths", "4,1,2", "--batch-first", "--last", "--output",
       Path("last.npy")});
  EXPECT_THAT(Read("last.npy").shape, ElementsAre(3, 10));
  const CliRun bad = RunWith("", {"infer", "bi", "--input", x, "--lengths", "4,9,2", "--batch-first"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.err, ContainsRegex("^gruserve: INVALID_ARGUMENT: lengths.1. is 9"));
}

TEST_F(CommandsTest, PipesAndFormats) {
  const Tensor x = RandomTensor({2, 3}, 7);
  const std::vector<float> wanted = server_.gru.Alone(x.values);
  const std::string lines = Csv({{2, 5}, wanted});
  EXPECT_EQ(Run({"infer", "gru"}, Csv(x)), lines);
  std::ostringstream npy;
  WriteNpy(x, &npy);
  EXPECT_EQ(Run({"infer", "gru"}, npy.str()), lines);
  EXPECT_EQ(Run({"stream", "gru"}, npy.str()), lines);
  Run({"infer", "gru", "--output", Path("y.csv"), "--h-n", Path("hn.json")}, Csv(x));
  std::ifstream csv(Path("y.csv"));
  EXPECT_EQ(ReadCsv(&csv)->values, wanted);
  std::ifstream file(Path("hn.json"));
  const nlohmann::json json = nlohmann::json::parse(file);
  EXPECT_EQ(json["shape"], (std::vector<int>{2, 5}));
  EXPECT_EQ(json["data"][1][4].get<float>(), wanted.back());
}

TEST_F(CommandsTest, Float64IsRoundedWithANote) {
  std::string npy = std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }" + std::string(58, ' ') +
                    "\n";
  for (const double value : {0.1, 0.2, 0.3}) npy.append(reinterpret_cast<const char*>(&value), sizeof(value));
  const CliRun run = RunWith(npy, {"infer", "gru"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err, "note: stdin holds float64, rounded to float32\n");
  EXPECT_EQ(run.out, Run({"infer", "gru"}, "0.1,0.2,0.3\n"));
}

TEST_F(CommandsTest, StreamPrintsALineAStepAndKeepsAFileToo) {
  const Tensor x = RandomTensor({5, 3}, 8);
  const std::string lines = Csv({{5, 5}, server_.gru.Alone(x.values)});
  EXPECT_EQ(Run({"stream", "gru"}, Csv(x)), lines);
  EXPECT_EQ(Run({"stream", "gru", "--chunk", "2"}, Csv(x)), lines);
  EXPECT_EQ(Run({"stream", "gru", "--rate", "1000"}, Csv(x)), lines);
  EXPECT_EQ(Run({"stream", "gru", "--rate", "50", "--deadline-ms", "1000"}, Csv(x)), lines);
  EXPECT_EQ(Run({"stream", "gru", "--input", Write("x.npy", x)}), lines);
  EXPECT_EQ(Run({"stream", "gru", "--output", Path("y.npy"), "--h-n", Path("hn.npy")}, Csv(x)), lines);
  EXPECT_EQ(Csv(Read("y.npy")), lines);
  EXPECT_EQ(Row(Read("hn.npy"), 1).values, Row(Read("y.npy"), 4).values);
  EXPECT_EQ(Run({"stream", "gru", "--quiet", "--output", Path("q.npy")}, Csv(x)), "");
  EXPECT_EQ(Csv(Read("q.npy")), lines);
}

TEST_F(CommandsTest, ADeadlineNeedsARateAndAServerThatKeepsIt) {
  const std::string line = Csv(RandomTensor({1, 3}, 8));
  const CliRun no_rate = RunWith(line, {"stream", "gru", "--deadline-ms", "5"});
  EXPECT_EQ(no_rate.code, 2);
  EXPECT_THAT(no_rate.err, HasSubstr("--deadline-ms without --rate"));
  const CliRun too_short = RunWith(line, {"stream", "gru", "--rate", "50", "--deadline-ms", "0.1"});
  EXPECT_EQ(too_short.code, 1);
  EXPECT_THAT(too_short.err, HasSubstr("real_time.deadline is 100us"));
}

TEST_F(CommandsTest, StreamGoesOnWithANamedSession) {
  const Tensor x = RandomTensor({6, 3}, 9);
  const std::string lines = Csv({{6, 5}, server_.gru.Alone(x.values)});
  const std::string first = Run({"stream", "gru", "--session", "pump-7"}, Csv(Slice(x, 0, 4)));
  const std::string second = Run({"stream", "gru", "--session", "pump-7"}, Csv(Slice(x, 4, 5)));
  EXPECT_EQ(server_.client.GetSession("pump-7")->info.next_step, 6);
  const std::string third = Run({"stream", "gru", "--session", "pump-7", "--close"}, Csv(Slice(x, 5, 6)));
  EXPECT_EQ(first + second + third, lines);
  EXPECT_FALSE(server_.client.GetSession("pump-7").ok());
}

TEST_F(CommandsTest, StreamFailsWithTheServersWordsAfterWhatWentWell) {
  CliRun run = RunWith("1,2,3,4\n", {"stream", "gru"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, StartsWith("gruserve: INVALID_ARGUMENT: input.shape[0] is 4"));
  run = RunWith("1,2,3\n1,2,x\n", {"stream", "gru"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 1);
  EXPECT_EQ(run.err, "gruserve: stdin: line 2 column 3 is \"x\", a number is wanted\n");
  run = RunWith("1,2,3\n", {"stream", "bi"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, ContainsRegex("FAILED_PRECONDITION.*bidirectional"));
  run = RunWith("1,2,3\n", {"stream", "gru", "--output", "/no/such/folder/y.npy"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("cannot write /no/such/folder/y.npy: No such file"));
}

TEST_F(CommandsTest, CellEqualsTheReference) {
  const Tensor x = RandomTensor({5}, 10);
  const Tensor h = RandomTensor({10}, 11);
  Run({"cell", "cell", "--input", Write("x.npy", x), "--h", Write("h.npy", h), "--output", Path("h1.npy")});
  EXPECT_THAT(Read("h1.npy").shape, ElementsAre(10));
  EXPECT_EQ(Read("h1.npy").values, server_.cell.Alone(x.values, h.values));
  EXPECT_EQ(Run({"cell", "cell"}, Csv({{1, 5}, x.values})), Csv({{1, 10}, server_.cell.Alone(x.values)}));
}

TEST_F(CommandsTest, SessionsAreListedLookedAtAndClosed) {
  ASSERT_TRUE(server_.client.OpenSession({.model = "gru", .session_id = "a"}).ok());
  ASSERT_TRUE(server_.client.OpenSession({.model = "cell", .session_id = "b", .batch_size = 2}).ok());
  EXPECT_THAT(Run({"sessions", "list"}), ContainsRegex("a +gru/1 +1 .*detached\nb +cell/1 "));
  EXPECT_EQ(nlohmann::json::parse(Run({"sessions", "list", "--json", "--model", "cell"}))[0]["session_id"],
            "b");
  EXPECT_THAT(Run({"sessions", "get", "b", "--state", Path("h.npy")}), ContainsRegex("batch_size +2\n"));
  EXPECT_THAT(Read("h.npy").shape, ElementsAre(2, 10));
  EXPECT_EQ(Run({"sessions", "get", "a", "--state", "-"}), Csv({{2, 5}, std::vector<float>(10)}));
  EXPECT_EQ(Run({"sessions", "close", "a"}), "");
  const CliRun gone = RunWith("", {"sessions", "get", "a"});
  EXPECT_EQ(gone.code, 1);
  EXPECT_THAT(gone.err, StartsWith("gruserve: NOT_FOUND: "));
}

TEST_F(CommandsTest, SessionsAreDescribedCopiedAndEvicted) {
  ASSERT_TRUE(server_.client.OpenSession({.model = "gru", .session_id = "a"}).ok());
  ASSERT_TRUE(server_.client.Step("a", RandomTensor({3}, 12)).ok());
  const std::string described = Run({"sessions", "describe", "a"});
  EXPECT_THAT(described, ContainsRegex("next_step +2\n"));
  EXPECT_THAT(described, ContainsRegex("queued +0\n"));
  EXPECT_THAT(described, ContainsRegex("state +.\"shape\":.2,5.,\"norm\":[0-9.]+,"));

  Run({"sessions", "export", "a", Path("a.ckpt")});
  EXPECT_THAT(Run({"sessions", "import", Path("a.ckpt"), "--id", "b"}), ContainsRegex("session_id +b\n"));
  EXPECT_THAT(Run({"sessions", "import", Path("a.ckpt"), "--id", "c", "--model", "gru"}),
              ContainsRegex("next_step +2\n"));
  EXPECT_EQ(Run({"sessions", "get", "b", "--state", "-"}), Run({"sessions", "get", "a", "--state", "-"}));
  EXPECT_EQ(Run({"sessions", "export", "a", "-"}).substr(0, 8), "GRUSCKPT");
  EXPECT_THAT(Run({"sessions", "fork", "a", "--ids", "x,y"}), ContainsRegex("x +gru/1 +2 .*\ny +gru/1 +2 "));
  EXPECT_EQ(nlohmann::json::parse(Run({"sessions", "fork", "a", "--count", "3", "--json"})).size(), 3u);
  EXPECT_EQ(Run({"sessions", "evict", "x"}), "");
  EXPECT_THAT(RunWith("", {"sessions", "get", "x"}).err, HasSubstr("evicted by EvictSession"));

  CliRun run = RunWith("", {"sessions", "import", "/no/such/file"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err, "gruserve: cannot read /no/such/file: No such file or directory\n");
  run = RunWith("", {"sessions", "import", "/"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err, "gruserve: cannot read /: Is a directory\n");
  run = RunWith("nonsense", {"sessions", "import", "-"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, StartsWith("gruserve: INVALID_ARGUMENT: "));
  EXPECT_EQ(RunWith("", {"sessions", "export", "a", "/no/such/folder/f"}).code, 2);
}

TEST_F(CommandsTest, SessionsAreWatched) {
  ASSERT_TRUE(server_.client.OpenSession({.model = "gru", .session_id = "a"}).ok());
  const std::string seen = Run({"sessions", "watch", "--rounds", "2", "--interval", "0.01"});
  EXPECT_THAT(seen, ContainsRegex("^1 sessions, [0-9.]+ MiB, 0 steps/s\nSESSION "));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 6);
}

TEST(SessionWatchTest, ThoseThatStepMostComeFirst) {
  const auto session = [](const std::string& id, int64_t next_step) {
    SessionInfo info;
    info.session_id = id;
    info.model.name = "m";
    info.next_step = next_step;
    info.memory_bytes = 1 << 20;
    return info;
  };
  SessionWatch watch;
  std::ostringstream out;
  watch.Print({session("a", 1), session("b", 100)}, absl::ZeroDuration(), 5, &out);
  out.str("");
  watch.Print({session("a", 3), session("b", 120), session("new", 50)}, absl::Seconds(2), 2, &out);
  EXPECT_THAT(out.str(), ContainsRegex("^3 sessions, 3.0 MiB, 11 steps/s\nSESSION .*\n"
                                       "b +m/0 +120 +10 .*\na +m/0 +3 +1 .*\n$"));
}

TEST_F(CommandsTest, ServerMayBeNamedBehindTheCommand) {
  EXPECT_EQ(RunOn("", {"health", "--server", server_.address()}).code, 0);
}

}  // namespace
}  // namespace gruserve::client
