#include "server/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/scratch_folder.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

class CommandLineTest : public ::testing::Test {
 protected:
  ~CommandLineTest() override {
    for (const std::string& name : environment_) unsetenv(name.c_str());
  }

  static CommandLine Parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "gruserve-server");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
  }

  std::string Config(const std::string& text) {
    const std::filesystem::path file = folder_ / "server.yaml";
    std::ofstream(file) << text;
    return file.string();
  }

  void SetEnvironment(const std::string& name, const std::string& value) {
    environment_.push_back(name);
    setenv(name.c_str(), value.c_str(), 1);
  }

  // A mistake: exit 2, and a message that holds `part`.
  static void ExpectMistake(const CommandLine& line, const std::string& part) {
    EXPECT_EQ(line.exit_code, 2);
    EXPECT_THAT(line.text, HasSubstr(part));
  }

 private:
  const ScratchFolder folder_;
  std::vector<std::string> environment_;
};

TEST_F(CommandLineTest, DefaultsAreThoseOfTheStruct) {
  const CommandLine line = Parse({"--repository", "models"});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.repository, "models");
  EXPECT_EQ(line.options.listen, "127.0.0.1:50051");
  EXPECT_EQ(line.options.http_listen, "127.0.0.1:9464");
  EXPECT_EQ(line.options.session_idle_timeout, absl::Minutes(5));
  EXPECT_EQ(line.options.session_grace, absl::Seconds(60));
  EXPECT_EQ(line.options.max_message_bytes, 64 << 20);
}

TEST_F(CommandLineTest, TheFileGivesValues) {
  const std::string file =
      Config("repository: models\nsession-grace: 10s\nsession_memory_bytes: 2MiB\ninsecure: true\n");
  const CommandLine line = Parse({"--config", file});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.repository, "models");
  EXPECT_EQ(line.options.session_grace, absl::Seconds(10));
  EXPECT_EQ(line.options.session_memory_bytes, 2 << 20);
  EXPECT_TRUE(line.options.insecure);
}

TEST_F(CommandLineTest, TheEnvironmentWinsOverTheFile) {
  SetEnvironment("GRUSERVE_SESSION_GRACE", "20s");
  const CommandLine line = Parse({"--config", Config("repository: models\nsession-grace: 10s\n")});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.session_grace, absl::Seconds(20));
}

TEST_F(CommandLineTest, AFlagWinsOverEverything) {
  SetEnvironment("GRUSERVE_SESSION_GRACE", "20s");
  const CommandLine line =
      Parse({"--config", Config("repository: models\nsession-grace: 10s\n"), "--session-grace", "30s"});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.session_grace, absl::Seconds(30));
}

TEST_F(CommandLineTest, TheEnvironmentNamesTheFileToo) {
  SetEnvironment("GRUSERVE_CONFIG", Config("repository: models\nworkers: 3\n"));
  const CommandLine line = Parse({});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.workers, 3);
}

TEST_F(CommandLineTest, AnUnknownKeyIsNamed) {
  ExpectMistake(Parse({"--config", Config("repository: models\nsesion-grace: 10s\n")}),
                "\"sesion-grace\" is no option");
}

TEST_F(CommandLineTest, AFileThatIsNoYamlIsRefused) {
  ExpectMistake(Parse({"--config", Config("repository: [models\n")}), "the config file");
  ExpectMistake(Parse({"--config", Config("- repository\n")}), "mapping");
  ExpectMistake(Parse({"--config", Config("repository: [a, b]\n")}), "\"repository\" has no single value");
}

TEST_F(CommandLineTest, AMissingFileIsRefused) {
  ExpectMistake(Parse({"--config", "/nonexistent/server.yaml"}), "/nonexistent/server.yaml");
}

TEST_F(CommandLineTest, ZeroIdleTimeoutIsNever) {
  const CommandLine line = Parse({"--repository", "models", "--session-idle-timeout", "0"});
  ASSERT_FALSE(line.exit_code) << line.text;
  EXPECT_EQ(line.options.session_idle_timeout, absl::InfiniteDuration());
}

TEST_F(CommandLineTest, MistakesNameTheOption) {
  ExpectMistake(Parse({}), "--repository");
  ExpectMistake(Parse({"--repository", "m", "--nonsense"}), "--nonsense");
  ExpectMistake(Parse({"--repository", "m", "--session-grace", "10"}), "--session-grace");
  ExpectMistake(Parse({"--repository", "m", "--session-grace", "-1s"}), "--session-grace");
  ExpectMistake(Parse({"--repository", "m", "--workers", "-1"}), "--workers is -1");
  ExpectMistake(Parse({"--repository", "m", "--workers", "many"}), "--workers");
  ExpectMistake(Parse({"--repository", "m", "--polling-threads", "-1"}), "--polling-threads is -1");
  ExpectMistake(Parse({"--repository", "m", "--repository-mode", "live"}), "static, poll or explicit");
  ExpectMistake(Parse({"--repository", "m", "--poll-interval", "1ms"}), "at least 100ms");
  ExpectMistake(Parse({"--repository", "m", "--load-model", "a"}), "without --repository-mode explicit");
  ExpectMistake(Parse({"--repository", "m", "--version-policy", "latest"}), "all or latest:N");
  ExpectMistake(Parse({"--repository", "m", "--old-version-limit", "-1s"}), "--old-version-limit");
  ExpectMistake(Parse({"--repository", "m", "--model-memory", "-1"}), "--model-memory");
  ExpectMistake(Parse({"--repository", "m", "--real-time-share", "1"}),
                "--real-time-share is 1, 0 to 0.9 is wanted");
  ExpectMistake(Parse({"--repository", "m", "--real-time-share", "nan"}), "--real-time-share is nan");
  ExpectMistake(Parse({"--repository", "m", "--tenant-weights", "a=0"}), "--tenant-weights is a=0");
  ExpectMistake(Parse({"--repository", "m", "--tenant-weights", "=2"}), "--tenant-weights is =2");
  ExpectMistake(Parse({"--repository", "m", "--tenant-weights", "a=1,a=2"}),
                "--tenant-weights names a twice");
  ExpectMistake(Parse({"--repository", "m", "--tenant-header", "X-Tenant"}), "--tenant-header is X-Tenant");
  ExpectMistake(Parse({"--repository", "m", "--listen", "50051"}), "--listen");
  ExpectMistake(Parse({"--repository", "m", "--listen", "127.0.0.1:99999"}), "--listen");
  ExpectMistake(Parse({"--repository", "m", "--log-format", "xml"}), "--log-format is xml");
  ExpectMistake(Parse({"--repository", "m", "--compute-dtype", "f16"}),
                "--compute-dtype is f16, f32 or bf16 is wanted");
  ExpectMistake(Parse({"--repository", "m", "--log-level", "loud"}), "--log-level is loud");
  ExpectMistake(Parse({"--repository", "m", "--max-message-bytes", "4GiB"}), "--max-message-bytes");
}

TEST_F(CommandLineTest, OtherAddressesThanLoopbackNeedInsecure) {
  ExpectMistake(Parse({"--repository", "m", "--listen", "0.0.0.0:50051"}), "--insecure");
  ExpectMistake(Parse({"--repository", "m", "--http-listen", "0.0.0.0:9464"}), "--insecure");
  EXPECT_FALSE(Parse({"--repository", "m", "--listen", "0.0.0.0:50051", "--insecure"}).exit_code);
  EXPECT_FALSE(Parse({"--repository", "m", "--listen", "[::1]:50051"}).exit_code);
  EXPECT_FALSE(Parse({"--repository", "m", "--listen", "localhost:0"}).exit_code);
  EXPECT_FALSE(Parse({"--repository", "m", "--http-listen", "none"}).exit_code);
}

TEST_F(CommandLineTest, PrintConfigIsAConfig) {
  const CommandLine printed = Parse({"--repository", "models", "--session-grace", "1m30s", "--workers", "2",
                                     "--session-idle-timeout", "0", "--print-config"});
  ASSERT_EQ(printed.exit_code, 0) << printed.text;
  EXPECT_THAT(printed.text, HasSubstr("session-grace: 1m30s"));
  const CommandLine again = Parse({"--config", Config(printed.text)});
  ASSERT_FALSE(again.exit_code) << again.text;
  EXPECT_EQ(again.options.session_grace, absl::Seconds(90));
  EXPECT_EQ(again.options.workers, 2);
  EXPECT_EQ(again.options.session_idle_timeout, absl::InfiniteDuration());
  EXPECT_EQ(again.options.max_message_bytes, 64 << 20);
  EXPECT_FALSE(again.options.insecure);
}

TEST_F(CommandLineTest, ComputeDtypeComesFromFileEnvironmentAndFlag) {
  EXPECT_EQ(Parse({"--repository", "models"}).options.compute_dtype, "f32");
  const std::string file = Config("repository: models\ncompute-dtype: bf16\n");
  EXPECT_EQ(Parse({"--config", file}).options.compute_dtype, "bf16");
  EXPECT_THAT(Parse({"--config", file, "--print-config"}).text, HasSubstr("compute-dtype: bf16"));
  SetEnvironment("GRUSERVE_COMPUTE_DTYPE", "f32");
  EXPECT_EQ(Parse({"--config", file}).options.compute_dtype, "f32");
  EXPECT_EQ(Parse({"--config", file, "--compute-dtype", "bf16"}).options.compute_dtype, "bf16");
}

TEST_F(CommandLineTest, HelpTeaches) {
  const CommandLine line = Parse({"--help"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, HasSubstr("Examples:"));
  EXPECT_THAT(line.text, HasSubstr("--session-idle-timeout"));
  EXPECT_THAT(line.text, HasSubstr("0: never"));
}

TEST_F(CommandLineTest, VersionIsOneLine) {
  const CommandLine line = Parse({"--version"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, ::testing::MatchesRegex("gruserve-server [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace gruserve::server
