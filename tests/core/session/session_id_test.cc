#include "core/session/session_id.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

TEST(SessionIdTest, GoodIds) {
  for (const std::string& id : {std::string("a"), std::string("0"), std::string("A.b_c-9"), std::string("42"),
                                std::string(128, 'x')}) {
    EXPECT_TRUE(CheckSessionId(id).ok()) << id;
  }
}

TEST(SessionIdTest, BadIdsAreInvalidArgumentAndEscaped) {
  for (const std::string& id : {std::string(), std::string(".a"), std::string("-a"), std::string("_a"),
                                std::string("a b"), std::string("a/b"), std::string("a\n"),
                                std::string("a\0b", 3), std::string("\xc3\xa4"), std::string(129, 'x')}) {
    const absl::Status status = CheckSessionId(id);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_THAT(std::string(status.message()), HasSubstr("session_id"));
    EXPECT_EQ(status.message().find('\n'), std::string::npos);
  }
}

TEST(SessionIdTest, AHugeIdIsNotRepeatedWhole) {
  EXPECT_LT(CheckSessionId(std::string(1 << 20, 'x')).message().size(), 256u);
}

TEST(SessionIdTest, MintedIdsAreGoodRecognisedAndDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = MintSessionId();
    EXPECT_TRUE(CheckSessionId(id).ok());
    EXPECT_TRUE(IsMintedSessionId(id)) << id;
    EXPECT_TRUE(ids.insert(id).second);
  }
}

TEST(SessionIdTest, OtherFormsAreNotMinted) {
  EXPECT_FALSE(IsMintedSessionId("s-"));
  EXPECT_FALSE(IsMintedSessionId("s-" + std::string(31, 'a')));
  EXPECT_FALSE(IsMintedSessionId("s-" + std::string(33, 'a')));
  EXPECT_FALSE(IsMintedSessionId("s-" + std::string(32, 'g')));
  EXPECT_FALSE(IsMintedSessionId("s-" + std::string(32, 'A')));
  EXPECT_FALSE(IsMintedSessionId("t-" + std::string(32, 'a')));
}

}  // namespace
}  // namespace gruserve
