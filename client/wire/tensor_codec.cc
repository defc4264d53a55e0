#include "client/wire/tensor_codec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/bf16.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"

namespace gruserve::client {

static_assert(std::endian::native == std::endian::little, "raw tensors are copied as they lie in memory");

void EncodeTensor(const Tensor& tensor, v1::Tensor* proto) {
  proto->mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
  if (tensor.wire == WireType::kBf16) {
    proto->set_dtype(v1::DATA_TYPE_BF16);
    proto->mutable_raw()->resize(tensor.values.size() * sizeof(uint16_t));
    auto* const target = reinterpret_cast<uint16_t*>(proto->mutable_raw()->data());
    std::transform(tensor.values.begin(), tensor.values.end(), target,
                   [](float value) { return RoundToBf16(value); });
    return;
  }
  proto->mutable_raw()->assign(reinterpret_cast<const char*>(tensor.values.data()),
                               tensor.values.size() * sizeof(float));
}

absl::StatusOr<Tensor> DecodeTensor(const v1::Tensor& proto) {
  if (proto.shape().empty() && proto.raw().empty() && proto.values().empty()) return Tensor();
  Tensor tensor;
  tensor.shape.assign(proto.shape().begin(), proto.shape().end());
  const std::optional<int64_t> wanted = CheckedProduct(std::span<const int64_t>(tensor.shape));
  if (proto.dtype() == v1::DATA_TYPE_BF16) tensor.wire = WireType::kBf16;
  const size_t size = tensor.wire == WireType::kBf16 ? sizeof(uint16_t) : sizeof(float);
  const size_t got =
      proto.raw().empty() ? static_cast<size_t>(proto.values_size()) : proto.raw().size() / size;
  if (!wanted || static_cast<uint64_t>(*wanted) != got || proto.raw().size() % size != 0) {
    return absl::InternalError(absl::StrCat("the server sent a tensor of shape [",
                                            absl::StrJoin(tensor.shape, ", "), "] with ", got, " elements"));
  }
  tensor.values.resize(got);
  if (proto.raw().empty()) {
    tensor.values.assign(proto.values().begin(), proto.values().end());
  } else if (tensor.wire == WireType::kBf16) {
    const auto* const source = reinterpret_cast<const uint16_t*>(proto.raw().data());
    std::transform(source, source + got, tensor.values.begin(), [](uint16_t bits) { return FromBf16(bits); });
  } else {
    std::memcpy(tensor.values.data(), proto.raw().data(), proto.raw().size());
  }
  return tensor;
}

void EncodeNamedTensors(const std::vector<NamedTensor>& tensors, NamedTensors* proto) {
  for (const NamedTensor& tensor : tensors) {
    v1::NamedTensor* const added = proto->Add();
    added->set_name(tensor.name);
    EncodeTensor(tensor.tensor, added->mutable_tensor());
  }
}

absl::StatusOr<std::vector<NamedTensor>> DecodeNamedTensors(const NamedTensors& proto) {
  std::vector<NamedTensor> tensors;
  for (const v1::NamedTensor& tensor : proto) {
    NamedTensor& added = tensors.emplace_back();
    added.name = tensor.name();
    GRUSERVE_ASSIGN_OR_RETURN(added.tensor, DecodeTensor(tensor.tensor()));
  }
  return tensors;
}

}  // namespace gruserve::client
