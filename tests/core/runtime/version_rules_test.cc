#include "core/runtime/version_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/model_builder.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

absl::StatusOr<VersionRules> Read(const std::string& text) {
  const ScratchFolder folder;
  WriteFile(folder / "versions.json", text);
  return ReadVersionRules(folder / "versions.json");
}

TEST(VersionRulesTest, PoliciesChooseAmongWhatIsThere) {
  const std::set<int64_t> present = {1, 3, 4, 10};
  EXPECT_THAT(VersionPolicy().Choose(present), ElementsAre(1, 3, 4, 10));
  EXPECT_THAT(ParseVersionPolicy("latest:2")->Choose(present), ElementsAre(4, 10));
  EXPECT_THAT(ParseVersionPolicy("latest:9")->Choose(present), ElementsAre(1, 3, 4, 10));
  EXPECT_THAT(Read(R"({"version_policy": {"specific": [4, 7, 1]}})")->policy->Choose(present),
              ElementsAre(1, 4));
  EXPECT_THAT(Read(R"({"version_policy": {"specific": []}})")->policy->Choose(present), IsEmpty());
  EXPECT_THAT(Read(R"({"version_policy": {"latest": 1}})")->policy->Choose(present), ElementsAre(10));
  EXPECT_THAT(Read(R"({"version_policy": "all"})")->policy->Choose(present), ElementsAre(1, 3, 4, 10));
}

TEST(VersionRulesTest, WithoutAFileOrAKeyNothingIsSaid) {
  const ScratchFolder folder;
  const auto none = ReadVersionRules(folder / "versions.json");
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->policy.has_value());
  EXPECT_TRUE(none->labels.empty());
  EXPECT_FALSE(Read("{}")->policy.has_value());
}

TEST(VersionRulesTest, LabelsNameVersions) {
  const auto rules = Read(R"({"version_labels": {"stable": 3, "canary": 4}})");
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_THAT(rules->labels, ElementsAre(Pair("canary", 4), Pair("stable", 3)));
}

TEST(VersionRulesTest, SessionsAreCarriedWhereItSaysSo) {
  EXPECT_FALSE(Read("{}")->carry_sessions);
  EXPECT_TRUE(Read(R"({"carry_sessions": true})")->carry_sessions);
  EXPECT_FALSE(Read(R"({"carry_sessions": false})")->carry_sessions);
}

TEST(VersionRulesTest, WhatIsNotSoundIsRefusedByKey) {
  const auto refuses = [](const std::string& text, const std::string& message) {
    EXPECT_THAT(Read(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message))) << text;
  };
  refuses("[", "versions.json: is no JSON object");
  refuses("[]", "versions.json: is no JSON object");
  refuses(R"({"policy": "all"})", R"(the key "policy" is not known)");
  refuses(R"({"version_policy": "newest"})", R"(version_policy is "newest", expected "all")");
  refuses(R"({"version_policy": {"latest": 0}})", "version_policy.latest is 0, expected a number");
  refuses(R"({"version_policy": {"latest": 18446744073709551615}})", "version_policy.latest is 1844");
  refuses(R"({"version_policy": {"latest": 1, "specific": [1]}})", "version_policy is {");
  refuses(R"({"version_policy": {"specific": 1}})", "version_policy is {");
  refuses(R"({"version_policy": {"specific": [1.5]}})", "an entry of version_policy.specific is 1.5");
  refuses(R"({"carry_sessions": 1})", "carry_sessions is 1, expected true or false");
  refuses(R"({"version_labels": ["stable"]})", "version_labels is [");
  refuses(R"({"version_labels": {"": 1}})", "an empty label");
  refuses(R"({"version_labels": {"stable": "1"}})", R"(version_labels."stable" is "1", expected a version)");
}

TEST(VersionRulesTest, WordsOfTheFlagThatAreNoPolicy) {
  for (const char* text : {"", "latest", "latest:", "latest:0", "latest:-1", "latest:2x", "specific:1"})
    EXPECT_FALSE(ParseVersionPolicy(text).has_value()) << text;
}

}  // namespace
}  // namespace gruserve
