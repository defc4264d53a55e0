#include "client/wire/session_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/wire/session_codec.h"

namespace gruserve::client {

std::optional<v1::SessionCommand> SessionQueue::TakeSendable() {
  if (waiting_.empty() || static_cast<int64_t>(sent_.size()) >= max_inflight_) return std::nullopt;
  sent_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  return std::move(sent_.back().command);
}

void SessionQueue::OnEvent(v1::SessionEvent event, std::vector<Completion>* completions) {
  if (event.has_error() && event.error().detached()) {
    Fail(DecodeError(event.error()), completions);
    return;
  }
  if (sent_.empty()) {
    Fail(absl::InternalError(absl::StrCat("the server answered session ", event.session(), " unasked")),
         completions);
    return;
  }
  Operation operation = std::move(sent_.front());
  sent_.pop_front();
  const bool closed = event.has_closed();
  if (event.has_opened()) max_inflight_ = std::max<int64_t>(1, event.opened().max_inflight());
  if (!event.has_error()) {
    completions->push_back({std::move(operation.done), std::move(event)});
  } else {
    absl::Status status = operation.refused.ok() ? DecodeError(event.error()) : std::move(operation.refused);
    completions->push_back({std::move(operation.done), std::move(status)});
  }
  if (closed) Fail(absl::FailedPreconditionError("the session is closed"), completions);
}

void SessionQueue::Fail(const absl::Status& status, std::vector<Completion>* completions) {
  if (status_.ok()) status_ = status;
  for (std::deque<Operation>* operations : {&sent_, &waiting_}) {
    for (Operation& operation : *operations) completions->push_back({std::move(operation.done), status});
    operations->clear();
  }
}

}  // namespace gruserve::client
