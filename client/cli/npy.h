// NumPy's .npy files: float32 or float64, little-endian, C or Fortran order.
//
// Our own strict reader, since xtensor's (0.24, xnpy.hpp) is not safe on a file
// from outside: it allocates what the header claims before it looks at the file,
// does not notice a file that ends early, takes the header's length with a sign
// (wrong from 128 on in its low byte), wants the keys in one order, and reads
// before the start of an empty string. This one looks at every length first.

#ifndef GRUSERVE_CLIENT_CLI_NPY_H_
#define GRUSERVE_CLIENT_CLI_NPY_H_

#include <iosfwd>
#include <string>

#include "absl/status/statusor.h"
#include "client/tensor.h"

namespace gruserve::client {

struct NpyArray {
  Tensor tensor;
  bool rounded = false;  // The file holds float64.
};

// Takes the whole file's bytes. InvalidArgument says what is wrong with them.
absl::StatusOr<NpyArray> ParseNpy(const std::string& bytes);

// Writes float32 in C order.
void WriteNpy(const Tensor& tensor, std::ostream* out);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_NPY_H_
