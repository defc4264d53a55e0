#include "client/cli/progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace gruserve::client {
namespace {

TEST(ProgressTest, ShowsShareRateAndTimeLeft) {
  std::ostringstream err;
  Progress progress({.what = "streaming", .total = 400}, &err);
  progress.Add(100);
  EXPECT_EQ(progress.Line(absl::Seconds(2)),
            "streaming [#######-----------------------]  25% 100/400 steps, 50/s, 6 s left");
}

TEST(ProgressTest, ShowsTheTimeWhereNothingElseIsKnown) {
  std::ostringstream err;
  const Progress progress({.what = "inferring"}, &err);
  EXPECT_EQ(progress.Line(absl::Seconds(3)), "inferring, 3 s");
}

TEST(ProgressTest, IsSilentOnShortWorkAndWhereDisabled) {
  std::ostringstream err;
  { const Progress progress({.enabled = true, .what = "x", .delay = absl::Hours(1)}, &err); }
  { const Progress progress({.enabled = false, .what = "x", .delay = absl::ZeroDuration()}, &err); }
  EXPECT_EQ(err.str(), "");
}

}  // namespace
}  // namespace gruserve::client
