// The connections of one client: the first one for unary calls, as many as it
// takes for streams, since a server bounds the streams of a connection and one
// beyond the bound would hang.
//
// Thread-safe. Leases may outlive the pool.

#ifndef GRUSERVE_CLIENT_WIRE_CHANNEL_POOL_H_
#define GRUSERVE_CLIENT_WIRE_CHANNEL_POOL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace gruserve::client {

class ChannelPool {
 public:
  // Below the server's usual bound of 1024 (MAX_CONCURRENT_STREAMS), to leave
  // room for unary calls and for other clients behind one proxy.
  static constexpr long kStreamsPerChannel = 256;

  // Counts as one stream of its channel while it lives.
  using Lease = std::shared_ptr<const std::shared_ptr<grpc::Channel>>;

  ChannelPool(std::string target, const grpc::ChannelArguments& arguments);

  const std::shared_ptr<grpc::Channel>& unary() const { return unary_; }
  Lease LeaseForStream() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  std::shared_ptr<grpc::Channel> NewChannel() const;

  // Constant after construction.
  const std::string target_;
  const grpc::ChannelArguments arguments_;
  const std::shared_ptr<grpc::Channel> unary_;

  absl::Mutex mu_;
  // Each channel's use count, less the pool's own, is its number of streams.
  std::vector<Lease> channels_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_CHANNEL_POOL_H_
