// The front of a .npy file: a magic, a length, and a Python dictionary.

#ifndef GRUSERVE_CLIENT_CLI_NPY_HEADER_H_
#define GRUSERVE_CLIENT_CLI_NPY_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gruserve::client {

// What such a file begins with.
inline constexpr char kNpyMagic[] = "\x93NUMPY";

struct NpyHeader {
  size_t data_begin = 0;  // Within the file.
  std::string descr;      // The dtype, as NumPy writes it.
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Takes the whole file's bytes; looks at no more of them than the header.
absl::StatusOr<NpyHeader> ParseNpyHeader(const std::string& bytes);

// The error for a file that is none, or none that we read.
absl::Status BadNpy(const std::string& what);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_NPY_HEADER_H_
