#include "client/operation_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/input_digest.h"
#include "core/base/seeded_bug.h"

namespace gruserve::client {
namespace {

// Time steps of an input whose steps have `step_rank` dimensions.
int64_t StepsOf(const Tensor& input, size_t step_rank) {
  const bool chunk = input.shape.size() > step_rank;
  // A shape that its values contradict is for the server to refuse.
  const auto most = std::max<int64_t>(static_cast<int64_t>(input.values.size()), 1);
  return chunk ? std::clamp<int64_t>(input.shape.front(), 1, most) : 1;
}

}  // namespace

OperationLog::OperationLog(int64_t next_step, uint64_t digest, int64_t batch_size)
    : batch_size_(batch_size), next_(next_step), digest_(digest), before_(digest), digests_(digest != 0) {}

void OperationLog::Number(LoggedOperation& operation) {
  operation.index = next_;
  if (digests_ && operation.rewind_to >= 0) {
    digest_ = ExtendInputDigestByRewind(digest_, next_, operation.rewind_to);
  } else if (digests_) {
    digest_ =
        ExtendInputDigest(digest_, next_, operation.places, operation.set_state, operation.values.values);
  }
  operation.digest = digest_;
  next_ += operation.places;
}

const LoggedOperation& OperationLog::Add(bool set_state, Tensor values) {
  LoggedOperation& operation = operations_.emplace_back();
  operation.set_state = set_state;
  operation.places = set_state ? 1 : StepsOf(values, batch_size_ == 0 ? 1 : 2);
  operation.values = std::move(values);
  Number(operation);
  return operation;
}

const LoggedOperation& OperationLog::AddRewind(int64_t rewind_to) {
  LoggedOperation& operation = operations_.emplace_back();
  operation.set_state = true;
  operation.rewind_to = rewind_to;
  Number(operation);
  return operation;
}

LoggedOperation* OperationLog::Find(int64_t index) {
  auto found =
      std::lower_bound(operations_.begin(), operations_.end(), index,
                       [](const LoggedOperation& operation, int64_t at) { return operation.index < at; });
  while (found != operations_.end() && found->places == 0) ++found;
  return found != operations_.end() && found->index == index ? &*found : nullptr;
}

void OperationLog::Answer(int64_t index, StepResult answer) {
  LoggedOperation* const operation = Find(index);
  if (operation == nullptr || index < first_open() || operation->answer.has_value()) return;
  operation->answer = std::move(answer);
}

void OperationLog::Refuse(int64_t index, absl::Status why) {
  LoggedOperation* const refused = Find(index);
  if (refused == nullptr) return;
  digest_ = DigestBefore(index).value_or(0);
  next_ = index;
  refused->places = 0;
  refused->digest = digest_;
  refused->answer = std::move(why);
  bool behind = false;
  for (LoggedOperation& operation : operations_) {
    if (behind) Number(operation);
    behind = behind || &operation == refused;
  }
}

std::optional<absl::StatusOr<StepResult>> OperationLog::TakeAnswer() {
  if (given_ == operations_.size() || !operations_[given_].answer.has_value()) return std::nullopt;
  LoggedOperation& next = operations_[given_];
  if (Seeded(Bug::kClientGivesAnswersTwice) && next.index % 50 == 0) return next.answer;
  ++given_;
  return std::exchange(next.answer, std::nullopt);
}

void OperationLog::Forget(int64_t durable_step) {
  while (given_ > 0) {
    const LoggedOperation& first = operations_.front();
    if (first.index + first.places - 1 > durable_step) return;
    before_ = first.digest;
    operations_.pop_front();
    --given_;
  }
}

std::optional<uint64_t> OperationLog::DigestBefore(int64_t index) const {
  uint64_t before = before_;
  for (const LoggedOperation& operation : operations_) {
    if (operation.index == index) return before;
    before = operation.digest;
  }
  return index == next_ ? std::optional(before) : std::nullopt;
}

absl::StatusOr<int64_t> OperationLog::ResendFrom(int64_t next_step, uint64_t digest) const {
  if (next_step > next_) {
    return absl::FailedPreconditionError(absl::StrCat("the session is at step ", next_step,
                                                      ", and only steps before ", next_,
                                                      " were sent here: somebody else moved it"));
  }
  const int64_t first = operations_.empty() ? next_ : operations_.front().index;
  if (next_step < first) {
    return absl::DataLossError(absl::StrCat("the session is back at step ", next_step, ", and steps ",
                                            next_step, " to ", first - 1,
                                            " are no longer here to be sent again"));
  }
  const std::optional<uint64_t> ours = DigestBefore(next_step);
  if (!ours.has_value()) {
    return absl::DataLossError(
        absl::StrCat("the session is at step ", next_step, ", in the middle of what was sent as one chunk"));
  }
  if (digests_ && digest != 0 && *ours != digest) {
    return absl::FailedPreconditionError(absl::StrCat("the session came to step ", next_step,
                                                      " by other inputs than those that were sent here"));
  }
  for (size_t i = given_; i < operations_.size(); ++i) {
    if (!operations_[i].answer.has_value()) return std::min(next_step, operations_[i].index);
  }
  return next_step;
}

int64_t OperationLog::first_open() const {
  return given_ < operations_.size() ? operations_[given_].index : next_;
}

}  // namespace gruserve::client
