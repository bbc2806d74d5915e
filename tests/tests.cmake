# SPDX-License-Identifier: Apache-2.0
#
# Every test of the tree, found by its place: a new file needs no line here.
#   tests/unit/**/test_*.c    one program each, linked with the libraries of its layer and all below it
#   tests/fuzz/fuzz_*.c       replay_<x> under ctest with every compiler; fuzz/<x> with GTM_FUZZ
#   tests/sim/*.c             one program: a cluster in virtual time; ctest runs some seeds and every mutant
#   tests/lint/*              labels: unit, fuzz, sim, lint, e2e, bench-check
#   tests/e2e/test_*.py       run by the system's Python against ${CMAKE_BINARY_DIR}/bin
#   tests/bench/check_*       what must not vary (allocations, instructions), never a timing
if(NOT GTM_TESTS)
  return()
endif()
enable_testing()
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

set(GTM_PYTHON /usr/bin/python3 CACHE FILEPATH "the Python that has pytest and dnspython")

# A report of a sanitizer must fail the test; without these some only print.
set(GTM_TEST_ENV
    "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp"
    "GTM_SOURCE=${CMAKE_SOURCE_DIR}" "GTM_BUILD=${CMAKE_BINARY_DIR}" "PYTHONDONTWRITEBYTECODE=1")

# Of the names given, the libraries that exist (a folder without sources has none).
function(gtm_existing ret_var)
  set(found "")
  foreach(lib ${ARGN})
    if(TARGET ${lib})
      list(APPEND found ${lib})
    endif()
  endforeach()
  set(${ret_var} ${found} PARENT_SCOPE)
endfunction()

gtm_existing(GTM_LIBS_BASE gtm_base)
gtm_existing(GTM_LIBS_MODEL gtm_model gtm_base)
gtm_existing(GTM_LIBS_SIBLINGS gtm_dns gtm_health gtm_policies gtm_coord gtm_model gtm_base)
gtm_existing(GTM_LIBS_ALL gtmd_lib gtmctl_lib gtm_dns gtm_health gtm_policies gtm_coord gtm_model
             gtm_base)

# tests/support may use anything, so it names no library: the test that pulls an object brings them.
file(GLOB support_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/support/*.c)
if(support_srcs)
  add_library(gtm_test_support STATIC EXCLUDE_FROM_ALL ${support_srcs})
  target_link_libraries(gtm_test_support PUBLIC PkgConfig::CMOCKA Threads::Threads)
  target_compile_options(gtm_test_support PRIVATE -Wno-unused-parameter)
endif()

# tests/support/programs/x.c → tests/x: what e2e tests run beside gtmd.
file(GLOB program_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/support/programs/*.c)
foreach(src ${program_srcs})
  get_filename_component(x ${src} NAME_WE)
  add_executable(${x} ${src})
  set_target_properties(${x} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()

# tests/support/preload/x.c → tests/libx.so: what e2e tests put under gtmd with LD_PRELOAD.
file(GLOB preload_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/support/preload/*.c)
foreach(src ${preload_srcs})
  get_filename_component(x ${src} NAME_WE)
  add_library(${x} MODULE ${src})
  set_target_properties(${x} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()

function(gtm_test_properties name label timeout_s)
  set(env "${GTM_TEST_ENV}")
  if(label STREQUAL "e2e")
    # libevent and libcurl may name a socket to epoll that is closed already, when another thread has its number; of
    # that ThreadSanitizer 14 makes a report which it cannot finish: it dies of a check of its own.
    string(REPLACE "TSAN_OPTIONS=" "TSAN_OPTIONS=ignore_interceptors_accesses=1:" env "${env}")
  endif()
  if(GTM_ASAN OR GTM_TSAN)
    math(EXPR timeout_s "${timeout_s} * 3")
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout_s}
                       ENVIRONMENT "${env}" WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# --- unit: gtm/base/test_json.c → program test_gtm_base_json, test unit/gtm/base/json
set(unit_dir ${CMAKE_CURRENT_LIST_DIR}/unit)
file(GLOB_RECURSE unit_srcs CONFIGURE_DEPENDS ${unit_dir}/test_*.c)
foreach(src ${unit_srcs})
  file(RELATIVE_PATH rel ${unit_dir} ${src})
  get_filename_component(dir ${rel} DIRECTORY)
  get_filename_component(unit ${rel} NAME_WE)
  string(REGEX REPLACE "^test_" "" unit ${unit})
  string(REPLACE "/" "_" prefix "${dir}")
  if(dir MATCHES "^gtm/base")
    set(libs ${GTM_LIBS_BASE})
  elseif(dir MATCHES "^gtm/model")
    set(libs ${GTM_LIBS_MODEL})
  elseif(dir MATCHES "^(dns|health|policies|gtm/coord)")
    set(libs ${GTM_LIBS_SIBLINGS})
  else()
    set(libs ${GTM_LIBS_ALL})
  endif()
  gtm_existing(support gtm_test_support)
  set(target test_${prefix}_${unit})
  add_executable(${target} ${src})
  target_compile_options(${target} PRIVATE -Wno-unused-parameter -Wno-missing-prototypes)
  target_link_libraries(${target} PRIVATE ${support} ${libs} PkgConfig::CMOCKA Threads::Threads m)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit/${dir}/${unit} COMMAND ${target})
  gtm_test_properties(unit/${dir}/${unit} unit 120)
endforeach()

# --- fuzz: fuzz_packet.c + corpus/packet/ → replay_packet (always), fuzz/packet (GTM_FUZZ)
set(fuzz_dir ${CMAKE_CURRENT_LIST_DIR}/fuzz)
file(GLOB fuzz_srcs CONFIGURE_DEPENDS ${fuzz_dir}/fuzz_*.c)
foreach(src ${fuzz_srcs})
  get_filename_component(x ${src} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" x ${x})
  gtm_existing(support gtm_test_support)
  add_executable(replay_${x} ${src} ${fuzz_dir}/replay_main.c)
  target_compile_options(replay_${x} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(replay_${x} PRIVATE ${support} ${GTM_LIBS_ALL} PkgConfig::CMOCKA)
  set_target_properties(replay_${x} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME fuzz/replay/${x} COMMAND replay_${x} ${fuzz_dir}/corpus/${x})
  gtm_test_properties(fuzz/replay/${x} fuzz 120)
  if(GTM_FUZZ)
    add_executable(fuzz_${x} ${src})
    target_compile_options(fuzz_${x} PRIVATE -Wno-missing-prototypes)
    target_link_libraries(fuzz_${x} PRIVATE ${support} ${GTM_LIBS_ALL} PkgConfig::CMOCKA)
    target_link_options(fuzz_${x} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${x} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz
                          OUTPUT_NAME ${x})
  endif()
endforeach()

# --- examples: deploy/examples/etcdc/follow.c → program example_etcdc_follow, so that they compile for ever
file(GLOB example_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/examples/etcdc/*.c)
foreach(src ${example_srcs})
  get_filename_component(x ${src} NAME_WE)
  add_executable(example_etcdc_${x} ${src})
  target_link_libraries(example_etcdc_${x} PRIVATE gtm_etcdc gtm_base)
  set_target_properties(example_etcdc_${x} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()

# --- sim: a cluster in virtual time, some hundreds of seeds; each of its mutants must be caught
file(GLOB sim_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/sim/*.c)
if(sim_srcs)
  add_executable(gtm_sim ${sim_srcs})
  target_link_libraries(gtm_sim PRIVATE gtm_policies ${GTM_LIBS_MODEL} m)
  set_target_properties(gtm_sim PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME sim/seeds COMMAND gtm_sim --seeds 300)
  add_test(NAME sim/mutants COMMAND gtm_sim --mutant all --seeds 1000)
  gtm_test_properties(sim/seeds sim 120)
  gtm_test_properties(sim/mutants sim 120)
endif()

# --- lint: each takes the tree as its argument; selftest proves that each can go red
foreach(check layers sizes banned headers layout)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/lint/check_${check}.py)
    add_test(NAME lint/${check} COMMAND ${GTM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/lint/check_${check}.py
                                        ${CMAKE_SOURCE_DIR})
    gtm_test_properties(lint/${check} lint 120)
  endif()
endforeach()
foreach(check format shell)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/lint/check_${check}.sh)
    add_test(NAME lint/${check} COMMAND ${CMAKE_CURRENT_LIST_DIR}/lint/check_${check}.sh
                                        ${CMAKE_SOURCE_DIR})
    gtm_test_properties(lint/${check} lint 120)
  endif()
endforeach()
if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/lint/selftest.py)
  add_test(NAME lint/selftest COMMAND ${GTM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/lint/selftest.py)
  gtm_test_properties(lint/selftest lint 120)
endif()

# --- e2e: real gtmd processes; each file has a network namespace or ports of its own
file(GLOB e2e_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/e2e/test_*.py)
foreach(src ${e2e_srcs})
  get_filename_component(x ${src} NAME_WE)
  string(REGEX REPLACE "^test_" "" x ${x})
  add_test(NAME e2e/${x} COMMAND ${GTM_PYTHON} -m pytest -q -p no:cacheprovider ${src})
  gtm_test_properties(e2e/${x} e2e 300)
endforeach()

# --- bench-check: programs and scripts that compare counts, not times
file(GLOB bench_checks CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/bench/check_*.py
     ${CMAKE_CURRENT_LIST_DIR}/bench/check_*.sh)
foreach(src ${bench_checks})
  get_filename_component(x ${src} NAME_WE)
  string(REGEX REPLACE "^check_" "" x ${x})
  if(src MATCHES "\\.py$")
    add_test(NAME bench-check/${x} COMMAND ${GTM_PYTHON} ${src})
  else()
    add_test(NAME bench-check/${x} COMMAND ${src})
  endif()
  gtm_test_properties(bench-check/${x} bench-check 180)
endforeach()
include(${CMAKE_CURRENT_LIST_DIR}/bench/bench.cmake OPTIONAL)
