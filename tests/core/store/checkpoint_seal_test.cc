#include "core/store/checkpoint_seal.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

const std::string kKey(32, 'k');

TEST(CheckpointSealTest, OpensWhatItSealed) {
  const CheckpointSeal seal = CheckpointSeal::Create(kKey).value();
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(1000, '\0')}) {
    const std::string sealed = seal.Seal(bytes).value();
    EXPECT_EQ(sealed.size(), bytes.size() + 44);
    EXPECT_EQ(seal.Open(sealed).value(), bytes);
  }
}

// RFC 2104 over the bytes that the header says, by another program (openssl dgst).
TEST(CheckpointSealTest, HasTheDocumentedBytes) {
  const std::string sealed = CheckpointSeal::Create(kKey).value().Seal("abc").value();
  EXPECT_EQ(sealed.substr(0, 15), std::string("GRUSSEAL\1\0\0\0abc", 15));
  std::string hex;
  for (const char byte : sealed.substr(15)) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  EXPECT_EQ(hex, "5d6c304049adac0a76c823f1ac1d62d2a80cfd8d8160713466c12ce35efd0965");
}

TEST(CheckpointSealTest, RefusesEveryOtherByte) {
  const CheckpointSeal seal = CheckpointSeal::Create(kKey).value();
  const std::string sealed = seal.Seal("a checkpoint").value();
  for (size_t at = 0; at < sealed.size(); ++at) {
    std::string bad = sealed;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_THAT(seal.Open(bad).status(),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("checkpoint")))
        << at;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(seal.Open(sealed.substr(0, size)).status(),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("checkpoint")));
  }
  EXPECT_THAT(seal.Open(sealed + "x").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("checkpoint")));
  EXPECT_THAT(CheckpointSeal::Create(kKey + "k").value().Open(sealed).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not of this server's key")));
}

TEST(CheckpointSealTest, WithoutAKeyNothingIsSealed) {
  const CheckpointSeal none;
  EXPECT_EQ(none.Seal("bytes").value(), "bytes");
  EXPECT_EQ(none.Open("bytes").value(), "bytes");
  const std::string sealed = CheckpointSeal::Create(kKey).value().Seal("bytes").value();
  EXPECT_THAT(none.Open(sealed).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no key for it")));
}

TEST(CheckpointSealTest, KeysComeFromFiles) {
  const ScratchFolder folder;
  std::ofstream(folder / "key") << kKey << "\r\n";
  const std::string sealed = CheckpointSeal::Create(kKey).value().Seal("bytes").value();
  EXPECT_EQ(CheckpointSeal::FromFile((folder / "key").string()).value().Open(sealed).value(), "bytes");
  std::ofstream(folder / "short") << std::string(31, 'k');
  EXPECT_THAT(CheckpointSeal::FromFile((folder / "short").string()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("31 bytes, at least 32 are wanted")));
  EXPECT_THAT(CheckpointSeal::FromFile((folder / "none").string()).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

}  // namespace
}  // namespace gruserve
