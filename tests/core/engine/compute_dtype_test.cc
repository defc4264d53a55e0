#include "core/engine/compute_dtype.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace gruserve {
namespace {

TEST(ComputeDtypeTest, NamesAreReadBack) {
  EXPECT_STREQ(Name(ComputeDtype::kF32), "f32");
  EXPECT_STREQ(Name(ComputeDtype::kBf16), "bf16");
  EXPECT_EQ(ParseComputeDtype("f32"), ComputeDtype::kF32);
  EXPECT_EQ(ParseComputeDtype("bf16"), ComputeDtype::kBf16);
  for (const char* text : {"", "BF16", "f16", "bf16 "})
    EXPECT_EQ(ParseComputeDtype(text), std::nullopt) << text;
}

TEST(ComputeDtypeTest, EveryProcessorHasF32) { EXPECT_TRUE(CheckProcessorHas(ComputeDtype::kF32).ok()); }

// oneDNN asks for its limit once: the child is a process of its own.
TEST(ComputeDtypeDeathTest, Bf16IsRefusedWithoutItsInstructions) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto ask = [] {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
    const absl::Status status = CheckProcessorHas(ComputeDtype::kBf16);
    std::fputs(status.ToString().c_str(), stderr);
    std::exit(0);
  };
  EXPECT_EXIT(
      ask(), ::testing::ExitedWithCode(0),
      "FAILED_PRECONDITION: compute_dtype is bf16, and this processor has neither AVX512_BF16 nor AMX.*"
      "serve the model with compute_dtype f32");
}

}  // namespace
}  // namespace gruserve
