// Tensors on the wire, raw little-endian bytes both ways, of floats or bfloat16.

#ifndef GRUSERVE_CLIENT_WIRE_TENSOR_CODEC_H_
#define GRUSERVE_CLIENT_WIRE_TENSOR_CODEC_H_

#include <vector>

#include "absl/status/statusor.h"
#include "client/tensor.h"
#include "gruserve/v1/tensor.pb.h"

namespace gruserve::client {

// As it is: the server judges shapes, so that a refusal takes its turn.
void EncodeTensor(const Tensor& tensor, v1::Tensor* proto);

// Internal where the server's shape and elements disagree. An absent tensor is
// an empty one.
absl::StatusOr<Tensor> DecodeTensor(const v1::Tensor& proto);

using NamedTensors = google::protobuf::RepeatedPtrField<v1::NamedTensor>;
void EncodeNamedTensors(const std::vector<NamedTensor>& tensors, NamedTensors* proto);
absl::StatusOr<std::vector<NamedTensor>> DecodeNamedTensors(const NamedTensors& proto);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_TENSOR_CODEC_H_
