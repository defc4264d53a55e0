// Bugs that are put in on purpose, so that the chaos checker and the fuzzers can be checked:
// they must catch each. Only where GRUSERVE_SEEDED_BUGS is defined (presets `chaos` and
// `fuzz`), and then only the one whose number the variable GRUSERVE_SEEDED_BUG has;
// elsewhere they are no code.

#ifndef GRUSERVE_CORE_BASE_SEEDED_BUG_H_
#define GRUSERVE_CORE_BASE_SEEDED_BUG_H_

#ifdef GRUSERVE_SEEDED_BUGS
#include <cstdlib>
#endif

namespace gruserve {

// tests/chaos/chaos.py reads these lines.
enum class Bug {
  kSyncAnswersBeforeTheWrite = 1,
  kAsyncSaysDurableTooEarly = 2,
  kAcknowledgesWithoutWriting = 3,
  kOneWriteMakesAllDurable = 4,
  kZombieIsBelieved = 5,
  kResumesWithoutTheStore = 6,
  kAppliedStepsRunAgain = 7,
  kCheckpointForgetsResponses = 8,
  kCheckpointIsAStepAhead = 9,
  kCheckpointLosesALayer = 10,
  kRestoreForgetsTheState = 11,
  kRestoreBeginsAtStepOne = 12,
  kRestoreForgetsTheDigest = 13,
  kRestoreRemembersNothing = 14,
  kResponsesShiftByOne = 15,
  kChunkRemembersItsEndOnly = 16,
  kDigestLeavesStatesOut = 17,
  kResetDoesNothing = 18,
  kOneBitIsWrong = 19,
  kClientSendsNothingAgain = 20,
  kClientSendsAgainTooLate = 21,
  kClientForgetsTooEarly = 22,
  kClientGivesAnswersTwice = 23,
  kRewindDoesNothing = 24,
  kRestoreKeepsNoStates = 25,

  // Of the readers of files: deploy/fuzz.sh --off-by-one must find them.
  kSafetensorsDataIsAByteLonger = 101,
  kOnnxIndexMayBeTheSize = 102,
  kCheckpointHasAnElementMore = 103,
};

#ifdef GRUSERVE_SEEDED_BUGS
inline bool Seeded(Bug bug) {
  static const int number = [] {
    const char* const text = std::getenv("GRUSERVE_SEEDED_BUG");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  return number == static_cast<int>(bug);
}
#else
constexpr bool Seeded(Bug) { return false; }
#endif

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_SEEDED_BUG_H_
