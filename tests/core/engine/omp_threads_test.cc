#include "core/engine/omp_threads.h"

#include <gtest/gtest.h>
#include <omp.h>

namespace gruserve {
namespace {

TEST(SingleOmpThreadTest, EndsWithItsScope) {
  omp_set_num_threads(3);
  {
    const SingleOmpThread outer;
    EXPECT_EQ(omp_get_max_threads(), 1);
    { const SingleOmpThread inner; }
    EXPECT_EQ(omp_get_max_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
}

}  // namespace
}  // namespace gruserve
