#include "client/wire/tensor_codec.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/checked_math.h"

namespace gruserve::client {

static_assert(std::endian::native == std::endian::little, "raw tensors are copied as they lie in memory");

void EncodeTensor(const Tensor& tensor, v1::Tensor* proto) {
  proto->mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
  proto->mutable_raw()->assign(reinterpret_cast<const char*>(tensor.values.data()),
                               tensor.values.size() * sizeof(float));
}

absl::StatusOr<Tensor> DecodeTensor(const v1::Tensor& proto) {
  if (proto.shape().empty() && proto.raw().empty() && proto.values().empty()) return Tensor();
  Tensor tensor;
  tensor.shape.assign(proto.shape().begin(), proto.shape().end());
  const std::optional<int64_t> wanted = CheckedProduct(std::span<const int64_t>(tensor.shape));
  const size_t got =
      proto.raw().empty() ? static_cast<size_t>(proto.values_size()) : proto.raw().size() / sizeof(float);
  if (!wanted || static_cast<uint64_t>(*wanted) != got || proto.raw().size() % sizeof(float) != 0) {
    return absl::InternalError(absl::StrCat("the server sent a tensor of shape [",
                                            absl::StrJoin(tensor.shape, ", "), "] with ", got, " elements"));
  }
  tensor.values.resize(got);
  if (proto.raw().empty()) {
    tensor.values.assign(proto.values().begin(), proto.values().end());
  } else {
    std::memcpy(tensor.values.data(), proto.raw().data(), proto.raw().size());
  }
  return tensor;
}

}  // namespace gruserve::client
