#include "core/session/real_time_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

void Drop(std::map<absl::Duration, int64_t>* counts, absl::Duration key) {
  const auto found = counts->find(key);
  if (--found->second == 0) counts->erase(found);
}

int64_t Density(const StepCosts& costs, int64_t rows, const RealTimeContract& contract) {
  const double part =
      absl::FDivDuration(costs.row_in_largest_batch() * rows, std::min(contract.period, contract.deadline));
  constexpr double kMost = 1e9;  // Seconds in a second: more than any machine has.
  return static_cast<int64_t>(std::min(part, kMost) * kSecond) + 1;
}

}  // namespace

RealTimePromise& RealTimePromise::operator=(RealTimePromise&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(density_, other.density_);
  std::swap(deadline_, other.deadline_);
  std::swap(batch_, other.batch_);
  return *this;
}

RealTimePromise::~RealTimePromise() {
  if (budget_ != nullptr) budget_->TakeBack(*this);
}

void RealTimePromise::CountLate() {
  if (budget_ != nullptr) budget_->late_steps_.fetch_add(1, std::memory_order_relaxed);
}

RealTimeBudget::RealTimeBudget(int num_workers, double share)
    : share_(share), limit_(static_cast<int64_t>(static_cast<double>(num_workers * kSecond) * share)) {}

absl::StatusOr<RealTimePromise> RealTimeBudget::Promise(const StepCosts& costs, int64_t rows,
                                                        const RealTimeContract& contract) {
  if (contract.period <= absl::ZeroDuration() || contract.deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "real_time has a period of ", absl::FormatDuration(contract.period), " and a deadline of ",
        absl::FormatDuration(contract.deadline), ", expected both above 0"));
  }
  RealTimePromise promise;
  promise.density_ = Density(costs, rows, contract);
  promise.deadline_ = contract.deadline;
  promise.batch_ = std::max(costs.largest_batch(), costs.Of(rows));
  absl::MutexLock lock(&mu_);
  if (promise.density_ > limit_ - promised_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "real_time asks for ", promise.density_ / 1000, " us of compute a second, ",
        (limit_ - promised_) / 1000, " us of the ", limit_ / 1000, " that this server promises are left"));
  }
  GRUSERVE_RETURN_IF_ERROR(CheckDeadlines(promise));
  promised_ += promise.density_;
  ++deadlines_[promise.deadline_];
  ++batches_[promise.batch_];
  promise.budget_ = this;
  return promise;
}

absl::Status RealTimeBudget::CheckDeadlines(const RealTimePromise& promise) const {
  absl::Duration batch = promise.batch_;
  absl::Duration shortest = promise.deadline_;
  if (!batches_.empty()) batch = std::max(batch, batches_.rbegin()->first);
  if (!deadlines_.empty()) shortest = std::min(shortest, deadlines_.begin()->first);
  const absl::Duration needed = (std::max(kLongestSlice, batch) + batch) / (1 - share_);
  if (shortest >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      shortest == promise.deadline_ ? "real_time.deadline is " : "real_time.deadline of another session is ",
      absl::FormatDuration(shortest), ", beside a session of this model one can be kept from ",
      absl::FormatDuration(absl::Ceil(needed, absl::Microseconds(1))), " on"));
}

void RealTimeBudget::TakeBack(const RealTimePromise& promise) {
  absl::MutexLock lock(&mu_);
  promised_ -= promise.density_;
  Drop(&deadlines_, promise.deadline_);
  Drop(&batches_, promise.batch_);
}

int64_t RealTimeBudget::promised() const {
  absl::MutexLock lock(&mu_);
  return promised_;
}

}  // namespace gruserve
