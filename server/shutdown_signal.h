// Waits for SIGTERM or SIGINT.

#ifndef GRUSERVE_SERVER_SHUTDOWN_SIGNAL_H_
#define GRUSERVE_SERVER_SHUTDOWN_SIGNAL_H_

#include <csignal>

namespace gruserve::server {

class ShutdownSignal {
 public:
  // Keeps both signals pending from now on.
  // REQUIRES: no other thread runs yet; those to come inherit it.
  ShutdownSignal();

  // Blocks until one of them has come; answers which.
  int Wait() const;

 private:
  sigset_t signals_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SHUTDOWN_SIGNAL_H_
