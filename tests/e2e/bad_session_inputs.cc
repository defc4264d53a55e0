#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "gruserve/v1/session_service.grpc.pb.h"
#include "tests/e2e/bad_inputs.h"
#include "tests/support/raw_stream.h"

namespace gruserve {
namespace {

using grpc::StatusCode;

// Sends `commands` on a fresh stream; the outcome is the first error event.
std::function<Outcome(const Channel&)> Stream(std::vector<v1::SessionCommand> commands) {
  return [commands](const Channel& channel) {
    RawStream stream(channel);
    v1::StreamStepsRequest request;
    for (const v1::SessionCommand& command : commands) *request.add_commands() = command;
    stream.Send(request);
    stream.HalfClose();
    Outcome outcome;
    while (const auto event = stream.Next()) {
      if (event->has_error() && outcome.code == 0)
        outcome = {event->error().code(), event->error().message()};
    }
    const grpc::Status status = stream.Finish();
    EXPECT_TRUE(status.ok()) << "an error of a session ended its stream: " << status.error_message();
    return outcome;
  };
}

v1::SessionCommand Opening(std::function<void(v1::OpenSession&)> spoil) {
  v1::SessionCommand command = OpenCommand(1, "demo");
  command.mutable_open()->set_close_with_stream(true);
  spoil(*command.mutable_open());
  return command;
}

v1::SessionCommand Open() {
  return Opening([](v1::OpenSession&) {});
}

v1::SessionCommand Stepping(std::function<void(v1::StepInput&)> spoil) {
  v1::SessionCommand command = StepCommand(1, Filled({3}));
  spoil(*command.mutable_step());
  return command;
}

template <typename Request, typename Response, typename Service>
Outcome CallService(const Channel& channel,
                    grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request) {
  Response response;
  grpc::ClientContext context;
  const auto stub = Service::NewStub(channel);
  const grpc::Status status = (stub.get()->*method)(&context, request, &response);
  return {status.error_code(), status.error_message()};
}

}  // namespace

std::vector<BadInput> BadOpens() {
  const auto open = [](std::function<void(v1::OpenSession&)> spoil) {
    return Stream(std::vector<v1::SessionCommand>{Opening(std::move(spoil))});
  };
  return {
      {"id with a slash", open([](auto& o) { o.set_session_id("a/b"); }), StatusCode::INVALID_ARGUMENT,
       "session_id.*a/b"},
      {"id with a dash first", open([](auto& o) { o.set_session_id("-a"); }), StatusCode::INVALID_ARGUMENT,
       "session_id"},
      {"id too long", open([](auto& o) { o.set_session_id(std::string(129, 'a')); }),
       StatusCode::INVALID_ARGUMENT, "session_id.*12[89]"},
      {"id of minted form", open([](auto& o) { o.set_session_id("s-" + std::string(32, '0')); }),
       StatusCode::INVALID_ARGUMENT, "session_id"},
      {"resume unknown", open([](auto& o) {
         o.set_session_id("never");
         o.set_mode(v1::OPEN_MODE_RESUME);
       }),
       StatusCode::NOT_FOUND, "never"},
      {"resume without id", open([](auto& o) { o.set_mode(v1::OPEN_MODE_RESUME); }),
       StatusCode::INVALID_ARGUMENT, "session_id"},
      {"create the canary again", open([](auto& o) { o.set_session_id("canary"); }),
       StatusCode::ALREADY_EXISTS, "canary"},
      {"resume the canary", open([](auto& o) {
         o.set_session_id("canary");
         o.set_mode(v1::OPEN_MODE_RESUME);
       }),
       StatusCode::FAILED_PRECONDITION, "canary.*take_over"},
      {"unknown mode", open([](auto& o) { o.set_mode(static_cast<v1::OpenMode>(8)); }),
       StatusCode::INVALID_ARGUMENT, "mode is 8"},
      {"open without model", open([](auto& o) { o.clear_model(); }), StatusCode::INVALID_ARGUMENT, "model"},
      {"open unknown model", open([](auto& o) { o.mutable_model()->set_name("nope"); }),
       StatusCode::NOT_FOUND, "nope"},
      {"open failed model", open([](auto& o) { o.mutable_model()->set_name("broken"); }),
       StatusCode::FAILED_PRECONDITION, "broken"},
      {"open bidirectional", open([](auto& o) { o.mutable_model()->set_name("bi"); }),
       StatusCode::FAILED_PRECONDITION, "bi.*bidirectional.*InferSequence"},
      {"negative batch", open([](auto& o) { o.set_batch_size(-1); }), StatusCode::INVALID_ARGUMENT,
       "batch_size is -1"},
      {"batch beyond the budget", open([](auto& o) { o.set_batch_size(int64_t{1} << 40); }),
       StatusCode::RESOURCE_EXHAUSTED, "memory|budget"},
      {"batch that overflows", open([](auto& o) { o.set_batch_size(std::numeric_limits<int64_t>::max()); }),
       StatusCode::RESOURCE_EXHAUSTED, "memory|budget"},
      {"open h_0 rank", open([](auto& o) {
         *o.mutable_h_0() = Filled({2, 1, 4});
       }),
       StatusCode::INVALID_ARGUMENT, "h_0.* 3.*2"},
      {"open h_0 size", open([](auto& o) {
         *o.mutable_h_0() = Filled({2, 5});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h_0\.shape\[1\] is 5.* 4)"},
      {"durability without a store", open([](auto& o) { o.set_durability(v1::DURABILITY_SYNC); }),
       StatusCode::FAILED_PRECONDITION, "durability.*store"},
      {"unknown durability", open([](auto& o) { o.set_durability(static_cast<v1::Durability>(7)); }),
       StatusCode::INVALID_ARGUMENT, "durability is 7"},
      {"client instance too long", open([](auto& o) { o.set_client_instance(std::string(65, 'x')); }),
       StatusCode::INVALID_ARGUMENT, "client_instance"},
  };
}

std::vector<BadInput> BadStreams() {
  const auto step = [](std::function<void(v1::StepInput&)> spoil) {
    return Stream({Open(), Stepping(std::move(spoil))});
  };
  v1::SessionCommand empty;
  empty.set_session(1);
  return {
      {"step before open", Stream({StepCommand(1, Filled({3}))}), StatusCode::FAILED_PRECONDITION,
       "session 1.*open"},
      {"close before open", Stream({CloseCommand(3)}), StatusCode::FAILED_PRECONDITION, "session 3.*open"},
      {"empty command", Stream({empty}), StatusCode::INVALID_ARGUMENT, "command"},
      {"handle in use", Stream({Open(), Open()}), StatusCode::ALREADY_EXISTS, "session 1"},
      {"step after close", Stream({Open(), CloseCommand(1), StepCommand(1, Filled({3}))}),
       StatusCode::FAILED_PRECONDITION, "session 1"},
      {"step without input", step([](auto& s) { s.clear_input(); }), StatusCode::INVALID_ARGUMENT, "input"},
      {"step features", step([](auto& s) { *s.mutable_input() = Filled({7}); }), StatusCode::INVALID_ARGUMENT,
       R"(input\.shape\[0\] is 7.*demo.*3)"},
      {"step rank", step([](auto& s) {
         *s.mutable_input() = Filled({1, 1, 3});
       }),
       StatusCode::INVALID_ARGUMENT, "input.* 3.*(1|2)"},
      {"empty chunk", step([](auto& s) {
         *s.mutable_input() = Filled({0, 3});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[0\] is 0)"},
      {"long chunk", step([](auto& s) {
         *s.mutable_input() = Filled({4097, 3});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[0\] is 4097.*4096)"},
      {"step of other batch",
       Stream({Opening([](auto& o) { o.set_batch_size(2); }), StepCommand(1, Filled({3, 3}))}),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[0\] is 3.* 2)"},
      {"unbatched step of a batch",
       Stream({Opening([](auto& o) { o.set_batch_size(2); }), StepCommand(1, Filled({3}))}),
       StatusCode::INVALID_ARGUMENT, "input.* 1.*(2|3)"},
      {"index too high", step([](auto& s) { s.set_index(5); }), StatusCode::FAILED_PRECONDITION,
       "index is 5.* 1"},
      {"index negative", step([](auto& s) { s.set_index(-5); }), StatusCode::INVALID_ARGUMENT, "index is -5"},
      {"index applied", Stream({Open(), StepCommand(1, Filled({3})), StepCommand(1, Filled({3}), 1)}),
       StatusCode::OUT_OF_RANGE, "index is 1.* 2"},
      {"chunk straddles", Stream({Open(), StepCommand(1, Filled({3})), StepCommand(1, Filled({2, 3}), 1)}),
       StatusCode::FAILED_PRECONDITION, "index is 1"},
      {"timeout negative", step([](auto& s) { s.set_timeout_us(-1); }), StatusCode::INVALID_ARGUMENT,
       "timeout_us is -1"},
      {"state rank", Stream({Open(), SetStateCommand(1, Filled({4}))}), StatusCode::INVALID_ARGUMENT,
       "state.* 1.*2"},
      {"state size", Stream({Open(), SetStateCommand(1, Filled({2, 3}))}), StatusCode::INVALID_ARGUMENT,
       R"(state\.shape\[1\] is 3.* 4)"},
  };
}

std::vector<BadInput> BadServiceCalls() {
  const auto unary_step = [](const std::string& id) {
    return [id](const Channel& channel) {
      v1::StepRequest request;
      request.set_session_id(id);
      *request.mutable_step()->mutable_input() = Filled({3});
      return CallService<v1::StepRequest, v1::StepResponse, v1::InferenceService>(
          channel, &v1::InferenceService::Stub::Step, request);
    };
  };
  const auto list = [](int page_size, const std::string& token) {
    return [page_size, token](const Channel& channel) {
      v1::ListSessionsRequest request;
      request.set_page_size(page_size);
      request.set_page_token(token);
      return CallService<v1::ListSessionsRequest, v1::ListSessionsResponse, v1::SessionService>(
          channel, &v1::SessionService::Stub::ListSessions, request);
    };
  };
  return {
      {"unary step without id", unary_step(""), StatusCode::INVALID_ARGUMENT, "session_id"},
      {"unary step of nobody", unary_step("nobody"), StatusCode::NOT_FOUND, "nobody"},
      {"unary step of an attached one", unary_step("canary"), StatusCode::FAILED_PRECONDITION,
       "stream holds session \"canary\""},
      {"negative page size", list(-1, ""), StatusCode::INVALID_ARGUMENT, "page_size is -1"},
      {"bad page token", list(0, "../../x"), StatusCode::INVALID_ARGUMENT, "page_token"},
      {"get an unknown session",
       [](const Channel& channel) {
         v1::GetSessionRequest request;
         request.set_session_id("nobody");
         return CallService<v1::GetSessionRequest, v1::GetSessionResponse, v1::SessionService>(
             channel, &v1::SessionService::Stub::GetSession, request);
       },
       StatusCode::NOT_FOUND, "nobody"},
      {"close an unknown session",
       [](const Channel& channel) {
         v1::CloseSessionRequest request;
         request.set_session_id("nobody");
         return CallService<v1::CloseSessionRequest, v1::CloseSessionResponse, v1::SessionService>(
             channel, &v1::SessionService::Stub::CloseSession, request);
       },
       StatusCode::NOT_FOUND, "nobody"},
      {"open nothing",
       [](const Channel& channel) {
         return CallService<v1::OpenSessionRequest, v1::OpenSessionResponse, v1::SessionService>(
             channel, &v1::SessionService::Stub::OpenSession, v1::OpenSessionRequest());
       },
       StatusCode::INVALID_ARGUMENT, "open|model"},
      {"get a failed model",
       [](const Channel& channel) {
         v1::GetModelRequest request;
         request.mutable_model()->set_name("broken");
         return CallService<v1::GetModelRequest, v1::GetModelResponse, v1::ModelService>(
             channel, &v1::ModelService::Stub::GetModel, request);
       },
       StatusCode::FAILED_PRECONDITION, "broken"},
  };
}

}  // namespace gruserve
