#include "core/network/import/onnx/onnx_tensor_reader.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX raw data is little-endian");

using onnx::TensorProto;

constexpr size_t kMaxQuoted = 120;
constexpr int kMaxRank = 16;

absl::Status Bad(const std::string& what, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat(what, message));
}

// Bytes of an element of raw data; 0: a type that is not read.
int64_t ElementBytes(int type) {
  switch (type) {
    case TensorProto::DOUBLE:
    case TensorProto::INT64:
      return 8;
    case TensorProto::FLOAT:
    case TensorProto::INT32:
      return 4;
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
      return 2;
    case TensorProto::BOOL:
    case TensorProto::INT8:
    case TensorProto::UINT8:
      return 1;
    default:
      return 0;
  }
}

std::string TypeName(int type) {
  return TensorProto::DataType_IsValid(type)
             ? TensorProto::DataType_Name(static_cast<TensorProto::DataType>(type))
             : absl::StrCat("type ", type);
}

float FromHalf(uint16_t half) {
  const int exponent = (half >> 10) & 0x1F;
  const int fraction = half & 0x3FF;
  float value = 0;
  if (exponent == 0x1F)
    value = fraction == 0 ? INFINITY : NAN;
  else
    value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                          : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -value : value;
}

float FromBrain(uint16_t brain) { return std::bit_cast<float>(static_cast<uint32_t>(brain) << 16); }

template <typename Element, typename Made, typename Convert>
void Unpack(const std::string& bytes, std::vector<Made>* made, Convert convert) {
  const size_t count = bytes.size() / sizeof(Element);
  made->resize(count);
  for (size_t i = 0; i < count; ++i) {
    Element element;
    std::memcpy(&element, bytes.data() + i * sizeof(Element), sizeof(Element));
    (*made)[i] = convert(element);
  }
}

void UnpackRaw(const std::string& bytes, int type, OnnxTensor* tensor) {
  const auto to_float = [](auto number) { return static_cast<float>(number); };
  const auto to_int = [](auto number) { return static_cast<int64_t>(number); };
  switch (type) {
    case TensorProto::FLOAT:
      return Unpack<float>(bytes, &tensor->floats, to_float);
    case TensorProto::DOUBLE:
      return Unpack<double>(bytes, &tensor->floats, to_float);
    case TensorProto::FLOAT16:
      return Unpack<uint16_t>(bytes, &tensor->floats, FromHalf);
    case TensorProto::BFLOAT16:
      return Unpack<uint16_t>(bytes, &tensor->floats, FromBrain);
    case TensorProto::INT64:
      return Unpack<int64_t>(bytes, &tensor->ints, to_int);
    case TensorProto::INT32:
      return Unpack<int32_t>(bytes, &tensor->ints, to_int);
    case TensorProto::INT8:
      return Unpack<int8_t>(bytes, &tensor->ints, to_int);
    default:  // BOOL, UINT8.
      return Unpack<uint8_t>(bytes, &tensor->ints, to_int);
  }
}

// The numbers that stand in the field of their own type.
void UnpackFields(const TensorProto& proto, OnnxTensor* tensor) {
  for (const float number : proto.float_data()) tensor->floats.push_back(number);
  for (const double number : proto.double_data()) tensor->floats.push_back(static_cast<float>(number));
  for (const int64_t number : proto.int64_data()) tensor->ints.push_back(number);
  for (const int32_t number : proto.int32_data()) {
    if (proto.data_type() == TensorProto::FLOAT16)
      tensor->floats.push_back(FromHalf(static_cast<uint16_t>(number)));
    else if (proto.data_type() == TensorProto::BFLOAT16)
      tensor->floats.push_back(FromBrain(static_cast<uint16_t>(number)));
    else
      tensor->ints.push_back(number);
  }
}

int FieldSize(const TensorProto& proto) {
  switch (proto.data_type()) {
    case TensorProto::FLOAT:
      return proto.float_data_size();
    case TensorProto::DOUBLE:
      return proto.double_data_size();
    case TensorProto::INT64:
      return proto.int64_data_size();
    default:
      return proto.int32_data_size();
  }
}

int AllFieldSizes(const TensorProto& proto) {
  return proto.float_data_size() + proto.double_data_size() + proto.int64_data_size() +
         proto.int32_data_size() + proto.uint64_data_size() + proto.string_data_size();
}

absl::StatusOr<std::string> ReadExternal(const std::string& what, const TensorProto& proto,
                                         const ModelFolder* folder, uint64_t bytes) {
  if (folder == nullptr) return Bad(what, "has external data, expected none");
  if (AllFieldSizes(proto) != 0 || proto.has_raw_data())
    return Bad(what, "has external data and numbers of its own, expected one of them");
  std::string location;
  uint64_t offset = 0;
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    uint64_t length = 0;
    if (entry.key() == "offset" && !absl::SimpleAtoi(entry.value(), &offset))
      return Bad(what, absl::StrCat("external offset is ", PrintableOnnx(entry.value()),
                                    ", expected a whole number >= 0"));
    if (entry.key() != "length") continue;
    if (!absl::SimpleAtoi(entry.value(), &length) || length != bytes)
      return Bad(what, absl::StrCat("external length is ", PrintableOnnx(entry.value()),
                                    ", its type and shape need ", bytes));
  }
  if (location.empty()) return Bad(what, "has external data without a location");
  return folder->Read(absl::StrCat(what, "external file ", PrintableOnnx(location)), location, offset, bytes);
}

}  // namespace

std::string PrintableOnnx(const std::string& text) {
  const std::string escaped = absl::CHexEscape(text.substr(0, kMaxQuoted));
  return absl::StrCat("\"", escaped, text.size() > kMaxQuoted ? "..." : "", "\"");
}

absl::StatusOr<OnnxTensorPtr> ReadOnnxTensor(const std::string& what, const TensorProto& proto,
                                             const ModelFolder* folder) {
  const int64_t element_bytes = ElementBytes(proto.data_type());
  if (element_bytes == 0)
    return Bad(what, absl::StrCat("data_type is ", TypeName(proto.data_type()),
                                  ", expected FLOAT, DOUBLE, FLOAT16, BFLOAT16, INT8, UINT8, INT32, INT64 "
                                  "or BOOL"));
  if (proto.has_segment()) return Bad(what, "is in segments, expected a whole tensor");
  if (proto.dims_size() > kMaxRank)
    return Bad(what, absl::StrCat("has ", proto.dims_size(), " axes, expected up to ", kMaxRank));
  OnnxTensor tensor;
  tensor.shape.assign(proto.dims().begin(), proto.dims().end());
  const std::string shape = absl::StrCat("[", absl::StrJoin(tensor.shape, ", "), "]");
  const std::optional<int64_t> count = CheckedProduct(tensor.shape);
  const std::optional<int64_t> bytes = count ? CheckedMultiply(*count, element_bytes) : std::nullopt;
  if (!bytes) return Bad(what, absl::StrCat("shape ", shape, " is negative or too large"));
  if (*count == 0 && tensor.shape.size() > 1)
    return Bad(what, absl::StrCat("shape ", shape, " holds nothing"));
  const int type = proto.data_type();
  tensor.is_float = type == TensorProto::FLOAT || type == TensorProto::DOUBLE ||
                    type == TensorProto::FLOAT16 || type == TensorProto::BFLOAT16;
  if (proto.data_location() == TensorProto::EXTERNAL || proto.external_data_size() != 0) {
    GRUSERVE_ASSIGN_OR_RETURN(const std::string raw,
                              ReadExternal(what, proto, folder, static_cast<uint64_t>(*bytes)));
    UnpackRaw(raw, type, &tensor);
  } else if (proto.has_raw_data()) {
    if (AllFieldSizes(proto) != 0) return Bad(what, "has raw_data and typed data, expected one of them");
    if (static_cast<int64_t>(proto.raw_data().size()) != *bytes)
      return Bad(what, absl::StrCat("raw_data has ", proto.raw_data().size(), " bytes, ", TypeName(type),
                                    " of shape ", shape, " needs ", *bytes));
    UnpackRaw(proto.raw_data(), type, &tensor);
  } else {
    if (FieldSize(proto) != *count || AllFieldSizes(proto) != FieldSize(proto))
      return Bad(what, absl::StrCat("has ", AllFieldSizes(proto), " numbers, ", TypeName(type), " of shape ",
                                    shape, " needs ", *count));
    UnpackFields(proto, &tensor);
  }
  return std::make_shared<const OnnxTensor>(std::move(tensor));
}

}  // namespace gruserve
