# One library a folder, which links only what stands to its right in design §3's picture; the tests that
# stand beside its sources become one test program.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(halftone_flags INTERFACE)
set(warnings
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wno-missing-field-initializers   # designated initializers leave the rest at their defaults
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>   # GCC 12 bug 105651: std::string concatenation
  -ffp-contract=off $<$<BOOL:${HALFTONE_WERROR}>:-Werror>)
target_compile_options(halftone_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${warnings}>)
target_include_directories(halftone_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)

# halftone_library(NAME dependencies...): src/NAME with '_' for '/' (backend_cpu is src/backend/cpu).
function(halftone_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_library(halftone_${name} STATIC ${sources})
    target_link_libraries(halftone_${name} PUBLIC halftone_flags ${ARGN})
  else()
    add_library(halftone_${name} INTERFACE)
    target_link_libraries(halftone_${name} INTERFACE halftone_flags ${ARGN})
  endif()
  if(tests AND HALFTONE_TESTS)
    halftone_test(${name}_test SOURCES ${tests} LIBRARIES halftone_${name})
  endif()
endfunction()

# A GoogleTest program. Its tests run from the source directory, so that tests/data is found.
function(halftone_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest_main GTest::gmock)
  target_compile_definitions(${name} PRIVATE HALFTONE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()
