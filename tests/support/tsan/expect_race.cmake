# Runs PROGRAM and fails unless ThreadSanitizer reports the race in AddRaced, and
# none in AddGuarded.
set(ENV{TSAN_OPTIONS} "suppressions=${SUPPRESSIONS} exitcode=66 halt_on_error=0")
execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE report)
message("${output}${report}")
if(NOT result EQUAL 66 OR NOT report MATCHES "data race.*AddRaced")
  message(FATAL_ERROR "the seeded race was not reported (exit code ${result})")
endif()
if(report MATCHES "AddGuarded")
  message(FATAL_ERROR "the guarded counter was reported: absl::Mutex is not understood")
endif()
