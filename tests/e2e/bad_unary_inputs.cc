#include <limits>
#include <utility>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/e2e/bad_inputs.h"
#include "tests/support/raw_stream.h"

namespace gruserve {
namespace {

using grpc::StatusCode;

Outcome Of(const grpc::Status& status) { return {status.error_code(), status.error_message()}; }

// A valid [T=4, B=2, I=3] call of model "demo" (two layers of 4), then spoilt.
std::function<Outcome(const Channel&)> Sequence(std::function<void(v1::InferSequenceRequest&)> spoil) {
  return [spoil](const Channel& channel) {
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    *request.mutable_input() = Filled({4, 2, 3});
    spoil(request);
    v1::InferSequenceResponse response;
    grpc::ClientContext context;
    return Of(v1::InferenceService::NewStub(channel)->InferSequence(&context, request, &response));
  };
}

// A valid [B=2, I=5] call of model "cell" (GRUCell of 10), then spoilt.
std::function<Outcome(const Channel&)> Cell(std::function<void(v1::InferCellRequest&)> spoil) {
  return [spoil](const Channel& channel) {
    v1::InferCellRequest request;
    request.mutable_model()->set_name("cell");
    *request.mutable_input() = Filled({2, 5});
    *request.mutable_h() = Filled({2, 10});
    spoil(request);
    v1::InferCellResponse response;
    grpc::ClientContext context;
    return Of(v1::InferenceService::NewStub(channel)->InferCell(&context, request, &response));
  };
}

}  // namespace

v1::Tensor Filled(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return RawTensor(shape, std::vector<float>(static_cast<size_t>(count)));
}

std::vector<BadInput> BadTensors() {
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

std::vector<BadInput> BadSequences() {
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

std::vector<BadInput> BadCells() {
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

}  // namespace gruserve
