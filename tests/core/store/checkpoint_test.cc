#include "core/store/checkpoint.h"

#include <gmock/gmock.h>
#include <xxhash.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

Checkpoint Sample() {
  Checkpoint checkpoint;
  checkpoint.model_name = "demo";
  checkpoint.model_version = 3;
  checkpoint.weights_sha256 = std::string(64, 'a');
  checkpoint.kernel_fingerprint = "oneDNN 2.6.3 f32";
  checkpoint.batch_size = 2;
  checkpoint.step = 41;
  checkpoint.epoch = 7;
  checkpoint.input_digest = 0x0123456789abcdef;
  checkpoint.remember_steps = 2;
  checkpoint.durability = Durability::kSync;
  checkpoint.state_shapes = {{"a", {1, 2, 3}}, {"b", {2, 2, 1}}};
  checkpoint.state = {1, -2, 3, -4, 5, -6, 0.5f, -0.0f, std::numeric_limits<float>::infinity(), 1e-42f};
  checkpoint.remembered = {{{1, 2}, {}}, {{3, 4}, {5}}};
  checkpoint.keep_states = 3;
  checkpoint.kept = {{38, std::vector<float>(10, 2)}, {41, checkpoint.state}};
  return checkpoint;
}

// Where the texts of Sample() lie.
constexpr size_t kNameAt = 65;
constexpr size_t kTensorsAt = kNameAt + (2 + 4) + (2 + 64) + (2 + 16);
constexpr size_t kRankAt = kTensorsAt + 2 + 2 + 1;
constexpr size_t kDimsAt = kRankAt + 1;
constexpr size_t kRememberedAt = kDimsAt + 24 + (2 + 1 + 1 + 24) + 40;

constexpr size_t kKeptAt = kRememberedAt + 4 + (8 + 8 + 8) + (8 + 8 + 8 + 4);

template <typename Number>
void Poke(std::string* bytes, size_t at, Number number) {
  ASSERT_LE(at + sizeof(number), bytes->size());
  std::memcpy(bytes->data() + at, &number, sizeof(number));
}

// Makes length and checksum right again.
std::string Sealed(std::string bytes) {
  Poke(&bytes, 12, uint64_t{bytes.size()});
  Poke(&bytes, bytes.size() - 8, uint64_t{XXH3_64bits(bytes.data(), bytes.size() - 8)});
  return bytes;
}

TEST(CheckpointTest, ComesBackAsItWas) {
  const absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(EncodeCheckpoint(Sample()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, Sample());
}

TEST(CheckpointTest, KeepsTheBitsOfANan) {
  Checkpoint checkpoint = Sample();
  const uint32_t bits = 0x7fc12345;
  std::memcpy(&checkpoint.state[0], &bits, sizeof(bits));
  const absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(EncodeCheckpoint(checkpoint));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(std::memcmp(decoded->state.data(), checkpoint.state.data(), 40), 0);
}

TEST(CheckpointTest, AnEmptyOneComesBack) {
  const absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(EncodeCheckpoint(Checkpoint()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, Checkpoint());
}

// The form is a promise: these bytes are read by every later version.
TEST(CheckpointTest, LiesAsDocumented) {
  const std::string bytes = EncodeCheckpoint(Sample());
  EXPECT_EQ(bytes.substr(0, 8), "GRUSCKPT");
  EXPECT_EQ(bytes.substr(8, 4), std::string("\2\0\0\0", 4));
  EXPECT_EQ(bytes.substr(20, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(36, 8), std::string("\51\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(52, 8), "\xef\xcd\xab\x89\x67\x45\x23\x01");
  EXPECT_EQ(bytes.substr(kNameAt, 6), std::string("\4\0demo", 6));
  EXPECT_EQ(bytes.substr(kTensorsAt, 6), std::string("\2\0\1\0a\3", 6));
  EXPECT_EQ(bytes.substr(kRememberedAt, 5), std::string("\2\0\0\0\2", 5));
  EXPECT_EQ(bytes.substr(kKeptAt, 10), std::string("\3\0\0\0\2\0\0\0\46\0", 10));
  EXPECT_EQ(bytes, Sealed(bytes));
}

TEST(CheckpointTest, VersionOneHasNoKeptStates) {
  std::string bytes = EncodeCheckpoint(Sample());
  bytes.erase(kKeptAt, bytes.size() - 8 - kKeptAt);
  Poke(&bytes, 8, 1u);
  Checkpoint expected = Sample();
  expected.keep_states = 0;
  expected.kept.clear();
  const absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(Sealed(bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, expected);
}

TEST(CheckpointTest, EveryPrefixIsRefused) {
  const std::string bytes = EncodeCheckpoint(Sample());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeCheckpoint(bytes.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("checkpoint.")))
        << size;
  }
}

TEST(CheckpointTest, EveryFlippedBitIsRefused) {
  const std::string bytes = EncodeCheckpoint(Sample());
  for (size_t i = 0; i < 8 * bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(DecodeCheckpoint(flipped).ok()) << i;
  }
}

// Also where somebody made the checksum right: whatever comes is answered, under
// ASan without a byte read beyond the end.
TEST(CheckpointTest, EverySealedByteIsAnswered) {
  const std::string bytes = EncodeCheckpoint(Sample());
  for (size_t at = 20; at < bytes.size() - 8; ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      const absl::StatusOr<Checkpoint> decoded = DecodeCheckpoint(Sealed(changed));
      if (!decoded.ok()) continue;
      EXPECT_EQ(EncodeCheckpoint(*decoded), Sealed(changed)) << at;
    }
  }
}

struct Hostile {
  const char* what;
  std::function<void(std::string*)> change;
  const char* message;
};

TEST(CheckpointTest, HostileBytesAreRefusedByName) {
  const Hostile table[] = {
      {"later version", [](std::string* b) { Poke(b, 8, 3u); },
       "checkpoint.version is 3, this server reads versions 1 to 2"},
      {"no version", [](std::string* b) { Poke(b, 8, 0u); }, "checkpoint.version is 0"},
      {"many kept", [](std::string* b) { Poke(b, kKeptAt + 4, 0xffffffffu); }, "checkpoint.kept[2].step"},
      {"kept too late", [](std::string* b) { Poke(b, kKeptAt + 8, int64_t{42}); },
       "checkpoint.kept[0].step is 42, must be 0 to 41"},
      {"kept out of order", [](std::string* b) { Poke(b, kKeptAt + 8, int64_t{41}); },
       "checkpoint.kept[1].step is 41, must be 42 to 41"},
      {"magic", [](std::string* b) { (*b)[0] = 'X'; }, "checkpoint.magic"},
      {"model version", [](std::string* b) { Poke(b, 20, int64_t{0}); }, "checkpoint.model_version is 0"},
      {"batch", [](std::string* b) { Poke(b, 28, int64_t{-1}); }, "checkpoint.batch_size is -1"},
      {"step", [](std::string* b) { Poke(b, 36, int64_t{-1}); }, "checkpoint.step is -1"},
      {"last step", [](std::string* b) { Poke(b, 36, (int64_t{1} << 53) + 1); },
       "checkpoint.step is 9007199254740993, must be 0 to 9007199254740992"},
      {"long name", [](std::string* b) { Poke(b, kNameAt, uint16_t{65535}); },
       "checkpoint.model_name needs 65535"},
      {"rank", [](std::string* b) { Poke(b, kRankAt, uint8_t{9}); },
       "state_tensors[0].rank is 9, must be at most 8"},
      {"negative dim", [](std::string* b) { Poke(b, kDimsAt, int64_t{-3}); },
       "state_tensors[0].dims are negative"},
      {"huge dim", [](std::string* b) { Poke(b, kDimsAt, int64_t{1} << 62); },
       "state_tensors[0].dims are negative"},
      {"large dim", [](std::string* b) { Poke(b, kDimsAt, int64_t{1} << 40); }, "checkpoint.state needs"},
      {"durability", [](std::string* b) { Poke(b, 64, uint8_t{4}); }, "checkpoint.durability is 4"},
      {"many remembered", [](std::string* b) { Poke(b, kRememberedAt, 0xffffffffu); },
       "checkpoint.remembered has 4294967295 responses, the steps are 41"},
      {"more remembered", [](std::string* b) { Poke(b, kRememberedAt, 3u); }, "checkpoint.remembered[2]"},
      {"huge output", [](std::string* b) { Poke(b, kRememberedAt + 4, ~uint64_t{0}); },
       "remembered[0].output needs"},
      {"trailing", [](std::string* b) { b->insert(b->size() - 8, "xyz"); },
       "checkpoint.end is followed by 3 bytes"},
  };
  for (const Hostile& hostile : table) {
    std::string bytes = EncodeCheckpoint(Sample());
    hostile.change(&bytes);
    EXPECT_THAT(DecodeCheckpoint(Sealed(bytes)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hostile.message)))
        << hostile.what;
  }
}

TEST(CheckpointTest, TrailingBytesAndABadChecksumAreNamed) {
  std::string bytes = EncodeCheckpoint(Sample());
  EXPECT_THAT(DecodeCheckpoint(bytes + "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("checkpoint.length is")));
  bytes[70] = static_cast<char>(bytes[70] ^ 1);
  EXPECT_THAT(DecodeCheckpoint(bytes),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("checkpoint.checksum does not match")));
}

}  // namespace
}  // namespace gruserve
