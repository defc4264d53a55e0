// `gruserve infer MODEL`: whole sequences, without state.

#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/array_file.h"
#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

struct Arguments {
  ModelSpec model;
  std::string input = "-";
  std::string h0;
  std::string lengths;
  bool batch_first = false;
  bool last = false;
  std::string output;
  std::string h_n;
};

absl::StatusOr<std::vector<int64_t>> ParseLengths(const std::string& text) {
  std::vector<int64_t> lengths;
  if (text.empty()) return lengths;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    int64_t length = 0;
    if (!absl::SimpleAtoi(item, &length)) {
      return UsageError(absl::StrCat("--lengths is \"", text, "\", numbers such as 3,1,2 are wanted"));
    }
    lengths.push_back(length);
  }
  return lengths;
}

// Where nothing says where to, the output goes to stdout.
absl::Status CheckOutputs(Arguments* arguments) {
  if (arguments->output.empty() && arguments->h_n.empty()) arguments->output = "-";
  if (arguments->output == "-" && arguments->h_n == "-") {
    return UsageError("--output and --h-n are both stdout");
  }
  if (arguments->last && arguments->output.empty()) return UsageError("--last wants an --output");
  if (!arguments->output.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments->output));
  if (!arguments->h_n.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments->h_n));
  return absl::OkStatus();
}

absl::StatusOr<SequenceRequest> ToRequest(const Arguments& arguments, const CliIo& io) {
  SequenceRequest request;
  request.model = arguments.model;
  request.batch_first = arguments.batch_first;
  GRUSERVE_ASSIGN_OR_RETURN(request.lengths, ParseLengths(arguments.lengths));
  GRUSERVE_ASSIGN_OR_RETURN(request.input, ReadArray(arguments.input, io));
  if (!arguments.h0.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(request.h_0, ReadArray(arguments.h0, io));
  }
  if (arguments.output.empty()) {
    request.output = OutputSelection::kNone;
  } else if (arguments.last) {
    request.output = OutputSelection::kLast;
  }
  return request;
}

absl::Status RunInfer(const CommandContext& context, Arguments arguments) {
  GRUSERVE_RETURN_IF_ERROR(CheckOutputs(&arguments));
  GRUSERVE_ASSIGN_OR_RETURN(const SequenceRequest request, ToRequest(arguments, context.io));
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  absl::StatusOr<SequenceResult> result;
  {
    const Progress progress({.enabled = context.io.err_is_terminal, .what = "inferring"}, context.io.err);
    result = client.InferSequence(request);
  }
  GRUSERVE_RETURN_IF_ERROR(result.status());
  if (!arguments.output.empty())
    GRUSERVE_RETURN_IF_ERROR(WriteArray(arguments.output, result->output, context.io));
  if (!arguments.h_n.empty() && !result->states.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the model has ", result->states.size(),
                     " hidden states, --h-n writes the one of a model that has one"));
  }
  if (!arguments.h_n.empty()) GRUSERVE_RETURN_IF_ERROR(WriteArray(arguments.h_n, result->h_n, context.io));
  return absl::OkStatus();
}

}  // namespace

void AddInferCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const command = AddCommand(
      app, context, "infer", "Run whole sequences, as torch.nn.GRU; the server keeps nothing",
      "  gruserve infer demo --input x.npy --output y.npy --h-n hn.npy\n"
      "  gruserve infer demo --input x.npy --h0 h.npy --lengths 3,1,2 --batch-first --output y.npy\n"
      "  gruserve infer demo --input x.csv --last --output y.json\n"
      "  gruserve infer demo < x.csv",
      [context, arguments] { return RunInfer(*context, *arguments); });
  AddModelArguments(command, &arguments->model);
  command->add_option("--input", arguments->input, "x: [T, B, I] or [T, I]; - is stdin")
      ->capture_default_str();
  command->add_option("--h0", arguments->h0, "[layers * directions, B, H]; zeros where absent");
  command->add_option("--lengths", arguments->lengths, "Each batch row's own length, such as 3,1,2");
  command->add_flag("--batch-first", arguments->batch_first, "Input and output are [B, T, ...]");
  command->add_flag("--last", arguments->last, "Only each row's last output: [B, D * H]");
  command->add_option("--output", arguments->output,
                      "Where y goes: .npy, .csv, .json, or - for CSV on stdout, the default without --h-n");
  command->add_option("--h-n", arguments->h_n, "Where the last hidden state goes");
}

}  // namespace gruserve::client
