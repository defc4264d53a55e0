// An authority made for one test, and certificates of it, as PEM files in a folder of
// their own. Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_CERTIFICATES_H_
#define GRUSERVE_TESTS_SUPPORT_CERTIFICATES_H_

#include <memory>
#include <string>

#include "tests/support/scratch_folder.h"

namespace gruserve {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();

  const std::string& ca_file() const { return ca_file_; }
  // `names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1". `file` is without ending.
  // `days` from now it ends, or ended.
  CertificateFiles Issue(const std::string& file, const std::string& names, int days = 1);

 private:
  struct Pair;
  Pair Make(const std::string& common_name, const std::string& names, int days, const Pair* issuer);

  const ScratchFolder folder_;
  const std::string ca_file_;
  std::unique_ptr<Pair> authority_;
  long serial_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_CERTIFICATES_H_
