#include "client/cli/progress.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace gruserve::client {
namespace {

constexpr int kBarWidth = 30;
constexpr absl::Duration kRedraw = absl::Milliseconds(200);
constexpr char kClearLine[] = "\r\x1b[K";

}  // namespace

Progress::Progress(Options options, std::ostream* err) : options_(std::move(options)), err_(err) {
  if (options_.enabled) drawer_ = std::thread([this] { Draw(); });
}

Progress::~Progress() {
  stop_.Notify();
  if (drawer_.joinable()) drawer_.join();
}

std::string Progress::Line(absl::Duration elapsed) const {
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  if (options_.total == 0) return absl::StrFormat("%s, %.0f s", options_.what, seconds);
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(options_.total));
  const int filled = static_cast<int>(share * kBarWidth);
  const double rate = static_cast<double>(done_) / seconds;
  const double left = rate > 0 ? static_cast<double>(options_.total - done_) / rate : 0;
  return absl::StrCat(options_.what, " [", std::string(static_cast<size_t>(filled), '#'),
                      std::string(static_cast<size_t>(kBarWidth - filled), '-'), "] ",
                      absl::StrFormat("%3.0f%% %d/%d steps, %.0f/s, %.0f s left", share * 100, done_.load(),
                                      options_.total, rate, left));
}

void Progress::Draw() {
  const absl::Time start = absl::Now();
  if (stop_.WaitForNotificationWithTimeout(options_.delay)) return;
  do {
    *err_ << kClearLine << Line(absl::Now() - start) << std::flush;
  } while (!stop_.WaitForNotificationWithTimeout(kRedraw));
  *err_ << kClearLine << std::flush;
}

}  // namespace gruserve::client
