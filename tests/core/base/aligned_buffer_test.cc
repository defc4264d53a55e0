#include "core/base/aligned_buffer.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/resident_bytes.h"

namespace gruserve {
namespace {

constexpr int64_t kHugePage = (int64_t{2} << 20) / static_cast<int64_t>(sizeof(float));

void ExpectZeros(const AlignedBuffer& buffer) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % AlignedBuffer::kAlignment, 0u);
  EXPECT_TRUE(std::all_of(buffer.span().begin(), buffer.span().end(), [](float x) { return x == 0.0F; }));
}

TEST(AlignedBufferTest, ZerosOfEverySizeOnACacheLine) {
  for (const int64_t size : {int64_t{1}, int64_t{16}, int64_t{17}, int64_t{1000}, kHugePage - 1, kHugePage,
                             kHugePage + 1, 3 * kHugePage - 1, 3 * kHugePage, 5 * kHugePage / 2}) {
    // The second may lie where the first was.
    for (int round = 0; round < 2; ++round) {
      AlignedBuffer buffer(size);
      ASSERT_EQ(buffer.size(), size);
      ExpectZeros(buffer);
      std::fill(buffer.span().begin(), buffer.span().end(), 1.0F);
    }
  }
}

TEST(AlignedBufferTest, NothingIsNoMemory) {
  EXPECT_EQ(AlignedBuffer().size(), 0);
  EXPECT_EQ(AlignedBuffer(0).data(), nullptr);
}

TEST(AlignedBufferTest, MovesItsMemoryOfEitherKind) {
  for (const int64_t size : {int64_t{10}, 2 * kHugePage}) {
    AlignedBuffer from(size);
    from.data()[size - 1] = 7.0F;
    AlignedBuffer to(3);
    to = std::move(from);
    EXPECT_EQ(to.size(), size);
    EXPECT_EQ(to.data()[size - 1], 7.0F);
  }
}

TEST(AlignedBufferTest, ALargeOnesMemoryGoesBack) {
  const int64_t before = ResidentBytes();
  {
    std::vector<AlignedBuffer> many;
    for (int i = 0; i < 16; ++i) many.emplace_back(5 * kHugePage / 2);
    for (AlignedBuffer& each : many) std::fill(each.span().begin(), each.span().end(), 1.0F);
    EXPECT_GT(ResidentBytes() - before, 70'000'000);
    // What lies between others, too.
    many.erase(many.begin(), many.end() - 1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(ResidentBytes() - before, 8'000'000);
#endif
  }
}

}  // namespace
}  // namespace gruserve
