// `gruserve stream MODEL`: step by step through one session.

#include <istream>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include "absl/time/clock.h"
#include "client/cli/array_file.h"
#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "client/cli/step_recorder.h"
#include "client/cli/step_source.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

constexpr char kExamples[] =
    "  gruserve stream demo --input x.npy --output y.npy --h-n hn.npy\n"
    "  gruserve stream demo --input x.npy --chunk 64 --output y.npy\n"
    "  tail -f sensor.csv | gruserve stream demo              # a line out for each line in\n"
    "  gruserve stream demo --input x.csv --rate 100          # 100 steps a second\n"
    "  gruserve stream demo --input x.csv --rate 100 --deadline-ms 5    # each promised within 5 ms\n"
    "  gruserve stream demo --session pump-7 < monday.csv     # and goes on where it was:\n"
    "  gruserve stream demo --session pump-7 < tuesday.csv";

struct Arguments {
  ModelSpec model;
  std::string input = "-";
  std::string h0;
  int64_t chunk = 1;
  double rate_hz = 0;
  double deadline_ms = 0;
  std::string session_id;
  bool close = false;
  bool quiet = false;
  std::string output;
  std::string h_n;
};

absl::Status Check(const Arguments& arguments) {
  if (arguments.deadline_ms > 0 && arguments.rate_hz <= 0) {
    return UsageError("--deadline-ms without --rate: a promise needs to know how often steps come");
  }
  if (arguments.h_n == "-") return UsageError("--h-n is stdout, a file is wanted");
  if (!arguments.output.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments.output));
  if (!arguments.h_n.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments.h_n));
  return absl::OkStatus();
}

// Lines are what a pipe is for: they go out unless a file was in, and files are
// asked for in their place.
bool WantsLines(const Arguments& arguments) {
  if (arguments.quiet) return false;
  if (arguments.output == "-" || arguments.input == "-") return true;
  return arguments.output.empty() && arguments.h_n.empty();
}

bool KeepsOutput(const Arguments& arguments) { return !arguments.output.empty() && arguments.output != "-"; }

absl::StatusOr<OpenOptions> ToOpen(const Arguments& arguments, int64_t batch_size, const CliIo& io) {
  OpenOptions open;
  open.model = arguments.model;
  open.session_id = arguments.session_id;
  open.batch_size = batch_size;
  // A named session outlives this command, and is gone on with by the next one;
  // a first state makes it new.
  open.close_with_stream = arguments.session_id.empty();
  if (arguments.deadline_ms > 0) {
    open.real_time =
        RealTimeContract{absl::Seconds(1 / arguments.rate_hz), absl::Milliseconds(arguments.deadline_ms)};
  }
  if (!arguments.session_id.empty() && arguments.h0.empty()) open.mode = OpenMode::kCreateOrResume;
  if (!arguments.h0.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(open.h_0, ReadArray(arguments.h0, io));
  }
  return open;
}

// Sends everything that the source has, at the wanted rate, until one fails.
absl::Status SendAll(const Arguments& arguments, StepSource* source, StreamSession* session,
                     StepRecorder* recorder, Progress* progress) {
  const absl::Time start = absl::Now();
  const bool chunk = arguments.chunk > 1;
  int64_t sent = 0;
  while (recorder->status().ok()) {
    GRUSERVE_ASSIGN_OR_RETURN(std::optional<Tensor> input, source->Next(arguments.chunk));
    if (!input) break;
    const int64_t steps = input->shape[0];
    if (arguments.rate_hz > 0) {
      const absl::Time due = start + absl::Seconds(static_cast<double>(sent) / arguments.rate_hz);
      if (!recorder->WaitUntil(due).ok()) break;
    }
    sent += steps;
    if (!chunk) input->shape.erase(input->shape.begin());
    session->WaitForRoom();
    // Of a pipe nobody knows which line is the last.
    const bool want_state = !arguments.h_n.empty() && (source->at_end() || source->total_steps() == 0);
    session->StepAsync(*std::move(input),
                       [recorder, progress, chunk, steps](const absl::StatusOr<StepResult>& result) {
                         recorder->Record(result, chunk);
                         progress->Add(steps);
                       },
                       {.return_state = want_state});
  }
  return absl::OkStatus();
}

// Ends the session, or leaves it, and the stream, which answers what is under way.
absl::Status End(const Arguments& arguments, StreamSession* session, StepStream* stream) {
  const bool close = arguments.close || arguments.session_id.empty();
  const absl::Status closed = close && session->status().ok() ? session->Close().status() : absl::OkStatus();
  const absl::Status finished = stream->Finish();
  return closed.ok() ? finished : closed;
}

absl::Status RunStream(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_RETURN_IF_ERROR(Check(arguments));
  const CliIo& io = context.io;
  GRUSERVE_ASSIGN_OR_RETURN(const std::unique_ptr<StepSource> source, OpenStepSource(arguments.input, io));
  GRUSERVE_ASSIGN_OR_RETURN(const OpenOptions open, ToOpen(arguments, source->batch_size(), io));
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  const bool lines = WantsLines(arguments);
  StepRecorder recorder({.lines = lines ? io.out : nullptr, .keep_output = KeepsOutput(arguments)});
  {
    Progress progress(
        {.enabled = io.err_is_terminal && !lines, .what = "streaming", .total = source->total_steps()},
        io.err);
    // Last, so that it ends first: its callbacks use all of the above.
    const std::unique_ptr<StepStream> stream = client.OpenStream({.call_timeout = context.timeout()});
    GRUSERVE_ASSIGN_OR_RETURN(StreamSession session, stream->Open(open));
    const absl::Status sent = SendAll(arguments, source.get(), &session, &recorder, &progress);
    const absl::Status ended = End(arguments, &session, stream.get());
    GRUSERVE_RETURN_IF_ERROR(recorder.status());
    GRUSERVE_RETURN_IF_ERROR(sent);
    GRUSERVE_RETURN_IF_ERROR(ended);
  }
  if (KeepsOutput(arguments))
    GRUSERVE_RETURN_IF_ERROR(WriteArray(arguments.output, recorder.TakeOutput(), io));
  if (!arguments.h_n.empty()) GRUSERVE_RETURN_IF_ERROR(WriteArray(arguments.h_n, recorder.TakeState(), io));
  return absl::OkStatus();
}

}  // namespace

void AddStreamCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      AddCommand(app, context, "stream", "Run step by step; the server keeps the hidden state", kExamples,
                 [context, arguments] { return RunStream(*context, *arguments); });
  AddModelArguments(command, &arguments->model);
  command
      ->add_option(
          "--input", arguments->input,
          "x: [T, I], or [T, B, I] for one session of batch B; - is stdin: lines of numbers, each sent as "
          "it comes, or a .npy file")
      ->capture_default_str();
  command->add_option("--h0", arguments->h0, "The first hidden state: [layers, B, H]; zeros where absent");
  command->add_option("--chunk", arguments->chunk, "Steps in a message")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->capture_default_str();
  command->add_option("--rate", arguments->rate_hz, "Steps a second; 0: as fast as they come")
      ->type_name("HZ")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--deadline-ms", arguments->deadline_ms,
                   "With --rate: have the server promise each step's result within so long, ahead of others' "
                   "steps; 0: no promise")
      ->type_name("MS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option(
      "--session", arguments->session_id,
      "Go on with the session of this id, or create it; it stays for the server's grace period");
  command->add_flag("--close", arguments->close, "Close the session at the end, also a named one");
  command->add_flag("--quiet", arguments->quiet, "Print no lines");
  command->add_option(
      "--output", arguments->output,
      "Where y goes: .npy, .csv, .json, or - for lines. A line a step also goes to stdout where the "
      "input is stdin, or where no file is asked for");
  command->add_option("--h-n", arguments->h_n, "Where the last hidden state goes");
}

}  // namespace gruserve::client
