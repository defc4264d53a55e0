// The bad inputs of bad_input_test, in parts: each a request that must be refused
// with a certain code and a message that matches a pattern.

#ifndef GRUSERVE_TESTS_E2E_BAD_INPUTS_H_
#define GRUSERVE_TESTS_E2E_BAD_INPUTS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gruserve/v1/tensor.pb.h"

namespace gruserve {

struct Outcome {
  int code = 0;
  std::string message;
};

using Channel = std::shared_ptr<grpc::Channel>;

// Against a server with the models "demo" (GRU, 3 inputs, 2 layers of 4), "bi"
// (the same, bidirectional), "cell" (GRUCell, 5 inputs, 10 hidden) and "broken",
// and with the session "canary" of "demo" attached to somebody's stream.
struct BadInput {
  std::string name;
  std::function<Outcome(const Channel&)> send;
  grpc::StatusCode code;
  std::string pattern;
};

// A tensor of zeros.
v1::Tensor Filled(const std::vector<int64_t>& shape);

std::vector<BadInput> BadTensors();
std::vector<BadInput> BadSequences();
std::vector<BadInput> BadCells();
std::vector<BadInput> BadOpens();
std::vector<BadInput> BadStreams();
std::vector<BadInput> BadServiceCalls();

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_E2E_BAD_INPUTS_H_
