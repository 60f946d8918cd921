# CUDA, where a compiler for it is found: HALFTONE_CUDA AUTO (use it if it is there), ON (demand it) or OFF.
set(HALFTONE_CUDA AUTO CACHE STRING "Build the CUDA plug-in: AUTO, ON or OFF")
set_property(CACHE HALFTONE_CUDA PROPERTY STRINGS AUTO ON OFF)
# 90a: Hopper's own instructions; the PTX of 80 is compiled by the driver, at the first start, for every other
# card since Ampere. RELEASE, for what is given to others, has all that are supported and the PTX of 90 for what
# comes after.
set(HALFTONE_CUDA_ARCHITECTURES "80-virtual;90a-real" CACHE STRING
  "What the CUDA plug-in is compiled for: a list as CMake's, or RELEASE")

set(HALFTONE_HAS_CUDA OFF)
if(NOT HALFTONE_CUDA STREQUAL "OFF")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  if(HALFTONE_CUDA_ARCHITECTURES STREQUAL "RELEASE")
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90a-real 90-virtual)
  else()
    set(CMAKE_CUDA_ARCHITECTURES ${HALFTONE_CUDA_ARCHITECTURES})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit QUIET)
  endif()
  if(CMAKE_CUDA_COMPILER AND CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.4
     AND TARGET CUDA::cublasLt AND TARGET CUDA::cusolver)
    set(HALFTONE_HAS_CUDA ON)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)   # CMake 3.25 does not know that nvcc has it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
    endif()
    message(STATUS "CUDA ${CUDAToolkit_VERSION}: the plug-in is built for ${HALFTONE_CUDA_ARCHITECTURES}")
  elseif(HALFTONE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HALFTONE_CUDA is ON, but no CUDA toolkit ≥ 12.4 with cuBLASLt and cuSOLVER was found")
  else()
    message(STATUS "No CUDA toolkit ≥ 12.4 was found: built without the CUDA plug-in")
  endif()
endif()
