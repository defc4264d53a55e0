// What the server says of models, as plain values.

#ifndef GRUSERVE_CLIENT_WIRE_MODEL_CODEC_H_
#define GRUSERVE_CLIENT_WIRE_MODEL_CODEC_H_

#include <vector>

#include "client/model_info.h"
#include "gruserve/v1/model.pb.h"

namespace gruserve::client {

void EncodeModelSpec(const ModelSpec& spec, v1::ModelSpec* proto);
ModelSpec DecodeModelSpec(const v1::ModelSpec& proto);
ModelSummary DecodeModelSummary(const v1::ModelSummary& proto);
std::vector<ModelSummary> DecodeModelSummaries(
    const google::protobuf::RepeatedPtrField<v1::ModelSummary>& protos);
ModelDescription DecodeModelDescription(const v1::ModelDescription& proto);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_MODEL_CODEC_H_
