# SPDX-License-Identifier: Apache-2.0
#
# Benchmarks: bench_<x>.c → bench/<x>, built by `ninja bench` (or its own name) and never by default, never run by
# ctest: a busy machine must not fail a test run.
file(GLOB bench_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/bench_*.c)
gtm_existing(bench_libs gtmd_lib ${GTM_LIBS_SIBLINGS})
add_custom_target(bench)
foreach(src ${bench_srcs})
  get_filename_component(target ${src} NAME_WE)
  string(REGEX REPLACE "^bench_" "" x ${target})
  gtm_existing(support gtm_test_support)
  add_executable(${target} EXCLUDE_FROM_ALL ${src})
  target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(${target} PRIVATE ${support} ${bench_libs} m)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench OUTPUT_NAME ${x})
  add_dependencies(bench ${target})
endforeach()

# Preloaded into peers that have no setting for their receive queues; see the file.
add_library(bench_preload MODULE EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/preload_queue.c)
target_link_libraries(bench_preload PRIVATE ${CMAKE_DL_LIBS})
set_target_properties(bench_preload PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench PREFIX ""
                      OUTPUT_NAME preload_queue)
add_dependencies(bench bench_preload)

# What bench-check/instructions counts; built by default, because ctest runs that.
add_executable(answer_loop ${CMAKE_CURRENT_LIST_DIR}/answer_loop.c)
target_link_libraries(answer_loop PRIVATE ${GTM_LIBS_SIBLINGS} m)
set_target_properties(answer_loop PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
if(TEST bench-check/instructions)
  set_tests_properties(bench-check/instructions PROPERTIES SKIP_RETURN_CODE 77)
endif()
