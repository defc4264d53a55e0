# gruserve_add_library(NAME DIRS d... DEPS t...): the static library of one floor,
# all .cc files of its folders.
# gruserve_add_test(NAME DIRS d... DEPS t... LABELS l...): a test program, all
# *_test.cc files of its folders.

# A designated initializer leaves the rest to its defaults on purpose.
set(GRUSERVE_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND GRUSERVE_WARNINGS -Wthread-safety)
endif()
option(GRUSERVE_WERROR "Treat warnings as errors" OFF)
if(GRUSERVE_WERROR)
  list(APPEND GRUSERVE_WARNINGS -Werror)
endif()

function(gruserve_common target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE ${GRUSERVE_WARNINGS})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
endfunction()

# A floor is its folder: a new room there needs no line here.
function(gruserve_add_library name)
  cmake_parse_arguments(ARG "" "" "DIRS;DEPS" ${ARGN})
  set(sources)
  foreach(dir ${ARG_DIRS})
    file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cc)
    list(APPEND sources ${files})
  endforeach()
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(gruserve_${name} STATIC ${sources})
  add_library(gruserve::${name} ALIAS gruserve_${name})
  set_target_properties(gruserve_${name} PROPERTIES EXPORT_NAME ${name})
  gruserve_common(gruserve_${name})
  target_link_libraries(gruserve_${name} PUBLIC ${ARG_DEPS})
endfunction()

function(gruserve_add_test name)
  cmake_parse_arguments(ARG "" "" "DIRS;DEPS;LABELS" ${ARGN})
  set(sources)
  foreach(dir ${ARG_DIRS})
    file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*_test.cc)
    list(APPEND sources ${files})
  endforeach()
  add_executable(${name} ${sources})
  gruserve_common(${name})
  target_compile_definitions(${name} PRIVATE GRUSERVE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} gruserve_test_support GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 120 PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
