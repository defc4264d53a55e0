#include "core/runtime/state_slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <new>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/rounding.h"

namespace gruserve {
namespace {

constexpr int64_t kFloatsPerLine = 16;  // 64 bytes.
constexpr int64_t kChunkBytes = 256 * 1024;
constexpr int64_t kMinRowsPerChunk = 4;

}  // namespace

// Chunks come from mmap, not malloc: malloc learns to keep freed blocks of this
// size, and their memory would stay with the process.
struct StateSlab::Rooms {
  struct Chunk {
    float* base = nullptr;
    int64_t fresh = 0;           // Rows from here on were never handed out.
    int64_t live = 0;            // Rows that somebody holds.
    float* free_head = nullptr;  // Returned rows; each begins with its successor.
  };

  explicit Rooms(int64_t stride)
      : row_stride(stride),
        rows_per_chunk(std::max(kMinRowsPerChunk, kChunkBytes / (stride * int64_t{sizeof(float)}))),
        chunk_bytes(static_cast<size_t>(rows_per_chunk * stride) * sizeof(float)) {}

  ~Rooms() {
    absl::MutexLock lock(&mu);
    assert(full.empty());
    for (const Chunk& chunk : partial) {
      assert(chunk.live == 0);
      munmap(chunk.base, chunk_bytes);
    }
  }

  void AddChunk() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    void* memory = mmap(nullptr, chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    partial.push_front(Chunk{.base = static_cast<float*>(memory)});
    by_base[partial.front().base] = partial.begin();
  }

  // The chunk that `row` lies in.
  std::list<Chunk>::iterator ChunkOf(float* row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    auto above = by_base.upper_bound(row);
    assert(above != by_base.begin());
    return std::prev(above)->second;
  }

  // Constant after construction.
  const int64_t row_stride;
  const int64_t rows_per_chunk;
  const size_t chunk_bytes;

  absl::Mutex mu;
  // Chunks with room, those in use first, and at most one that is wholly free.
  std::list<Chunk> partial ABSL_GUARDED_BY(mu);
  std::list<Chunk> full ABSL_GUARDED_BY(mu);
  std::map<float*, std::list<Chunk>::iterator, std::less<>> by_base ABSL_GUARDED_BY(mu);
};

StateSlab::StateSlab(int64_t row_size)
    : row_stride_(RoundUp(row_size, kFloatsPerLine)), rooms_(std::make_unique<Rooms>(row_stride_)) {
  assert(row_size >= 1);
}

StateSlab::~StateSlab() = default;

float* StateSlab::Allocate() {
  float* row = nullptr;
  {
    absl::MutexLock lock(&rooms_->mu);
    if (rooms_->partial.empty()) rooms_->AddChunk();
    Rooms::Chunk& chunk = rooms_->partial.front();
    if (chunk.free_head != nullptr) {
      row = chunk.free_head;
      std::memcpy(&chunk.free_head, row, sizeof(float*));
    } else {
      row = chunk.base + chunk.fresh++ * row_stride_;
    }
    if (++chunk.live == rooms_->rows_per_chunk) {
      rooms_->full.splice(rooms_->full.begin(), rooms_->partial, rooms_->partial.begin());
    }
  }
  std::memset(row, 0, static_cast<size_t>(row_stride_) * sizeof(float));
  return row;
}

void StateSlab::Free(float* row) {
  absl::MutexLock lock(&rooms_->mu);
  const auto chunk = rooms_->ChunkOf(row);
  if (chunk->live == rooms_->rows_per_chunk) {
    rooms_->partial.splice(rooms_->partial.begin(), rooms_->full, chunk);
  }
  std::memcpy(row, &chunk->free_head, sizeof(float*));
  chunk->free_head = row;
  if (--chunk->live > 0) return;
  // The spare, if there is one, is last: allocation comes to it last.
  if (auto last = std::prev(rooms_->partial.end()); last != chunk && last->live == 0) {
    rooms_->by_base.erase(chunk->base);
    munmap(chunk->base, rooms_->chunk_bytes);
    rooms_->partial.erase(chunk);
  } else {
    rooms_->partial.splice(rooms_->partial.end(), rooms_->partial, chunk);
  }
}

}  // namespace gruserve
