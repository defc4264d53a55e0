#include "core/engine/bucket_set.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"
#include "core/engine/bucket_trial.h"
#include "core/engine/column_trial.h"

namespace gruserve {
namespace {

// What a call costs besides its rows, in rows of one step: measured between 1
// (hidden 256) and 2.5 (hidden 64).
constexpr int64_t kRowsPerCall = 2;

// Whether `a` costs less than `b` for each step.
bool Cheaper(const Bucket& a, const Bucket& b) {
  const int64_t cost_a = (a.batch_size * a.time_steps + kRowsPerCall) * b.time_steps;
  const int64_t cost_b = (b.batch_size * b.time_steps + kRowsPerCall) * a.time_steps;
  return cost_a < cost_b;
}

// Every shape's answer. Different shapes are tried at the same time; the same
// shape once, with the later callers waiting.
class ChoiceTable {
 public:
  absl::StatusOr<std::shared_ptr<const BucketSet>> Find(const GruLayerShape& shape) ABSL_LOCKS_EXCLUDED(mu_) {
    const std::shared_ptr<Choice> choice = FindChoice(shape);
    const absl::MutexLock lock(&choice->mu);
    if (choice->buckets == nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(std::vector<Bucket> equal, FindEqualBuckets(shape));
      GRUSERVE_ASSIGN_OR_RETURN(std::shared_ptr<const SummationOrder> columns, FindColumnOrder(shape, equal));
      choice->buckets = std::make_shared<const BucketSet>(std::move(equal), std::move(columns));
    }
    return choice->buckets;
  }

 private:
  struct Choice {
    absl::Mutex mu;
    std::shared_ptr<const BucketSet> buckets ABSL_GUARDED_BY(mu);  // Null until tried with success.
  };
  using Key = std::tuple<CellKind, int64_t, int64_t, ComputeDtype>;

  std::shared_ptr<Choice> FindChoice(const GruLayerShape& shape) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    std::shared_ptr<Choice>& choice =
        choices_[Key(shape.cell_kind, shape.input_size, shape.hidden_size, shape.dtype)];
    if (choice == nullptr) choice = std::make_shared<Choice>();
    return choice;
  }

  absl::Mutex mu_;
  absl::flat_hash_map<Key, std::shared_ptr<Choice>> choices_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<const BucketSet>> BucketSet::Choose(const GruLayerShape& shape) {
  static auto* const table = new ChoiceTable;
  return table->Find(shape);
}

BucketSet::BucketSet(std::vector<Bucket> buckets, std::shared_ptr<const SummationOrder> column_order)
    : buckets_(std::move(buckets)), column_order_(std::move(column_order)) {
  for (const Bucket& bucket : buckets_) {
    if (bucket.time_steps == 1) max_batch_size_ = std::max(max_batch_size_, bucket.batch_size);
  }
  assert(max_batch_size_ >= 1 && max_batch_size_ <= kMaxBatchSize);
  for (size_t limit = 0; limit < kTimeLimits; ++limit) {
    for (int64_t rows = 1; rows <= max_batch_size_; ++rows) {
      const Bucket* best = nullptr;
      for (const Bucket& bucket : buckets_) {
        if (bucket.batch_size < rows || bucket.time_steps > int64_t{1} << limit) continue;
        if (best == nullptr || Cheaper(bucket, *best)) best = &bucket;
      }
      picks_[limit][static_cast<size_t>(rows)] = static_cast<size_t>(best - buckets_.data());
    }
  }
}

absl::StatusOr<BucketSet> BucketSet::Intersect(const BucketSet& other) const {
  std::vector<Bucket> both;
  std::copy_if(buckets_.begin(), buckets_.end(), std::back_inserter(both), [&](const Bucket& bucket) {
    return std::find(other.buckets_.begin(), other.buckets_.end(), bucket) != other.buckets_.end();
  });
  if (std::none_of(both.begin(), both.end(), [](const Bucket& bucket) { return bucket.time_steps == 1; })) {
    return absl::InternalError("no bucket of one step gives equal bits in both layer shapes");
  }
  return BucketSet(std::move(both));
}

size_t BucketSet::Pick(int64_t time_steps, int64_t batch_size) const {
  const auto steps = static_cast<uint64_t>(std::min(time_steps, kMaxTimeSteps));
  return picks_[static_cast<size_t>(std::bit_width(steps)) - 1][static_cast<size_t>(batch_size)];
}

std::string BucketSet::Fingerprint() const {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same for every build.
  const auto add = [&hash](int64_t value) { hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3; };
  for (const Bucket& bucket : buckets_) {
    add(bucket.time_steps);
    add(bucket.batch_size);
  }
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

}  // namespace gruserve
