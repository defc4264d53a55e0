#include "core/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace gruserve {
namespace {

std::string Logged(LogFormat format, LogLevel level, const std::string& value) {
  testing::internal::CaptureStderr();
  ConfigureLog(format, LogLevel::kInfo);
  Log(level, "model failed", {{"model", value}, {"version", 3}});
  ConfigureLog(LogFormat::kText, LogLevel::kInfo);
  return testing::internal::GetCapturedStderr();
}

TEST(LogTest, TextLinesQuoteWhatIsNotPlain) {
  EXPECT_THAT(Logged(LogFormat::kText, LogLevel::kError, "demo"),
              testing::HasSubstr("error model failed model=demo version=3\n"));
  EXPECT_THAT(Logged(LogFormat::kText, LogLevel::kError, "a\nb \"c\""),
              testing::HasSubstr(R"(model="a\nb \"c\"" version=3)"));
}

TEST(LogTest, JsonLinesAreObjectsWhateverTheValueHolds) {
  const std::string line = Logged(LogFormat::kJson, LogLevel::kInfo, "\",\"level\":\"x\n\xff");
  const auto object = nlohmann::json::parse(line);
  EXPECT_EQ(object["level"], "info");
  EXPECT_EQ(object["event"], "model failed");
  EXPECT_EQ(object["version"], "3");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(LogTest, CutsLongValuesAndLeavesOutLowLevels) {
  EXPECT_LT(Logged(LogFormat::kText, LogLevel::kInfo, std::string(5000, 'x')).size(), 1200U);
  EXPECT_EQ(Logged(LogFormat::kText, LogLevel::kDebug, "demo"), "");
}

}  // namespace
}  // namespace gruserve
