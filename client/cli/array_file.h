// Arrays in files, or on stdin and stdout (`-`). A name's ending says what is
// written; what is read says it itself.

#ifndef GRUSERVE_CLIENT_CLI_ARRAY_FILE_H_
#define GRUSERVE_CLIENT_CLI_ARRAY_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/cli.h"
#include "client/tensor.h"

namespace gruserve::client {

// A .npy file, or lines of numbers. A note on stderr where float64 was rounded.
// Errors are usage errors that name the file.
absl::StatusOr<Tensor> ReadArray(const std::string& path, const CliIo& io);

// Whether stdin holds a .npy file. Takes nothing from it.
bool StdinIsNpy(const CliIo& io);

// Refuses a name whose ending is none of .npy, .csv, .json, before any call is
// made. `-` is stdout, as CSV.
absl::Status CheckWritable(const std::string& path);
// Writes an array. JSON is {"shape": [...], "data": [[...]]}, NaN null.
absl::Status WriteArray(const std::string& path, const Tensor& tensor, const CliIo& io);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_ARRAY_FILE_H_
