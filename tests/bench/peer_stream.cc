#include "tests/bench/peer_stream.h"

#include <utility>

#include "absl/status/status.h"

namespace gruserve::bench {

PeerStream::PeerStream(PeerBackend* backend) : backend_(backend) { StartRead(&request_); }

void PeerStream::OnReadDone(bool ok) {
  size_t slot = 0;
  {
    const absl::MutexLock lock(&mu_);
    slot = (first_ + ready_) % kResponses;
  }
  if (ok) {
    v1::StreamStepsResponse& response = responses_[slot];
    response.Clear();
    for (const v1::SessionCommand& command : request_.commands()) Answer(command, response.add_events());
  }
  const absl::MutexLock lock(&mu_);
  reading_ = false;
  if (ok) {
    ++ready_;
  } else {
    ended_ = true;
  }
  Advance();
}

void PeerStream::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mu_);
  writing_ = false;
  first_ = (first_ + 1) % kResponses;
  --ready_;
  if (!ok) ready_ = 0;
  Advance();
}

void PeerStream::Answer(const v1::SessionCommand& command, v1::SessionEvent* event) {
  event->set_session(command.session());
  if (command.has_open()) {
    std::unique_ptr<PeerSession> session = backend_->OpenSession(command.open().model().name());
    if (session == nullptr) {
      event->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kNotFound));
      event->mutable_error()->set_message("no such model");
      return;
    }
    sessions_[command.session()] = std::move(session);
    event->mutable_opened()->set_next_step(1);
    return;
  }
  const auto session = sessions_.find(command.session());
  if (!command.has_step() || session == sessions_.end()) {
    event->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnimplemented));
    event->mutable_error()->set_message("only open and step are known");
    return;
  }
  session->second->Step(command.step(), event->mutable_output());
}

void PeerStream::Advance() {
  if (!writing_ && ready_ > 0) {
    writing_ = true;
    StartWrite(&responses_[first_]);
  }
  if (!reading_ && !ended_ && ready_ < kResponses) {
    reading_ = true;
    StartRead(&request_);
  }
  if (ended_ && ready_ == 0 && !writing_) Finish(grpc::Status::OK);
}

}  // namespace gruserve::bench
