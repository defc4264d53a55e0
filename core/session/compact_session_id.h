// A session's id in few bytes, for millions of them: a minted one is its 16 random bytes,
// and allocates nothing.

#ifndef GRUSERVE_CORE_SESSION_COMPACT_SESSION_ID_H_
#define GRUSERVE_CORE_SESSION_COMPACT_SESSION_ID_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace gruserve {

class CompactSessionId {
 public:
  // Of any id, also of one that no session may have.
  explicit CompactSessionId(std::string_view id);

  std::string str() const;

  // As the ids themselves compare, byte by byte.
  friend std::strong_ordering operator<=>(const CompactSessionId& a, const CompactSessionId& b);

 private:
  using Minted = std::array<uint64_t, 2>;  // The numbers that its digits are.
  struct Chosen {
    std::unique_ptr<char[]> text;
    size_t size = 0;

    std::string_view view() const { return {text.get(), size}; }
  };

  std::variant<Minted, Chosen> id_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_COMPACT_SESSION_ID_H_
