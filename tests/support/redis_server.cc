#include "tests/support/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace gruserve {
namespace {

constexpr char kProgram[] = "/usr/bin/redis-server";

}  // namespace

bool RedisServer::Installed() { return std::filesystem::exists(kProgram); }

RedisServer::RedisServer(std::vector<std::string> options)
    : options_(std::move(options)), socket_(folder_ / "redis.sock") {
  Start();
}

RedisServer::~RedisServer() { Kill(); }

void RedisServer::Start() {
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) abort();
  std::vector<std::string> words = {kProgram,       "--port", "0", "--unixsocket", socket_, "--dir",
                                    folder_.path(), "--save", "",  "--appendonly", "yes",   "--appendfsync",
                                    "always"};
  words.insert(words.end(), options_.begin(), options_.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    execv(kProgram, arguments.data());
    _exit(127);
  }
  close(output[1]);
  std::string said;
  char bytes[512];
  while (said.find("eady to accept connections") == std::string::npos) {
    const ssize_t got = read(output[0], bytes, sizeof(bytes));
    if (got <= 0) {
      std::fprintf(stderr, "redis-server did not start:\n%s\n", said.c_str());
      abort();
    }
    said.append(bytes, static_cast<size_t>(got));
  }
  // What it says later finds no reader; it does not mind.
  close(output[0]);
}

void RedisServer::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::Pause() { kill(pid_, SIGSTOP); }

void RedisServer::Continue() { kill(pid_, SIGCONT); }

}  // namespace gruserve
