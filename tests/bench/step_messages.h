// The messages of a step load, and the channels that carry them.

#ifndef GRUSERVE_TESTS_BENCH_STEP_MESSAGES_H_
#define GRUSERVE_TESTS_BENCH_STEP_MESSAGES_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gruserve/v1/inference_service.pb.h"

namespace gruserve::bench {

// One connection each.
std::vector<std::shared_ptr<grpc::Channel>> OpenChannels(const std::string& server, int count);

// A raw float tensor of repeatable numbers between -1 and 1.
v1::Tensor InputTensor(const std::vector<int64_t>& shape, uint32_t seed);

// Opens `count` sessions with handles from `first` on, ended with the stream.
v1::StreamStepsRequest OpenMessage(const std::string& model, int first, int count);

// A step of each of the sessions 1 to `sessions`.
v1::StreamStepsRequest StepMessage(int64_t input_size, int sessions);

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_STEP_MESSAGES_H_
