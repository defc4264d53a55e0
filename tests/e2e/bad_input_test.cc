// Every kind of bad request over a real socket: the exact code, a message that
// names the field, what came and what was wanted, and a canary session beside
// it whose bits never change.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "gruserve/v1/session_service.grpc.pb.h"
#include "tests/support/bad_input_server.h"
#include "tests/support/raw_stream.h"

namespace gruserve {
namespace {

using grpc::StatusCode;

struct Outcome {
  int code = 0;
  std::string message;
};

struct BadInput {
  std::string name;
  std::function<Outcome(const BadInputServer&)> send;
  StatusCode code;
  std::string pattern;
};

std::vector<float> Zeros(int64_t count) { return std::vector<float>(static_cast<size_t>(count)); }

v1::Tensor Filled(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return RawTensor(shape, Zeros(count));
}

Outcome Of(const grpc::Status& status) { return {status.error_code(), status.error_message()}; }

// A valid [T=4, B=2, I=3] call of model "demo" (two layers of 4), then spoilt.
std::function<Outcome(const BadInputServer&)> Sequence(std::function<void(v1::InferSequenceRequest&)> spoil) {
  return [spoil](const BadInputServer& server) {
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    *request.mutable_input() = Filled({4, 2, 3});
    spoil(request);
    v1::InferSequenceResponse response;
    grpc::ClientContext context;
    return Of(v1::InferenceService::NewStub(server.channel())->InferSequence(&context, request, &response));
  };
}

// A valid [B=2, I=5] call of model "cell" (GRUCell of 10), then spoilt.
std::function<Outcome(const BadInputServer&)> Cell(std::function<void(v1::InferCellRequest&)> spoil) {
  return [spoil](const BadInputServer& server) {
    v1::InferCellRequest request;
    request.mutable_model()->set_name("cell");
    *request.mutable_input() = Filled({2, 5});
    *request.mutable_h() = Filled({2, 10});
    spoil(request);
    v1::InferCellResponse response;
    grpc::ClientContext context;
    return Of(v1::InferenceService::NewStub(server.channel())->InferCell(&context, request, &response));
  };
}

// Sends `commands` on a fresh stream; the outcome is the first error event.
std::function<Outcome(const BadInputServer&)> Stream(std::vector<v1::SessionCommand> commands) {
  return [commands](const BadInputServer& server) {
    RawStream stream(server.channel());
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
Outcome CallService(const BadInputServer& server,
                    grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request) {
  Response response;
  grpc::ClientContext context;
  const auto stub = Service::NewStub(server.channel());
  return Of((stub.get()->*method)(&context, request, &response));
}

std::vector<BadInput> TensorRows() {
  const auto max = std::numeric_limits<int64_t>::max();
  return {
      {"input missing", Sequence([](auto& r) { r.clear_input(); }), StatusCode::INVALID_ARGUMENT, "input"},
      {"shape missing", Sequence([](auto& r) { r.mutable_input()->clear_shape(); }),
       StatusCode::INVALID_ARGUMENT, "input.*shape|input has 0 dimensions"},
      {"one dimension", Sequence([](auto& r) { *r.mutable_input() = Filled({3}); }),
       StatusCode::INVALID_ARGUMENT, "input.* 1.*(2|3)"},
      {"four dimensions", Sequence([](auto& r) {
         *r.mutable_input() = Filled({1, 2, 1, 3});
       }),
       StatusCode::INVALID_ARGUMENT, "input.* 4.*(2|3)"},
      {"feature size", Sequence([](auto& r) {
         *r.mutable_input() = Filled({4, 2, 5});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[2\] is 5.*demo.*3)"},
      {"feature size unbatched", Sequence([](auto& r) {
         *r.mutable_input() = Filled({4, 5});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[1\] is 5.*demo.*3)"},
      {"no time steps", Sequence([](auto& r) {
         *r.mutable_input() = Filled({0, 2, 3});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[0\] is 0)"},
      {"no time steps batch first", Sequence([](auto& r) {
         *r.mutable_input() = Filled({2, 0, 3});
         r.set_batch_first(true);
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[1\] is 0)"},
      {"negative dimension", Sequence([](auto& r) { r.mutable_input()->set_shape(1, -2); }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[1\] is -2)"},
      {"overflowing shape", Sequence([max](auto& r) {
         r.mutable_input()->set_shape(0, max);
         r.mutable_input()->set_shape(1, max);
       }),
       StatusCode::INVALID_ARGUMENT, "input.shape"},
      {"wrapping shape", Sequence([](auto& r) {
         r.mutable_input()->set_shape(0, int64_t{1} << 62);
         r.mutable_input()->set_shape(1, 4);
       }),
       StatusCode::INVALID_ARGUMENT, "input.shape"},
      {"too few bytes", Sequence([](auto& r) { r.mutable_input()->mutable_raw()->resize(92); }),
       StatusCode::INVALID_ARGUMENT, "input.*92.*96"},
      {"too many bytes", Sequence([](auto& r) { r.mutable_input()->mutable_raw()->resize(100); }),
       StatusCode::INVALID_ARGUMENT, "input.*100.*96"},
      {"odd bytes", Sequence([](auto& r) { r.mutable_input()->mutable_raw()->resize(95); }),
       StatusCode::INVALID_ARGUMENT, "input.*95.*96"},
      {"too few values", Sequence([](auto& r) {
         r.mutable_input()->clear_raw();
         r.mutable_input()->add_values(1.0F);
       }),
       StatusCode::INVALID_ARGUMENT, "input.*1 .*24"},
      {"values and raw", Sequence([](auto& r) { r.mutable_input()->add_values(1.0F); }),
       StatusCode::INVALID_ARGUMENT, "input.*values.*raw"},
      {"neither values nor raw", Sequence([](auto& r) { r.mutable_input()->clear_raw(); }),
       StatusCode::INVALID_ARGUMENT, "input.*24"},
      {"unknown dtype",
       Sequence([](auto& r) { r.mutable_input()->set_dtype(static_cast<v1::DataType>(77)); }),
       StatusCode::INVALID_ARGUMENT, "input.dtype is 77"},
  };
}

std::vector<BadInput> SequenceRows() {
  return {
      {"h_0 unbatched", Sequence([](auto& r) {
         *r.mutable_h_0() = Filled({2, 4});
       }),
       StatusCode::INVALID_ARGUMENT, "h_0.* 2.*3"},
      {"h_0 batched for unbatched", Sequence([](auto& r) {
         *r.mutable_input() = Filled({4, 3});
         *r.mutable_h_0() = Filled({2, 1, 4});
       }),
       StatusCode::INVALID_ARGUMENT, "h_0.* 3.*2"},
      {"h_0 layers", Sequence([](auto& r) {
         *r.mutable_h_0() = Filled({3, 2, 4});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h_0\.shape\[0\] is 3.* 2)"},
      {"h_0 batch", Sequence([](auto& r) {
         *r.mutable_h_0() = Filled({2, 5, 4});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h_0\.shape\[1\] is 5.* 2)"},
      {"h_0 hidden", Sequence([](auto& r) {
         *r.mutable_h_0() = Filled({2, 2, 7});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h_0\.shape\[2\] is 7.* 4)"},
      {"h_0 batch first", Sequence([](auto& r) {
         *r.mutable_input() = Filled({5, 4, 3});
         r.set_batch_first(true);
         *r.mutable_h_0() = Filled({5, 2, 4});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h_0\.shape\[0\] is 5.* 2)"},
      {"h_0 rank of a cell", Sequence([](auto& r) {
         r.mutable_model()->set_name("cell");
         *r.mutable_input() = Filled({4, 2, 5});
         *r.mutable_h_0() = Filled({1, 2, 10});
       }),
       StatusCode::INVALID_ARGUMENT, "h_0.* 3.*2"},
      {"lengths count", Sequence([](auto& r) { r.add_lengths(4); }), StatusCode::INVALID_ARGUMENT,
       "lengths.* 1.* 2"},
      {"length zero", Sequence([](auto& r) {
         r.add_lengths(4);
         r.add_lengths(0);
       }),
       StatusCode::INVALID_ARGUMENT, R"(lengths\[1\] is 0.*1.*4)"},
      {"length negative", Sequence([](auto& r) {
         r.add_lengths(-1);
         r.add_lengths(4);
       }),
       StatusCode::INVALID_ARGUMENT, R"(lengths\[0\] is -1.*1.*4)"},
      {"length too long", Sequence([](auto& r) {
         r.add_lengths(4);
         r.add_lengths(5);
       }),
       StatusCode::INVALID_ARGUMENT, R"(lengths\[1\] is 5.*1.*4)"},
      {"lengths unbatched", Sequence([](auto& r) {
         *r.mutable_input() = Filled({4, 3});
         r.add_lengths(4);
         r.add_lengths(4);
       }),
       StatusCode::INVALID_ARGUMENT, "lengths"},
      {"output selection",
       Sequence([](auto& r) { r.set_output_selection(static_cast<v1::OutputSelection>(9)); }),
       StatusCode::INVALID_ARGUMENT, "output_selection is 9"},
      {"keep with batch", Sequence([](auto& r) { r.mutable_keep_session()->set_batch_size(2); }),
       StatusCode::INVALID_ARGUMENT, "keep_session.batch_size"},
      {"keep with h_0", Sequence([](auto& r) {
         *r.mutable_keep_session()->mutable_h_0() = Filled({2, 2, 4});
       }),
       StatusCode::INVALID_ARGUMENT, "keep_session.h_0"},
      {"keep with model",
       Sequence([](auto& r) { r.mutable_keep_session()->mutable_model()->set_name("demo"); }),
       StatusCode::INVALID_ARGUMENT, "keep_session.model"},
      {"keep of bidirectional", Sequence([](auto& r) {
         r.mutable_model()->set_name("bi");
         r.mutable_keep_session();
       }),
       StatusCode::FAILED_PRECONDITION, "bi.*bidirectional"},
      {"model name missing", Sequence([](auto& r) { r.clear_model(); }), StatusCode::INVALID_ARGUMENT,
       "model.name"},
      {"model unknown", Sequence([](auto& r) { r.mutable_model()->set_name("nope"); }), StatusCode::NOT_FOUND,
       "nope"},
      {"model path", Sequence([](auto& r) { r.mutable_model()->set_name("../demo"); }), StatusCode::NOT_FOUND,
       "demo"},
      {"version unknown", Sequence([](auto& r) { r.mutable_model()->set_version(9); }), StatusCode::NOT_FOUND,
       "demo.*9"},
      {"version negative", Sequence([](auto& r) { r.mutable_model()->set_version(-1); }),
       StatusCode::INVALID_ARGUMENT, "model.version is -1"},
      {"model failed", Sequence([](auto& r) { r.mutable_model()->set_name("broken"); }),
       StatusCode::FAILED_PRECONDITION, "broken.*"},
  };
}

std::vector<BadInput> CellRows() {
  return {
      {"cell rank", Cell([](auto& r) {
         *r.mutable_input() = Filled({1, 2, 5});
       }),
       StatusCode::INVALID_ARGUMENT, "input.* 3.*(1|2)"},
      {"cell features", Cell([](auto& r) {
         *r.mutable_input() = Filled({2, 6});
       }),
       StatusCode::INVALID_ARGUMENT, R"(input\.shape\[1\] is 6.*cell.*5)"},
      {"cell h rank", Cell([](auto& r) { *r.mutable_h() = Filled({10}); }), StatusCode::INVALID_ARGUMENT,
       "h .* 1.*2"},
      {"cell h batch", Cell([](auto& r) {
         *r.mutable_h() = Filled({3, 10});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h\.shape\[0\] is 3.* 2)"},
      {"cell h size", Cell([](auto& r) {
         *r.mutable_h() = Filled({2, 9});
       }),
       StatusCode::INVALID_ARGUMENT, R"(h\.shape\[1\] is 9.* 10)"},
      {"cell of two layers", Cell([](auto& r) {
         r.mutable_model()->set_name("demo");
         *r.mutable_input() = Filled({2, 3});
         r.clear_h();
       }),
       StatusCode::FAILED_PRECONDITION, "demo.*2 layers"},
      {"cell of two directions", Cell([](auto& r) {
         r.mutable_model()->set_name("bi");
         *r.mutable_input() = Filled({2, 3});
         r.clear_h();
       }),
       StatusCode::FAILED_PRECONDITION, "bi.*(bidirectional|2 directions)"},
      {"cell without input", Cell([](auto& r) { r.clear_input(); }), StatusCode::INVALID_ARGUMENT, "input"},
  };
}

std::vector<BadInput> OpenRows() {
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

std::vector<BadInput> StreamRows() {
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

std::vector<BadInput> ServiceRows() {
  const auto unary_step = [](const std::string& id) {
    return [id](const BadInputServer& server) {
      v1::StepRequest request;
      request.set_session_id(id);
      *request.mutable_step()->mutable_input() = Filled({3});
      return CallService<v1::StepRequest, v1::StepResponse, v1::InferenceService>(
          server, &v1::InferenceService::Stub::Step, request);
    };
  };
  const auto list = [](int page_size, const std::string& token) {
    return [page_size, token](const BadInputServer& server) {
      v1::ListSessionsRequest request;
      request.set_page_size(page_size);
      request.set_page_token(token);
      return CallService<v1::ListSessionsRequest, v1::ListSessionsResponse, v1::SessionService>(
          server, &v1::SessionService::Stub::ListSessions, request);
    };
  };
  return {
      {"unary step without id", unary_step(""), StatusCode::INVALID_ARGUMENT, "session_id"},
      {"unary step of nobody", unary_step("nobody"), StatusCode::NOT_FOUND, "nobody"},
      {"unary step of an attached one", unary_step("canary"), StatusCode::FAILED_PRECONDITION,
       "canary.*stream"},
      {"negative page size", list(-1, ""), StatusCode::INVALID_ARGUMENT, "page_size is -1"},
      {"bad page token", list(0, "../../x"), StatusCode::INVALID_ARGUMENT, "page_token"},
      {"get an unknown session",
       [](const BadInputServer& server) {
         v1::GetSessionRequest request;
         request.set_session_id("nobody");
         return CallService<v1::GetSessionRequest, v1::GetSessionResponse, v1::SessionService>(
             server, &v1::SessionService::Stub::GetSession, request);
       },
       StatusCode::NOT_FOUND, "nobody"},
      {"close an unknown session",
       [](const BadInputServer& server) {
         v1::CloseSessionRequest request;
         request.set_session_id("nobody");
         return CallService<v1::CloseSessionRequest, v1::CloseSessionResponse, v1::SessionService>(
             server, &v1::SessionService::Stub::CloseSession, request);
       },
       StatusCode::NOT_FOUND, "nobody"},
      {"open nothing",
       [](const BadInputServer& server) {
         return CallService<v1::OpenSessionRequest, v1::OpenSessionResponse, v1::SessionService>(
             server, &v1::SessionService::Stub::OpenSession, v1::OpenSessionRequest());
       },
       StatusCode::INVALID_ARGUMENT, "open|model"},
      {"get a failed model",
       [](const BadInputServer& server) {
         v1::GetModelRequest request;
         request.mutable_model()->set_name("broken");
         return CallService<v1::GetModelRequest, v1::GetModelResponse, v1::ModelService>(
             server, &v1::ModelService::Stub::GetModel, request);
       },
       StatusCode::FAILED_PRECONDITION, "broken"},
  };
}

std::vector<BadInput> AllRows() {
  std::vector<BadInput> rows;
  for (auto part : {TensorRows(), SequenceRows(), CellRows(), OpenRows(), StreamRows(), ServiceRows()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  return rows;
}

TEST(BadInputTest, EveryRowIsRefusedByNameAndTheCanaryNeverNotices) {
  const BadInputServer server;
  const std::vector<BadInput> rows = AllRows();
  ASSERT_GE(rows.size(), 60U);

  RawStream canary_stream(server.channel());
  ASSERT_TRUE(canary_stream.Call(OpenCommand(1, "demo", "canary")).has_opened());
  const std::vector<float> undisturbed = server.UndisturbedOutputs("demo", static_cast<int64_t>(rows.size()));
  const size_t hidden = undisturbed.size() / rows.size();

  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(rows[i].name);
    const Outcome outcome = rows[i].send(server);
    EXPECT_EQ(outcome.code, rows[i].code) << outcome.message;
    EXPECT_TRUE(std::regex_search(outcome.message, std::regex(rows[i].pattern)))
        << "message: " << outcome.message << "\npattern: " << rows[i].pattern;

    const v1::SessionEvent event =
        canary_stream.Call(StepCommand(1, server.CanaryInput(static_cast<int64_t>(i))));
    ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
    const std::vector<float> expected(undisturbed.begin() + static_cast<int64_t>(i * hidden),
                                      undisturbed.begin() + static_cast<int64_t>((i + 1) * hidden));
    EXPECT_EQ(Elements(event.output().output()), expected);
  }
  std::printf("%zu bad inputs refused\n", rows.size());
}

}  // namespace
}  // namespace gruserve
