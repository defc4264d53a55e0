// Tells ThreadSanitizer what absl::Mutex does. Linked into every test of the
// `tsan` preset, and into nothing else.
//
// The distribution's libabsl is not instrumented: TSan sees no lock in it, and
// would report every guarded field as a race. Suppressing those reports would
// hide real races with them. So these definitions stand in front of the library's
// (the dynamic linker prefers the program's), annotate, and call on.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/base/config.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#define GRUSERVE_QUOTE_INNER(text) #text
#define GRUSERVE_QUOTE(text) GRUSERVE_QUOTE_INNER(text)

namespace {

// The library's own function, by what its mangled name ends with.
void* Original(const char* suffix) {
  const std::string lts = GRUSERVE_QUOTE(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = "_ZN4absl" + std::to_string(lts.size()) + lts + suffix;
  void* found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) {
    std::fprintf(stderr, "no %s in the shared libraries\n", name.c_str());
    std::abort();
  }
  return found;
}

template <typename Function>
Function As(void* address) {
  return reinterpret_cast<Function>(address);
}

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;

using LockFunction = void (*)(absl::Mutex*);
using TryFunction = bool (*)(absl::Mutex*);

void LockAs(absl::Mutex* mutex, unsigned flags, LockFunction lock) {
  __tsan_mutex_pre_lock(mutex, flags);
  lock(mutex);
  __tsan_mutex_post_lock(mutex, flags, 0);
}

void UnlockAs(absl::Mutex* mutex, unsigned flags, LockFunction unlock) {
  __tsan_mutex_pre_unlock(mutex, flags);
  unlock(mutex);
  __tsan_mutex_post_unlock(mutex, flags);
}

bool TryLockAs(absl::Mutex* mutex, unsigned flags, TryFunction try_lock) {
  flags |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mutex, flags);
  const bool locked = try_lock(mutex);
  __tsan_mutex_post_lock(mutex, locked ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  return locked;
}

// Around a wait, which lets go of `mutex` and takes it again. TSan ignores what
// lies between a `pre` and its `post`, so both pairs are closed.
void Release(absl::Mutex* mutex) {
  __tsan_mutex_pre_unlock(mutex, kWrite);
  __tsan_mutex_post_unlock(mutex, kWrite);
}

void Reacquire(absl::Mutex* mutex) {
  __tsan_mutex_pre_lock(mutex, kWrite);
  __tsan_mutex_post_lock(mutex, kWrite, 0);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto original = As<LockFunction>(Original("5Mutex4LockEv"));
  LockAs(this, kWrite, original);
}

void Mutex::Unlock() {
  static const auto original = As<LockFunction>(Original("5Mutex6UnlockEv"));
  UnlockAs(this, kWrite, original);
}

bool Mutex::TryLock() {
  static const auto original = As<TryFunction>(Original("5Mutex7TryLockEv"));
  return TryLockAs(this, kWrite, original);
}

void Mutex::ReaderLock() {
  static const auto original = As<LockFunction>(Original("5Mutex10ReaderLockEv"));
  LockAs(this, kRead, original);
}

void Mutex::ReaderUnlock() {
  static const auto original = As<LockFunction>(Original("5Mutex12ReaderUnlockEv"));
  UnlockAs(this, kRead, original);
}

bool Mutex::ReaderTryLock() {
  static const auto original = As<TryFunction>(Original("5Mutex13ReaderTryLockEv"));
  return TryLockAs(this, kRead, original);
}

void CondVar::Wait(Mutex* mutex) {
  static const auto original = As<void (*)(CondVar*, Mutex*)>(Original("7CondVar4WaitEPNS0_5MutexE"));
  Release(mutex);
  original(this, mutex);
  Reacquire(mutex);
}

bool CondVar::WaitWithDeadline(Mutex* mutex, absl::Time deadline) {
  static const auto original = As<bool (*)(CondVar*, Mutex*, absl::Time)>(
      Original("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  Release(mutex);
  const bool timed_out = original(this, mutex, deadline);
  Reacquire(mutex);
  return timed_out;
}

// The library's own calls WaitWithDeadline, which would let go of the mutex twice.
bool CondVar::WaitWithTimeout(Mutex* mutex, absl::Duration timeout) {
  return WaitWithDeadline(mutex, absl::Now() + timeout);
}

ABSL_NAMESPACE_END
}  // namespace absl
