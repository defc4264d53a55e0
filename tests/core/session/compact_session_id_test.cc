#include "core/session/compact_session_id.h"

#include <string>
#include <vector>

#include "core/session/session_id.h"
#include "gtest/gtest.h"

namespace gruserve {
namespace {

// Minted ones, those that nearly are, and those that no session may have.
std::vector<std::string> ManyIds() {
  std::vector<std::string> ids = {"",
                                  "a",
                                  "s",
                                  "s-",
                                  "s-0",
                                  "t",
                                  std::string(128, 'x'),
                                  std::string(1000, 'y'),
                                  std::string("a\0b", 3),
                                  std::string("a\0c", 3)};
  for (const char* const bytes : {"00000000000000000000000000000000", "0123456789abcdef0123456789abcdef",
                                  "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde",
                                  "0123456789abcdef0123456789abcdef0", "ffffffffffffffffffffffffffffffff",
                                  "gfffffffffffffffffffffffffffffff"}) {
    ids.push_back(std::string("s-") + bytes);
    ids.push_back(std::string("r-") + bytes);
  }
  for (int i = 0; i < 20; ++i) ids.push_back(MintSessionId());
  return ids;
}

TEST(CompactSessionIdTest, SaysTheIdThatItWasMadeOf) {
  for (const std::string& id : ManyIds()) EXPECT_EQ(CompactSessionId(id).str(), id);
}

TEST(CompactSessionIdTest, ComparesAsTheIdsDo) {
  const std::vector<std::string> ids = ManyIds();
  for (const std::string& a : ids) {
    for (const std::string& b : ids) {
      EXPECT_EQ(CompactSessionId(a) <=> CompactSessionId(b), a <=> b) << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace gruserve
