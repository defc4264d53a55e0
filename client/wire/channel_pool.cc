#include "client/wire/channel_pool.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <utility>

namespace gruserve::client {

ChannelPool::ChannelPool(std::string target, const grpc::ChannelArguments& arguments)
    : target_(std::move(target)),
      arguments_(arguments),
      unary_(NewChannel()),
      channels_{std::make_shared<const std::shared_ptr<grpc::Channel>>(unary_)} {}

ChannelPool::Lease ChannelPool::LeaseForStream() {
  const absl::MutexLock lock(&mu_);
  for (const Lease& channel : channels_) {
    if (channel.use_count() <= kStreamsPerChannel) return channel;
  }
  channels_.push_back(std::make_shared<const std::shared_ptr<grpc::Channel>>(NewChannel()));
  return channels_.back();
}

std::shared_ptr<grpc::Channel> ChannelPool::NewChannel() const {
  return grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments_);
}

}  // namespace gruserve::client
