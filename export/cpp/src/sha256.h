// SHA-256 (FIPS 180-4).

#ifndef HWNAS_RUNTIME_SRC_SHA256_H_
#define HWNAS_RUNTIME_SRC_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace hwnas::runtime {

class Sha256 {
 public:
  void update(const void* data, size_t size);
  // 64 hexadecimal digits; nothing may follow.
  std::string hex_digest();

 private:
  void compress(const unsigned char* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> buffer_{};
  uint64_t size_ = 0;
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SHA256_H_
