// A real server with a few small models, and a client of it. For one thread.

#ifndef GRUSERVE_TESTS_CLIENT_CLIENT_SERVER_H_
#define GRUSERVE_TESTS_CLIENT_CLIENT_SERVER_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/support/in_process_server.h"
#include "tests/support/reference_gru.h"
#include "tests/support/test_repository.h"

namespace gruserve::client {

// gru: 3 features, two layers of 5. bi: the same, both directions. cell:
// GRUCell(5, 10). broken: fails to load.
class ClientServer {
 public:
  explicit ClientServer(const server::ServerOptions& options = {})
      : gru(repository_.Add("gru", {.input_size = 3, .hidden_size = 5, .num_layers = 2}, 1)),
        bi(repository_.Add("bi", {.input_size = 3, .hidden_size = 5, .num_layers = 2, .num_directions = 2},
                           2)),
        cell(repository_.Add(
            "cell", {.module_kind = gruserve::ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10}, 3)),
        server_(AddBroken(), options),
        client(Client::Connect(server_.server().address()).value()) {}

  server::Server& server() const { return server_.server(); }
  const std::string& address() const { return server_.server().address(); }

 private:
  const std::filesystem::path& AddBroken() {
    repository_.AddBroken("broken");
    return repository_.root();
  }

  TestRepository repository_;

 public:
  const TestModel& gru;
  const TestModel& bi;
  const TestModel& cell;

 private:
  InProcessServer server_;

 public:
  const Client client;
};

// A tensor of random elements.
inline Tensor RandomTensor(const std::vector<int64_t>& shape, uint32_t seed) {
  std::mt19937 random(seed);
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return {shape, RandomFloats(random, count)};
}

// Rows `begin` to `end` of the first dimension.
inline Tensor Slice(const Tensor& tensor, int64_t begin, int64_t end) {
  const auto row = static_cast<int64_t>(tensor.values.size()) / tensor.shape[0];
  Tensor slice{tensor.shape, {tensor.values.begin() + begin * row, tensor.values.begin() + end * row}};
  slice.shape[0] = end - begin;
  return slice;
}

// Row `index` of the first dimension, without it.
inline Tensor Row(const Tensor& tensor, int64_t index) {
  Tensor row = Slice(tensor, index, index + 1);
  row.shape.erase(row.shape.begin());
  return row;
}

}  // namespace gruserve::client

#endif  // GRUSERVE_TESTS_CLIENT_CLIENT_SERVER_H_
