#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace gruserve {
namespace {

constexpr char kProgram[] = "/usr/bin/redis-server";

[[noreturn]] void Fail(const std::string& said) {
  std::fprintf(stderr, "redis-server did not start:\n%s\n", said.c_str());
  abort();
}

// One of 127.0.0.1 that nobody has just now.
int FreePort() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd, any, size) != 0 || getsockname(fd, any, &size) != 0) abort();
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

bool RedisServer::Installed() { return std::filesystem::exists(kProgram); }

RedisServer::RedisServer(std::vector<std::string> options)
    : options_(std::move(options)), socket_(folder_ / "redis.sock") {
  Start();
}

RedisServer::~RedisServer() { Kill(); }

RedisServer::RedisServer(const CertificateFiles& certificate, const std::string& ca_file)
    : socket_(folder_ / "redis.sock") {
  // redis-server takes no port 0, and a port that was free may be gone: so again.
  constexpr int kTries = 10;
  std::string said;
  for (int i = 0; i < kTries; ++i) {
    tls_port_ = FreePort();
    options_ = {"--tls-port",     std::to_string(tls_port_), "--bind",
                "127.0.0.1",      "--tls-cert-file",         certificate.certificate,
                "--tls-key-file", certificate.key,           "--tls-ca-cert-file",
                ca_file};
    if (TryStart(&said)) return;
  }
  Fail(said);
}

void RedisServer::Start() {
  std::string said;
  if (!TryStart(&said)) Fail(said);
}

bool RedisServer::TryStart(std::string* said) {
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
  said->clear();
  char bytes[512];
  ssize_t got = 1;
  while (got > 0 && said->find("eady to accept connections") == std::string::npos) {
    got = read(output[0], bytes, sizeof(bytes));
    said->append(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0)));
  }
  // What it says later finds no reader; it does not mind.
  close(output[0]);
  if (got <= 0) Kill();
  return got > 0;
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
