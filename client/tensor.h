// A dense array of floats, row-major: what goes into a model and comes out.
// A plain value.

#ifndef GRUSERVE_CLIENT_TENSOR_H_
#define GRUSERVE_CLIENT_TENSOR_H_

#include <cstdint>
#include <vector>

namespace gruserve::client {

struct Tensor {
  // The size of each dimension, outermost first.
  std::vector<int64_t> shape;
  // As many as the product of `shape`.
  std::vector<float> values;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_TENSOR_H_
