#include "core/session/remembered_steps.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/seeded_bug.h"
#include "core/session/step_ledger.h"

namespace gruserve {
namespace {

// Two vectors' blocks and the place itself.
constexpr int64_t kPlaceBytes = 128;

}  // namespace

int64_t RememberedSteps::Bytes(int64_t most, int64_t output_size, int64_t state_size) {
  constexpr int64_t kTooMany = std::numeric_limits<int64_t>::max();
  const int64_t floats = CheckedAdd(output_size, state_size).value_or(kTooMany);
  const int64_t bytes = CheckedMultiply(floats, int64_t{sizeof(float)}).value_or(kTooMany);
  return CheckedMultiply(most, CheckedAdd(bytes, kPlaceBytes).value_or(kTooMany)).value_or(kTooMany);
}

void RememberedSteps::Add(const SessionOp& op, const SessionOpResult& result) {
  const int64_t count = LogPlaces(op);
  if (result.index != next_) places_.clear();  // Never so, but for a session that begins later.
  next_ = result.index + count;
  const size_t width = result.output.size() / static_cast<size_t>(count);
  for (int64_t i = std::max<int64_t>(0, count - static_cast<int64_t>(most_)); i < count; ++i) {
    Place place;
    place.kind = op.kind;
    const auto begin = result.output.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(i) * width);
    place.output.assign(begin, begin + static_cast<std::ptrdiff_t>(width));
    if (i < count - 1 && Seeded(Bug::kChunkRemembersItsEndOnly)) place.output.assign(width, 0.0f);
    if (i == count - 1) place.state = result.state;
    places_.push_back(std::move(place));
    if (places_.size() > most_) places_.pop_front();
  }
}

std::vector<RememberedResponse> RememberedSteps::Get() const {
  std::vector<RememberedResponse> responses;
  responses.reserve(places_.size());
  for (const Place& place : places_) responses.push_back({place.output, place.state});
  return responses;
}

void RememberedSteps::Set(int64_t step, std::span<const RememberedResponse> responses) {
  if (responses.size() > most_) responses = responses.last(most_);
  if (Seeded(Bug::kRestoreRemembersNothing)) responses = {};
  if (Seeded(Bug::kResponsesShiftByOne) && !responses.empty())
    responses = responses.first(responses.size() - 1);
  places_.clear();
  for (const RememberedResponse& response : responses) {
    const SessionOpKind kind = response.output.empty() ? SessionOpKind::kSetState : SessionOpKind::kStep;
    places_.push_back({kind, response.output, response.state});
  }
  next_ = step + 1;
}

absl::Status RememberedSteps::Replay(const SessionOp& op, SessionOpResult* result) const {
  const int64_t count = LogPlaces(op);
  if (op.index < first()) {
    return absl::OutOfRangeError(absl::StrCat("index is ", op.index, ", already applied; the next one is ",
                                              next_, ", and responses are remembered from ", first(), " on"));
  }
  const auto begin = places_.begin() + (op.index - first());
  for (auto place = begin; place != begin + count; ++place) {
    if (place->kind == op.kind) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("index is ", op.index + (place - begin), ", where ",
                     place->kind == SessionOpKind::kStep ? "a step" : "a state set",
                     " was applied; the next one is ", next_, ": nothing ran"));
  }
  const Place& last = *(begin + (count - 1));
  if (op.return_state && last.state.empty()) {
    return absl::OutOfRangeError(absl::StrCat("the state after step ", op.index + count - 1,
                                              " is not remembered: it was not asked for at first"));
  }
  result->index = op.index;
  result->replayed = true;
  for (auto place = begin; place != begin + count; ++place)
    result->output.insert(result->output.end(), place->output.begin(), place->output.end());
  if (op.return_state) result->state = last.state;
  return absl::OkStatus();
}

}  // namespace gruserve
