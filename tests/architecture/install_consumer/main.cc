#include <iostream>

#include "gruserve/client/client.h"
#include "gruserve/v1/inference_service.pb.h"

int main() {
  namespace gc = gruserve::client;
  const auto nowhere = gc::Client::Connect("");
  const auto client = gc::Client::Connect("127.0.0.1:50051");
  if (nowhere.ok() || !client.ok()) return 1;
  gruserve::v1::Tensor tensor;
  tensor.add_shape(3);
  std::cout << "consumer: " << nowhere.status() << "; "
            << gruserve::v1::InferSequenceRequest::descriptor()->full_name() << "; "
            << tensor.ShortDebugString() << "\n";
  return 0;
}
