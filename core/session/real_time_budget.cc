#include "core/session/real_time_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

void Drop(std::map<absl::Duration, int64_t>* counts, absl::Duration key) {
  const auto found = counts->find(key);
  if (--found->second == 0) counts->erase(found);
}

}  // namespace

RealTimeBudget::RealTimeBudget(int num_workers, double share)
    : share_(share), limit_(static_cast<int64_t>(static_cast<double>(num_workers * kSecond) * share)) {}

int64_t RealTimeBudget::Density(const StepCosts& costs, int64_t rows, const RealTimeContract& contract) {
  const double part =
      absl::FDivDuration(costs.row_in_largest_batch() * rows, std::min(contract.period, contract.deadline));
  constexpr double kMost = 1e9;  // Seconds in a second: more than any machine has.
  return static_cast<int64_t>(std::min(part, kMost) * kSecond) + 1;
}

absl::Status RealTimeBudget::Admit(const StepCosts& costs, int64_t rows, const RealTimeContract& contract) {
  if (contract.period <= absl::ZeroDuration() || contract.deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "real_time has a period of ", absl::FormatDuration(contract.period), " and a deadline of ",
        absl::FormatDuration(contract.deadline), ", expected both above 0"));
  }
  const int64_t density = Density(costs, rows, contract);
  if (density > limit_ - promised_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "real_time asks for ", density / 1000, " us of compute a second, ", (limit_ - promised_) / 1000,
        " us of the ", limit_ / 1000, " that this server promises are left"));
  }
  absl::Duration batch = std::max(costs.largest_batch(), costs.Of(rows));
  absl::Duration shortest = contract.deadline;
  if (!batches_.empty()) batch = std::max(batch, batches_.rbegin()->first);
  if (!deadlines_.empty()) shortest = std::min(shortest, deadlines_.begin()->first);
  const absl::Duration needed = (std::max(kLongestSlice, batch) + batch) / (1 - share_);
  if (shortest < needed) {
    const bool own = shortest == contract.deadline;
    return absl::ResourceExhaustedError(
        absl::StrCat(own ? "real_time.deadline is " : "real_time.deadline of another session is ",
                     absl::FormatDuration(shortest), ", beside a session of this model one can be kept from ",
                     absl::FormatDuration(absl::Ceil(needed, absl::Microseconds(1))), " on"));
  }
  promised_ += density;
  ++deadlines_[contract.deadline];
  ++batches_[std::max(costs.largest_batch(), costs.Of(rows))];
  return absl::OkStatus();
}

void RealTimeBudget::Release(const StepCosts& costs, int64_t rows, const RealTimeContract& contract) {
  promised_ -= Density(costs, rows, contract);
  Drop(&deadlines_, contract.deadline);
  Drop(&batches_, std::max(costs.largest_batch(), costs.Of(rows)));
}

}  // namespace gruserve
