#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace gruserve {
namespace {

constexpr long kDay = 24 * 60 * 60;

void Require(bool holds) {
  if (!holds) abort();
}

void Extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  Require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

template <typename Write>
void WriteFile(const std::string& path, Write write) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  Require(file != nullptr && write(file) == 1);
  std::fclose(file);
}

}  // namespace

struct TestAuthority::Pair {
  std::unique_ptr<X509, decltype(&X509_free)> certificate{X509_new(), &X509_free};
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("P-256"), &EVP_PKEY_free};
};

TestAuthority::Pair TestAuthority::Make(const std::string& common_name, const std::string& names, int days,
                                        const Pair* issuer) {
  Pair pair;
  X509* const x509 = pair.certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial_);
  X509_gmtime_adj(X509_getm_notBefore(x509), -2 * kDay);
  X509_gmtime_adj(X509_getm_notAfter(x509), days * kDay);
  X509_set_pubkey(x509, pair.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  X509* const by = issuer == nullptr ? x509 : issuer->certificate.get();
  X509_set_issuer_name(x509, X509_get_subject_name(by));
  Extend(x509, by, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (!names.empty()) Extend(x509, by, NID_subject_alt_name, names);
  Require(X509_sign(x509, (issuer == nullptr ? pair : *issuer).key.get(), EVP_sha256()) > 0);
  return pair;
}

TestAuthority::TestAuthority()
    : ca_file_(folder_ / "ca.pem"),
      authority_(std::make_unique<Pair>(Make("test authority", "", /*days=*/1, nullptr))) {
  WriteFile(ca_file_,
            [this](std::FILE* file) { return PEM_write_X509(file, authority_->certificate.get()); });
}

TestAuthority::~TestAuthority() = default;

CertificateFiles TestAuthority::Issue(const std::string& file, const std::string& names, int days) {
  const Pair pair = Make(file, names, days, authority_.get());
  CertificateFiles files{folder_ / (file + ".pem"), folder_ / (file + ".key")};
  WriteFile(files.certificate,
            [&pair](std::FILE* out) { return PEM_write_X509(out, pair.certificate.get()); });
  WriteFile(files.key, [&pair](std::FILE* out) {
    return PEM_write_PrivateKey(out, pair.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return files;
}

}  // namespace gruserve
