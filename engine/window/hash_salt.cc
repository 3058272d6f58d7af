// The salt of all key hashes. In a file of its own: a program that counts instructions links another in its place, so that
// its counts repeat.
#include <random>

#include "engine/window/key_table.h"

namespace weir {

const uint64_t kHashSalt = [] {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}();

}  // namespace weir
