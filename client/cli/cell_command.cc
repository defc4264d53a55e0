// `gruserve cell MODEL`: one GRU cell, without state.

#include <memory>
#include <utility>

#include "client/cli/array_file.h"
#include "client/cli/command.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

struct Arguments {
  ModelSpec model;
  std::string input = "-";
  std::string h;
  std::string output = "-";
};

absl::Status RunCell(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments.output));
  CellRequest request;
  request.model = arguments.model;
  GRUSERVE_ASSIGN_OR_RETURN(request.input, ReadArray(arguments.input, context.io));
  if (!arguments.h.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(request.h, ReadArray(arguments.h, context.io));
  }
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const CellResult result, client.InferCell(request));
  return WriteArray(arguments.output, result.h, context.io);
}

}  // namespace

void AddCellCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      AddCommand(app, context, "cell", "Run one GRU cell: (x, h) -> h', as torch.nn.GRUCell",
                 "  gruserve cell demo_cell --input x.npy --h h.npy --output h1.npy\n"
                 "  echo 0.1,0.2,0.3 | gruserve cell demo_cell",
                 [context, arguments] { return RunCell(*context, *arguments); });
  command->set_help_flag("--help", "Print this help message and exit");  // CLI11 2.4 takes -h for --h.
  AddModelArguments(command, &arguments->model);
  command->add_option("--input", arguments->input, "x: [B, I] or [I]; - is stdin")->capture_default_str();
  command->add_option("--h", arguments->h, "h: [B, H] or [H]; zeros where absent");
  command->add_option("--output", arguments->output, "Where h' goes; - is stdout")->capture_default_str();
}

}  // namespace gruserve::client
