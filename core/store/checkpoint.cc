#include "core/store/checkpoint.h"

#include <xxhash.h>

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

static_assert(std::endian::native == std::endian::little, "floats are copied as they lie in memory");

constexpr std::string_view kMagic = "GRUSCKPT";
constexpr uint32_t kVersion = 2;
constexpr uint32_t kOldestVersion = 1;  // Without kept states.
constexpr size_t kHeaderBytes = 65;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kMaxRank = 8;
// Steps are counted on from there, for as long as anyone steps.
constexpr int64_t kLastStep = int64_t{1} << 53;

template <typename Number>
void Put(std::string* bytes, Number number) {
  bytes->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void PutText(std::string* bytes, const std::string& text) {
  assert(text.size() <= std::numeric_limits<uint16_t>::max());
  Put(bytes, static_cast<uint16_t>(text.size()));
  bytes->append(text);
}

void PutFloats(std::string* bytes, const std::vector<float>& values) {
  bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

absl::Status Wrong(const std::string& field, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("checkpoint.", field, " ", what));
}

// Takes values off the front of bytes that it does not trust.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  size_t left() const { return bytes_.size(); }

  template <typename Number>
  absl::Status Take(const std::string& field, Number* number) {
    static_assert(std::is_integral_v<Number>);
    GRUSERVE_RETURN_IF_ERROR(Need(field, sizeof(Number), 1));
    std::memcpy(number, bytes_.data(), sizeof(Number));
    bytes_.remove_prefix(sizeof(Number));
    return absl::OkStatus();
  }

  absl::Status TakeText(const std::string& field, std::string* text) {
    uint16_t size = 0;
    GRUSERVE_RETURN_IF_ERROR(Take(field, &size));
    GRUSERVE_RETURN_IF_ERROR(Need(field, size, 1));
    text->assign(bytes_.data(), size);
    bytes_.remove_prefix(size);
    return absl::OkStatus();
  }

  absl::Status TakeFloats(const std::string& field, uint64_t count, std::vector<float>* values) {
    GRUSERVE_RETURN_IF_ERROR(Need(field, count, sizeof(float)));
    values->resize(count);
    if (count > 0) std::memcpy(values->data(), bytes_.data(), count * sizeof(float));
    bytes_.remove_prefix(count * sizeof(float));
    return absl::OkStatus();
  }

 private:
  absl::Status Need(const std::string& field, uint64_t count, uint64_t size) const {
    const uint64_t most = bytes_.size() / size + (Seeded(Bug::kCheckpointHasAnElementMore) ? 1 : 0);
    if (count <= most) return absl::OkStatus();
    return Wrong(field, absl::StrCat("needs ", count, " elements of ", size, " bytes, ", bytes_.size(),
                                     " bytes are left"));
  }

  std::string_view bytes_;
};

// What can be said of the bytes before any field is believed.
absl::Status CheckFrame(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes) {
    return Wrong("length",
                 absl::StrCat("is ", bytes.size(), ", expected at least ", kHeaderBytes + kChecksumBytes));
  }
  if (bytes.substr(0, kMagic.size()) != kMagic) return Wrong("magic", "is not that of a checkpoint");
  Reader reader(bytes.substr(kMagic.size()));
  uint32_t version = 0;
  uint64_t length = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take("version", &version));
  if (version < kOldestVersion || version > kVersion) {
    return Wrong("version", absl::StrCat("is ", version, ", this server reads versions ", kOldestVersion,
                                         " to ", kVersion));
  }
  GRUSERVE_RETURN_IF_ERROR(reader.Take("length", &length));
  if (length != bytes.size()) {
    return Wrong("length", absl::StrCat("is ", length, ", ", bytes.size(), " bytes are there"));
  }
  uint64_t checksum = 0;
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  std::memcpy(&checksum, bytes.data() + body.size(), sizeof(checksum));
  if (XXH3_64bits(body.data(), body.size()) != checksum) {
    return Wrong("checksum", "does not match: the bytes were damaged");
  }
  return absl::OkStatus();
}

absl::Status TakeHeader(Reader& reader, Checkpoint* checkpoint) {
  GRUSERVE_RETURN_IF_ERROR(reader.Take("model_version", &checkpoint->model_version));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("batch_size", &checkpoint->batch_size));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("step", &checkpoint->step));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("epoch", &checkpoint->epoch));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("input_digest", &checkpoint->input_digest));
  uint8_t durability = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take("remember_steps", &checkpoint->remember_steps));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("durability", &durability));
  if (durability < 1 || durability > 3) {
    return Wrong("durability", absl::StrCat("is ", static_cast<int>(durability), ", must be 1, 2 or 3"));
  }
  checkpoint->durability = static_cast<Durability>(durability);
  if (checkpoint->model_version < 1) {
    return Wrong("model_version", absl::StrCat("is ", checkpoint->model_version, ", must be at least 1"));
  }
  if (checkpoint->batch_size < 0) {
    return Wrong("batch_size", absl::StrCat("is ", checkpoint->batch_size, ", must be at least 0"));
  }
  if (checkpoint->step < 0 || checkpoint->step > kLastStep) {
    return Wrong("step", absl::StrCat("is ", checkpoint->step, ", must be 0 to ", kLastStep));
  }
  GRUSERVE_RETURN_IF_ERROR(reader.TakeText("model_name", &checkpoint->model_name));
  GRUSERVE_RETURN_IF_ERROR(reader.TakeText("weights_sha256", &checkpoint->weights_sha256));
  return reader.TakeText("kernel_fingerprint", &checkpoint->kernel_fingerprint);
}

absl::Status TakeShape(Reader& reader, const std::string& field, StateTensorShape* shape) {
  GRUSERVE_RETURN_IF_ERROR(reader.TakeText(absl::StrCat(field, ".name"), &shape->name));
  uint8_t rank = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take(absl::StrCat(field, ".rank"), &rank));
  if (rank > kMaxRank) {
    return Wrong(absl::StrCat(field, ".rank"),
                 absl::StrCat("is ", static_cast<int>(rank), ", must be at most ", kMaxRank));
  }
  for (size_t i = 0; i < rank; ++i) {
    GRUSERVE_RETURN_IF_ERROR(reader.Take(absl::StrCat(field, ".dims"), &shape->dims.emplace_back()));
  }
  return absl::OkStatus();
}

absl::Status TakeState(Reader& reader, Checkpoint* checkpoint) {
  uint16_t count = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take("state_tensors", &count));
  int64_t elements = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("state_tensors[", i, "]");
    StateTensorShape shape;
    GRUSERVE_RETURN_IF_ERROR(TakeShape(reader, field, &shape));
    const auto size = CheckedProduct(shape.dims);
    const auto sum = size.has_value() ? CheckedAdd(elements, *size) : std::nullopt;
    if (!sum.has_value()) return Wrong(absl::StrCat(field, ".dims"), "are negative or too large");
    elements = *sum;
    checkpoint->state_shapes.push_back(std::move(shape));
  }
  return reader.TakeFloats("state", static_cast<uint64_t>(elements), &checkpoint->state);
}

absl::Status TakeRemembered(Reader& reader, Checkpoint* checkpoint) {
  uint32_t count = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take("remembered", &count));
  if (count > checkpoint->step) {
    return Wrong("remembered", absl::StrCat("has ", count, " responses, the steps are ", checkpoint->step));
  }
  for (uint32_t i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("remembered[", i, "]");
    RememberedResponse response;
    uint64_t size = 0;
    GRUSERVE_RETURN_IF_ERROR(reader.Take(absl::StrCat(field, ".output"), &size));
    GRUSERVE_RETURN_IF_ERROR(reader.TakeFloats(absl::StrCat(field, ".output"), size, &response.output));
    GRUSERVE_RETURN_IF_ERROR(reader.Take(absl::StrCat(field, ".state"), &size));
    GRUSERVE_RETURN_IF_ERROR(reader.TakeFloats(absl::StrCat(field, ".state"), size, &response.state));
    checkpoint->remembered.push_back(std::move(response));
  }
  return absl::OkStatus();
}

absl::Status TakeKept(Reader& reader, Checkpoint* checkpoint) {
  uint32_t count = 0;
  GRUSERVE_RETURN_IF_ERROR(reader.Take("keep_states", &checkpoint->keep_states));
  GRUSERVE_RETURN_IF_ERROR(reader.Take("kept", &count));
  for (uint32_t i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("kept[", i, "]");
    KeptState kept;
    GRUSERVE_RETURN_IF_ERROR(reader.Take(absl::StrCat(field, ".step"), &kept.step));
    const int64_t least = checkpoint->kept.empty() ? 0 : checkpoint->kept.back().step + 1;
    if (kept.step < least || kept.step > checkpoint->step) {
      return Wrong(absl::StrCat(field, ".step"),
                   absl::StrCat("is ", kept.step, ", must be ", least, " to ", checkpoint->step));
    }
    GRUSERVE_RETURN_IF_ERROR(
        reader.TakeFloats(absl::StrCat(field, ".state"), checkpoint->state.size(), &kept.state));
    checkpoint->kept.push_back(std::move(kept));
  }
  return absl::OkStatus();
}

uint32_t VersionOf(std::string_view bytes) {
  uint32_t version = 0;
  std::memcpy(&version, bytes.data() + kMagic.size(), sizeof(version));
  return version;
}

}  // namespace

std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  std::string bytes(kMagic);
  Put(&bytes, kVersion);
  Put(&bytes, uint64_t{0});  // The length, once it is known.
  Put(&bytes, checkpoint.model_version);
  Put(&bytes, checkpoint.batch_size);
  Put(&bytes, checkpoint.step);
  Put(&bytes, checkpoint.epoch);
  Put(&bytes, checkpoint.input_digest);
  Put(&bytes, checkpoint.remember_steps);
  Put(&bytes, static_cast<uint8_t>(checkpoint.durability));
  PutText(&bytes, checkpoint.model_name);
  PutText(&bytes, checkpoint.weights_sha256);
  PutText(&bytes, checkpoint.kernel_fingerprint);
  Put(&bytes, static_cast<uint16_t>(checkpoint.state_shapes.size()));
  for (const StateTensorShape& shape : checkpoint.state_shapes) {
    PutText(&bytes, shape.name);
    Put(&bytes, static_cast<uint8_t>(shape.dims.size()));
    for (const int64_t dim : shape.dims) Put(&bytes, dim);
  }
  PutFloats(&bytes, checkpoint.state);
  Put(&bytes, static_cast<uint32_t>(checkpoint.remembered.size()));
  for (const RememberedResponse& response : checkpoint.remembered) {
    Put(&bytes, uint64_t{response.output.size()});
    PutFloats(&bytes, response.output);
    Put(&bytes, uint64_t{response.state.size()});
    PutFloats(&bytes, response.state);
  }
  Put(&bytes, checkpoint.keep_states);
  Put(&bytes, static_cast<uint32_t>(checkpoint.kept.size()));
  for (const KeptState& kept : checkpoint.kept) {
    Put(&bytes, kept.step);
    PutFloats(&bytes, kept.state);
  }
  const uint64_t length = bytes.size() + kChecksumBytes;
  std::memcpy(bytes.data() + kMagic.size() + sizeof(kVersion), &length, sizeof(length));
  Put(&bytes, uint64_t{XXH3_64bits(bytes.data(), bytes.size())});
  return bytes;
}

absl::StatusOr<Checkpoint> DecodeCheckpoint(std::string_view bytes) {
  GRUSERVE_RETURN_IF_ERROR(CheckFrame(bytes));
  constexpr size_t kFrameBytes = 20;
  Reader reader(bytes.substr(kFrameBytes, bytes.size() - kFrameBytes - kChecksumBytes));
  Checkpoint checkpoint;
  GRUSERVE_RETURN_IF_ERROR(TakeHeader(reader, &checkpoint));
  GRUSERVE_RETURN_IF_ERROR(TakeState(reader, &checkpoint));
  GRUSERVE_RETURN_IF_ERROR(TakeRemembered(reader, &checkpoint));
  if (VersionOf(bytes) > kOldestVersion) GRUSERVE_RETURN_IF_ERROR(TakeKept(reader, &checkpoint));
  if (reader.left() != 0) {
    return Wrong("end", absl::StrCat("is followed by ", reader.left(), " bytes that belong to nothing"));
  }
  return checkpoint;
}

}  // namespace gruserve
