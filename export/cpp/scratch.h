// Memory for what lives no longer than one scan. Without an arena vectors allocate as usual; a program that labels
// scan after scan keeps one, and from the second scan on nothing is asked of the system. Part of range_view.cpp and
// of the runtime library.

#ifndef HWNAS_SCRATCH_H_
#define HWNAS_SCRATCH_H_

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace hwnas {

// Hands out memory from one block; what does not fit comes from further blocks, which `reset` replaces by a larger
// one. For one thread at a time.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { release(); }

  void* take(size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > static_cast<size_t>(end_ - next_)) grow(bytes);
    char* const taken = next_;
    next_ += bytes;
    return taken;
  }

  // Memory that was taken last can be taken again; other memory waits for `reset`.
  void give_back(void* taken, size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (static_cast<char*>(taken) + bytes == next_) next_ = static_cast<char*>(taken);
  }

  // Ends the life of everything that was taken. Keeps no more than this for the next scan.
  void reset(size_t most = std::numeric_limits<size_t>::max()) {
    size_t total = 0;
    for (const Block& block : blocks_) total += block.bytes;
    if (total > most) {
      release();
    } else if (blocks_.size() > 1) {
      release();
      grow(total);
    }
    if (!blocks_.empty()) next_ = blocks_[0].start;
  }

 private:
  static constexpr size_t kAlignment = 64, kSmallest = size_t{1} << 20;
  struct Block {
    char* start;
    size_t bytes;
  };

  void grow(size_t bytes) {
    bytes = std::max(bytes, kSmallest);
    blocks_.reserve(blocks_.size() + 1);
    char* const start = static_cast<char*>(::operator new(bytes, std::align_val_t{kAlignment}));
    blocks_.push_back({start, bytes});
    next_ = start;
    end_ = start + bytes;
  }

  void release() {
    for (const Block& block : blocks_) ::operator delete(block.start, std::align_val_t{kAlignment});
    blocks_.clear();
    next_ = end_ = nullptr;
  }

  std::vector<Block> blocks_;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

// The arena that vectors of this thread take from; null for none.
inline Arena*& current_arena() {
  static thread_local Arena* arena = nullptr;
  return arena;
}

// Makes an arena the current one of its thread, and resets it at the end.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena, size_t most = std::numeric_limits<size_t>::max())
      : arena_(arena), most_(most), before_(current_arena()) {
    current_arena() = &arena;
  }
  ~ArenaScope() {
    current_arena() = before_;
    try {
      arena_.reset(most_);
    } catch (const std::bad_alloc&) {  // it stays without a block, and the next scan asks for one
    }
  }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  const size_t most_;
  Arena* const before_;
};

// Of the arena that is current when a container is made, whatever is current later.
template <typename T>
class ScratchAllocator {
 public:
  using value_type = T;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  ScratchAllocator() noexcept : arena_(current_arena()) {}
  template <typename U>
  ScratchAllocator(const ScratchAllocator<U>& other) noexcept : arena_(other.arena()) {}

  T* allocate(size_t count) {
    if (count > static_cast<size_t>(-1) / 2 / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(arena_ ? arena_->take(count * sizeof(T)) : ::operator new(count * sizeof(T)));
  }
  void deallocate(T* taken, size_t count) noexcept {
    if (arena_) {
      arena_->give_back(taken, count * sizeof(T));
    } else {
      ::operator delete(taken);
    }
  }
  Arena* arena() const noexcept { return arena_; }

 private:
  Arena* arena_;
};

template <typename T, typename U>
bool operator==(const ScratchAllocator<T>& one, const ScratchAllocator<U>& other) {
  return one.arena() == other.arena();
}
template <typename T, typename U>
bool operator!=(const ScratchAllocator<T>& one, const ScratchAllocator<U>& other) {
  return !(one == other);
}

template <typename T>
using Vector = std::vector<T, ScratchAllocator<T>>;

// Leaves numbers as they are where no value is given.
template <typename T>
class RoomAllocator : public ScratchAllocator<T> {
 public:
  RoomAllocator() noexcept = default;
  template <typename U>
  RoomAllocator(const RoomAllocator<U>& other) noexcept : ScratchAllocator<T>(other) {}

  template <typename U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <typename U, typename... Values>
  void construct(U* place, Values&&... values) {
    ::new (static_cast<void*>(place)) U(std::forward<Values>(values)...);
  }
};

// A vector of numbers for one value of each point, which `resize` leaves open: all are written before they are read.
template <typename T>
using Room = std::vector<T, RoomAllocator<T>>;

}  // namespace hwnas

#endif  // HWNAS_SCRATCH_H_
