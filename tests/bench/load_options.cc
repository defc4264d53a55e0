#include "tests/bench/load_options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace gruserve::bench {

LoadOptions ParseLoadOptions(int argc, char** argv) {
  LoadOptions options;
  CLI::App app("Loads a server that speaks gruserve.v1 and prints what it measured as JSON.", "bench-load");
  app.add_option("mode", options.mode, "What to send.")
      ->required()
      ->check(CLI::IsMember({"steps", "sequences"}));
  app.add_option("--server", options.server, "HOST:PORT.")->required();
  app.add_option("--model", options.model, "The model.")->required();
  app.add_option("--input-size", options.input_size, "Features of an input row.")->required();
  app.add_option("--server-pid", options.server_pid, "Process whose CPU and memory to measure.");
  app.add_option("--connections", options.connections, "Streams and calls are spread over these.");
  app.add_option("--warm-up", options.warm_up_seconds, "Seconds before anything counts.");
  app.add_option("--seconds", options.seconds, "Seconds that count.");
  app.add_option("--rate", options.rate, "Operations a second, open loop. 0: closed loop.");
  app.add_option("--streams", options.streams, "StreamSteps calls.");
  app.add_option("--sessions", options.sessions_per_stream, "Sessions of each stream; a message steps all.");
  app.add_option("--live", options.live_sessions,
                 "Sessions that each stream holds; a message steps the next --sessions of them.");
  app.add_option("--in-flight", options.messages_in_flight, "Messages in flight on each stream.");
  app.add_option("--time-steps", options.time_steps, "T of a sequence.");
  app.add_option("--batch", options.batch_size, "B of a sequence.");
  app.add_option("--concurrency", options.concurrency, "InferSequence calls in flight.");
  try {
    app.parse(argc, argv);
    if (options.live_sessions % options.sessions_per_stream != 0)
      throw CLI::ValidationError("--live", "a multiple of --sessions is wanted");
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

}  // namespace gruserve::bench
