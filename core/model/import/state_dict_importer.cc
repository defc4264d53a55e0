#include "core/model/import/state_dict_importer.h"

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/import/tensor_reader.h"

namespace gruserve {
namespace {

// The four tensors of a layer and direction, in PyTorch's names.
constexpr std::array<std::string_view, 4> kRoles = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
enum Role : size_t { kWeightIh, kWeightHh, kBiasIh, kBiasHh };

constexpr int64_t kMaxLayers = 1024;
// A weight matrix of this size has 2^40 elements: beyond any GRU.
constexpr int64_t kMaxSize = int64_t{1} << 20;

// Where a tensor belongs.
struct Place {
  Role role = kWeightIh;
  int64_t layer = 0;
  int64_t direction = 0;
  bool cell = false;  // Of a GRUCell: no layer in its name.
};

struct Named {
  std::string name;
  const SafetensorsEntry* entry = nullptr;
};

// The tensors found, by layer and direction, then role.
using Found = std::map<std::pair<int64_t, int64_t>, std::array<Named, 4>>;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// "weight_hh_l2_reverse" and the like; nothing where it is no tensor of a GRU.
std::optional<Place> ParsePlace(std::string_view name) {
  for (size_t role = 0; role < kRoles.size(); ++role) {
    if (name.substr(0, kRoles[role].size()) != kRoles[role]) continue;
    std::string_view rest = name.substr(kRoles[role].size());
    Place place{.role = static_cast<Role>(role)};
    if (rest.empty()) {
      place.cell = true;
      return place;
    }
    if (rest.substr(0, 2) != "_l") return std::nullopt;
    rest.remove_prefix(2);
    constexpr std::string_view kReverse = "_reverse";
    if (rest.size() > kReverse.size() && rest.substr(rest.size() - kReverse.size()) == kReverse) {
      place.direction = 1;
      rest.remove_suffix(kReverse.size());
    }
    const bool plain = !rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos &&
                       (rest == "0" || rest[0] != '0');
    if (!plain || !absl::SimpleAtoi(std::string(rest), &place.layer) || place.layer >= kMaxLayers)
      return std::nullopt;
    return place;
  }
  return std::nullopt;
}

// The prefix, up to a dot, that all names share; empty where they share none.
std::string SharedPrefix(const SafetensorsFile& file) {
  const std::string& first = file.entries().begin()->first;
  const size_t dot = first.rfind('.');
  if (dot == std::string::npos) return "";
  std::string prefix = first.substr(0, dot + 1);
  for (const auto& [name, entry] : file.entries()) {
    if (name.compare(0, prefix.size(), prefix) != 0) return "";
  }
  return prefix;
}

// The tensors of one GRU or GRUCell.
struct GruTensors {
  Found found;
  std::optional<bool> is_cell;

  absl::Status Add(const Place& place, const Named& tensor) {
    if (is_cell.value_or(place.cell) != place.cell) {
      return Bad(absl::StrCat("tensor ", ShownTensorName(tensor.name), " is ",
                              place.cell ? "a GRUCell's" : "a GRU's", ", the tensors before it are ",
                              place.cell ? "a GRU's" : "a GRUCell's"));
    }
    is_cell = place.cell;
    found[{place.layer, place.direction}][place.role] = tensor;
    return absl::OkStatus();
  }
};

// "weight_ih_l0_reverse": what a missing tensor would be called.
std::string RoleName(Role role, int64_t layer, int64_t direction, bool cell) {
  return cell ? std::string(kRoles[role])
              : absl::StrCat(std::string(kRoles[role]), "_l", layer, direction == 1 ? "_reverse" : "");
}

// The config by the tensors' presence and the first layer's shapes.
absl::StatusOr<GruConfig> Describe(const Found& found, bool is_cell) {
  GruConfig config;
  config.module_kind = is_cell ? ModuleKind::kGruCell : ModuleKind::kGru;
  config.num_directions = found.contains({0, 1}) ? 2 : 1;
  config.num_layers = found.rbegin()->first.first + 1;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      const bool wanted = direction < config.num_directions;
      if (found.contains({layer, direction}) == wanted) continue;
      return Bad(wanted ? absl::StrCat("tensor ", RoleName(kWeightIh, layer, direction, is_cell),
                                       " is missing: the file has ", config.num_layers, " layers of ",
                                       config.num_directions, " directions")
                        : absl::StrCat("tensor weight_ih_l0_reverse is missing: layer ", layer,
                                       " has a reverse direction"));
    }
  }
  const std::array<Named, 4>& first = found.begin()->second;
  config.bias = first[kBiasIh].entry != nullptr || first[kBiasHh].entry != nullptr;
  for (const auto& [place, roles] : found) {
    for (size_t role = 0; role < roles.size(); ++role) {
      const bool wanted = role <= kWeightHh || config.bias;
      if ((roles[role].entry != nullptr) == wanted) continue;
      const std::string name = RoleName(static_cast<Role>(role), place.first, place.second, is_cell);
      return Bad(
          wanted ? absl::StrCat("tensor ", name, " is missing",
                                role >= kBiasIh ? ": biases come for all layers, ih and hh, or for none" : "")
                 : absl::StrCat("tensor ", name,
                                " comes without biases in layer 0: all layers have them or none"));
    }
  }
  const std::vector<int64_t>& ih = first[kWeightIh].entry->shape;
  const std::vector<int64_t>& hh = first[kWeightHh].entry->shape;
  if (ih.size() != 2 || hh.size() != 2) {
    const Named& odd = ih.size() != 2 ? first[kWeightIh] : first[kWeightHh];
    return Bad(
        absl::StrCat("tensor ", odd.name, " has ", odd.entry->shape.size(), " dimensions, expected 2"));
  }
  if (ih[1] < 1 || hh[1] < 1 || ih[1] > kMaxSize || hh[1] > kMaxSize) {
    return Bad(absl::StrCat("tensors ", first[kWeightIh].name, " and ", first[kWeightHh].name,
                            " say input_size ", ih[1], " and hidden_size ", hh[1], ", expected 1 to ",
                            kMaxSize));
  }
  if (hh[0] == 4 * hh[1]) {
    return Bad(absl::StrCat("tensor ", first[kWeightHh].name, " has ", hh[0], " rows for hidden_size ", hh[1],
                            ": four gates are an LSTM; this server hosts GRUs, with three"));
  }
  config.input_size = ih[1];
  config.hidden_size = hh[1];
  return config;
}

absl::StatusOr<std::vector<float>> Floats(const SafetensorsFile& file, const Named& tensor,
                                          const std::vector<int64_t>& wanted) {
  return ReadTensor(file, tensor.name, *tensor.entry, wanted);
}

absl::StatusOr<GruNetwork> Import(const SafetensorsFile& file, const Found& found, bool is_cell,
                                  CellKind cell_kind) {
  GruNetwork network;
  GRUSERVE_ASSIGN_OR_RETURN(network.config, Describe(found, is_cell));
  network.config.cell_kind = cell_kind;
  const GruConfig& config = network.config;
  const int64_t rows = 3 * config.hidden_size;
  for (const auto& [place, roles] : found) {
    const int64_t input_size = config.layer_input_size(place.first);
    GRUSERVE_ASSIGN_OR_RETURN(const auto weight_ih, Floats(file, roles[kWeightIh], {rows, input_size}));
    GRUSERVE_ASSIGN_OR_RETURN(const auto weight_hh,
                              Floats(file, roles[kWeightHh], {rows, config.hidden_size}));
    std::vector<float> bias_ih;
    std::vector<float> bias_hh;
    if (config.bias) {
      GRUSERVE_ASSIGN_OR_RETURN(bias_ih, Floats(file, roles[kBiasIh], {rows}));
      GRUSERVE_ASSIGN_OR_RETURN(bias_hh, Floats(file, roles[kBiasHh], {rows}));
    }
    network.parameter_count +=
        static_cast<int64_t>(weight_ih.size() + weight_hh.size() + bias_ih.size() + bias_hh.size());
    network.layers.push_back(
        FromPyTorch({weight_ih, weight_hh, bias_ih, bias_hh}, input_size, config.hidden_size, cell_kind));
  }
  return network;
}

}  // namespace

absl::StatusOr<GruNetwork> ImportStateDict(const SafetensorsFile& file) {
  if (file.entries().empty())
    return Bad("the file holds no tensors, expected those of an nn.GRU or nn.GRUCell");
  const std::string prefix = SharedPrefix(file);
  GruTensors tensors;
  for (const auto& [name, entry] : file.entries()) {
    const std::optional<Place> place = ParsePlace(std::string_view(name).substr(prefix.size()));
    if (!place) {
      return Bad(absl::StrCat("tensor ", ShownTensorName(name),
                              " does not belong to an nn.GRU or nn.GRUCell; a network with other modules "
                              "around its GRU needs a model.json that names its modules"));
    }
    GRUSERVE_RETURN_IF_ERROR(tensors.Add(*place, {name, &entry}));
  }
  return Import(file, tensors.found, *tensors.is_cell, CellKind::kLinearBeforeReset);
}

absl::StatusOr<GruNetwork> ImportGru(const SafetensorsFile& file, const std::string& prefix,
                                     CellKind cell_kind, std::set<std::string>* used) {
  GruTensors tensors;
  for (const auto& [name, entry] : file.entries()) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    const std::optional<Place> place = ParsePlace(std::string_view(name).substr(prefix.size()));
    if (!place) continue;
    GRUSERVE_RETURN_IF_ERROR(tensors.Add(*place, {name, &entry}));
    used->insert(name);
  }
  if (tensors.found.empty())
    return Bad(absl::StrCat("tensor ", ShownTensorName(prefix), "weight_ih_l0 (or ", ShownTensorName(prefix),
                            "weight_ih of a GRUCell) is missing"));
  return Import(file, tensors.found, *tensors.is_cell, cell_kind);
}

}  // namespace gruserve
