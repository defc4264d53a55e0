#include "server/tenants.h"

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <grpcpp/test/server_context_test_spouse.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

Tenant* Caller(Tenants& tenants, const std::string& key, const std::string& value) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse spouse(&context);
  spouse.AddClientMetadata(key, value);
  return tenants.Of(context);
}

TEST(TenantsTest, AreWhoTheProxySaysWithTheOperatorsWeights) {
  Tenants tenants("x-tenant", *ParseTenantWeights("acme=3,b=c=2"));
  Tenant* const acme = Caller(tenants, "x-tenant", "acme");
  ASSERT_NE(acme, nullptr);
  EXPECT_EQ(acme->weight, 3);
  EXPECT_EQ(Caller(tenants, "x-tenant", "acme"), acme);
  EXPECT_EQ(Caller(tenants, "x-tenant", "b=c")->weight, 2);
  EXPECT_EQ(Caller(tenants, "x-tenant", "other")->weight, 1);
}

TEST(TenantsTest, ACallWithoutANameIsNobodys) {
  Tenants tenants("x-tenant", {});
  EXPECT_EQ(Caller(tenants, "x-other", "acme"), nullptr);
  EXPECT_EQ(Caller(tenants, "x-tenant", ""), nullptr);
  EXPECT_EQ(Caller(tenants, "x-tenant", std::string(129, 'a')), nullptr);
  Tenants none("", {});
  EXPECT_EQ(Caller(none, "x-tenant", "acme"), nullptr);
}

TEST(TenantsTest, NewNamesAreBoundedAndTheOperatorsAreNot) {
  Tenants tenants("x-tenant", {{"acme", 3}});
  for (size_t i = 0; i < Tenants::kMostTenants; ++i) EXPECT_NE(tenants.Named(absl::StrCat(i)), nullptr);
  EXPECT_EQ(tenants.Named("late"), nullptr);
  EXPECT_NE(tenants.Named("0"), nullptr);
  EXPECT_NE(tenants.Named("acme"), nullptr);
}

TEST(TenantWeightsTest, MistakesAreNamed) {
  EXPECT_TRUE(ParseTenantWeights("")->empty());
  for (const char* text : {"acme", "=1", "acme=", "acme=x", "acme=0", "acme=1001", "a=1,", ",a=1"}) {
    EXPECT_THAT(ParseTenantWeights(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(absl::StrCat("--tenant-weights is ", text, ", "))));
  }
  EXPECT_THAT(ParseTenantWeights("a=1,a=2"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names a twice")));
}

}  // namespace
}  // namespace gruserve::server
