#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <utility>

namespace gruserve::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Seconds, from 10 us to 10 s.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 1, 10};
const prometheus::Histogram::BucketBoundaries kRows = {1, 2, 4, 8, 16, 32, 64};

// One family of values read at scrape time.
MetricFamily Sampled(const std::string& name, const std::string& help, MetricType type,
                     const std::vector<std::pair<Labels, int64_t>>& samples) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  for (const auto& [labels, value] : samples) {
    ClientMetric metric;
    metric.label = labels;
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = static_cast<double>(value);
    family.metric.push_back(std::move(metric));
  }
  return family;
}

Labels Label(const std::string& name, const std::string& value) {
  ClientMetric::Label label;
  label.name = name;
  label.value = value;
  return {label};
}

std::vector<MetricFamily> SessionFamilies(const SessionTable::Counters& sessions) {
  return {
      Sampled("gruserve_sessions_live", "Sessions in memory.", MetricType::Gauge, {{{}, sessions.live}}),
      Sampled("gruserve_sessions_attached", "Sessions that a stream holds.", MetricType::Gauge,
              {{{}, sessions.attached}}),
      Sampled("gruserve_session_memory_bytes", "Bytes charged to the session memory budget.",
              MetricType::Gauge, {{{}, sessions.memory_bytes}}),
      Sampled("gruserve_sessions_opened_total", "Sessions opened.", MetricType::Counter,
              {{{}, sessions.opened}}),
      Sampled("gruserve_sessions_resumed_total", "Sessions resumed.", MetricType::Counter,
              {{{}, sessions.resumed}}),
      Sampled("gruserve_sessions_ended_total", "Sessions ended, by cause.", MetricType::Counter,
              {{Label("cause", "closed"), sessions.closed},
               {Label("cause", "idle"), sessions.evicted_idle},
               {Label("cause", "grace"), sessions.evicted_grace},
               {Label("cause", "demand"), sessions.evicted_on_demand},
               {Label("cause", "fenced"), sessions.fenced},
               {Label("cause", "version_retired"), sessions.retired}}),
      Sampled("gruserve_sessions_carried_total", "Sessions that went over to another model version.",
              MetricType::Counter, {{{}, sessions.carried}}),
      Sampled("gruserve_sessions_refused_total", "Opens refused, by cause.", MetricType::Counter,
              {{Label("cause", "budget"), sessions.refused_budget}}),
      Sampled("gruserve_late_steps_total", "Steps that came later than their real-time contract says.",
              MetricType::Counter, {{{}, sessions.late_steps}}),
      Sampled("gruserve_real_time_promised_nanoseconds",
              "Compute time a second that is promised to real-time contracts.", MetricType::Gauge,
              {{{}, sessions.real_time_promised}}),
      Sampled("gruserve_real_time_limit_nanoseconds", "Compute time a second that may be promised.",
              MetricType::Gauge, {{{}, sessions.real_time_limit}}),
  };
}

std::vector<MetricFamily> StoreFamilies(const StoreWriter::Counters& store) {
  return {
      Sampled("gruserve_store_available", "Whether the session store answered last.", MetricType::Gauge,
              {{{}, store.available ? 1 : 0}}),
      Sampled("gruserve_store_unsaved_sessions", "Sessions that wait to be written.", MetricType::Gauge,
              {{{}, store.unsaved}}),
      Sampled("gruserve_store_batches_total", "Writes to the store, of many checkpoints each.",
              MetricType::Counter, {{{}, store.batches}}),
      Sampled("gruserve_store_checkpoints_total", "Checkpoints written.", MetricType::Counter,
              {{{}, store.checkpoints}}),
      Sampled("gruserve_store_checkpoint_bytes_total", "Bytes of them.", MetricType::Counter,
              {{{}, store.checkpoint_bytes}}),
      Sampled("gruserve_store_failures_total", "Checkpoints that had to be written again.",
              MetricType::Counter, {{{}, store.failures}}),
      Sampled("gruserve_store_acquired_total", "Records created or taken over.", MetricType::Counter,
              {{{}, store.acquired}}),
      Sampled("gruserve_store_write_microseconds_total", "Time that writes took.", MetricType::Counter,
              {{{}, absl::ToInt64Microseconds(store.write_time)}}),
  };
}

MetricFamily ModelFamily(const std::vector<ModelStatus>& models) {
  std::map<ModelState, int64_t> count;
  for (const ModelStatus& model : models) ++count[model.state];
  return Sampled("gruserve_models", "Model versions, by state.", MetricType::Gauge,
                 {{Label("state", "LOADING"), count[ModelState::kLoading]},
                  {Label("state", "READY"), count[ModelState::kReady]},
                  {Label("state", "FAILED"), count[ModelState::kFailed]}});
}

std::vector<MetricFamily> RepositoryFamilies(const ModelRepository::Counters& repository) {
  return {
      Sampled(
          "gruserve_model_loads_total", "Loads of a model version, by outcome.", MetricType::Counter,
          {{Label("outcome", "ready"), repository.loaded}, {Label("outcome", "failed"), repository.failed}}),
      Sampled("gruserve_model_unloads_total", "Model versions taken out.", MetricType::Counter,
              {{{}, repository.unloaded}}),
      Sampled("gruserve_model_load_microseconds_total", "Time that loads took.", MetricType::Counter,
              {{{}, absl::ToInt64Microseconds(repository.load_time)}}),
      Sampled("gruserve_model_memory_bytes", "Weights in memory.", MetricType::Gauge,
              {{{}, repository.memory_bytes}}),
      Sampled("gruserve_models_retired", "Old model versions that sessions hold.", MetricType::Gauge,
              {{{}, repository.retired}}),
  };
}

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry,
                                                       const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Histogram>& HistogramFamily(prometheus::Registry& registry,
                                                           const std::string& name, const std::string& help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

// Metrics whose labels are known are looked up once, here.
struct Metrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& rpcs =
      CounterFamily(registry, "gruserve_rpcs_total", "RPCs ended.");
  prometheus::Family<prometheus::Histogram>& rpc_seconds =
      HistogramFamily(registry, "gruserve_rpc_seconds", "How long RPCs took.");
  prometheus::Family<prometheus::Counter>& step_errors =
      CounterFamily(registry, "gruserve_step_errors_total", "Session operations that failed, by code.");
  prometheus::Counter& steps =
      CounterFamily(registry, "gruserve_steps_total", "Time steps of sessions that ran.").Add({});
  prometheus::Histogram& step_seconds =
      HistogramFamily(registry, "gruserve_step_seconds", "From a session operation's arrival to its result.")
          .Add({}, kSeconds);
  prometheus::Counter& read_pauses =
      CounterFamily(registry, "gruserve_stream_read_pauses_total", "Streams that waited for their reader.")
          .Add({});
  prometheus::Counter& row_steps = CounterFamily(registry, "gruserve_sequence_row_steps_total",
                                                 "Time steps of sequences, summed over rows.")
                                       .Add({});
  prometheus::Histogram& sequence_seconds =
      HistogramFamily(registry, "gruserve_sequence_seconds", "From a sequence's arrival to its result.")
          .Add({}, kSeconds);
  prometheus::Histogram& batch_rows =
      HistogramFamily(registry, "gruserve_batch_rows", "Rows that one batch of steps ran together.")
          .Add({}, kRows);
  prometheus::Histogram& queue_wait_seconds =
      HistogramFamily(registry, "gruserve_queue_wait_seconds", "How long a batch's oldest step had waited.")
          .Add({}, kSeconds);
  prometheus::Histogram& batch_run_seconds =
      HistogramFamily(registry, "gruserve_batch_run_seconds", "How long a batch of steps ran.")
          .Add({}, kSeconds);
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {
  prometheus::BuildGauge()
      .Name("gruserve_build_info")
      .Help("The version of this server.")
      .Register(families_->registry)
      .Add({{"version", GRUSERVE_VERSION}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::CountRpc(const std::string& method, absl::StatusCode code, absl::Duration took) {
  const std::string name = code == absl::StatusCode::kOk ? "OK" : absl::StatusCodeToString(code);
  families_->rpcs.Add({{"method", method}, {"code", name}}).Increment();
  families_->rpc_seconds.Add({{"method", method}}, kSeconds).Observe(absl::ToDoubleSeconds(took));
}

void Metrics::CountSteps(int64_t time_steps, absl::StatusCode code, absl::Duration took) {
  if (code != absl::StatusCode::kOk) {
    families_->step_errors.Add({{"code", absl::StatusCodeToString(code)}}).Increment();
    return;
  }
  families_->steps.Increment(static_cast<double>(time_steps));
  families_->step_seconds.Observe(absl::ToDoubleSeconds(took));
}

void Metrics::CountSequence(int64_t row_steps, absl::Duration took) {
  families_->row_steps.Increment(static_cast<double>(row_steps));
  families_->sequence_seconds.Observe(absl::ToDoubleSeconds(took));
}

void Metrics::CountBatch(int64_t rows, absl::Duration waited, absl::Duration ran) {
  families_->batch_rows.Observe(static_cast<double>(rows));
  families_->queue_wait_seconds.Observe(absl::ToDoubleSeconds(waited));
  families_->batch_run_seconds.Observe(absl::ToDoubleSeconds(ran));
}

void Metrics::CountReadPause() { families_->read_pauses.Increment(); }

std::string Metrics::Text(const SessionTable::Counters& sessions, const std::vector<ModelStatus>& models,
                          const ModelRepository::Counters& repository,
                          const std::optional<StoreWriter::Counters>& store) const {
  std::vector<MetricFamily> all = families_->registry.Collect();
  for (MetricFamily& family : SessionFamilies(sessions)) all.push_back(std::move(family));
  all.push_back(ModelFamily(models));
  for (MetricFamily& family : RepositoryFamilies(repository)) all.push_back(std::move(family));
  if (!store.has_value()) return prometheus::TextSerializer().Serialize(all);
  for (MetricFamily& family : StoreFamilies(*store)) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace gruserve::server
