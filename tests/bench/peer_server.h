// A process that serves a PeerBackend as gruserve-server serves its models: same
// protocol, same channel arguments, same callback API.

#ifndef GRUSERVE_TESTS_BENCH_PEER_SERVER_H_
#define GRUSERVE_TESTS_BENCH_PEER_SERVER_H_

#include <string>

#include "tests/bench/peer_stream.h"

namespace gruserve::bench {

// Serves on a free port of the loopback, written to `port_file`, until SIGTERM.
// Returns the process's exit code.
int ServePeer(PeerBackend* backend, const std::string& port_file);

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_PEER_SERVER_H_
