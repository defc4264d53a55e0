// A dense array of floats, row-major: what goes into a model and comes out.
// A plain value.

#ifndef GRUSERVE_CLIENT_TENSOR_H_
#define GRUSERVE_CLIENT_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

namespace gruserve::client {

// How the values travel.
enum class WireType {
  kF32,
  kBf16,  // Rounded, in half as many bytes; answers too.
};

struct Tensor {
  // The size of each dimension, outermost first.
  std::vector<int64_t> shape;
  // As many as the product of `shape`.
  std::vector<float> values;
  WireType wire = WireType::kF32;
};

// One of the hidden states of a model that has several, by the name that GetModel says.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_TENSOR_H_
