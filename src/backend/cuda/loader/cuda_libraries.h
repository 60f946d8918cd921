// Where CUDA's own libraries lie: they are half a gigabyte, so they are found, not shipped.
#pragma once

#include <string>
#include <vector>

namespace halftone {

// Folders that may hold them, in the order in which they are tried: HALFTONE_CUDA_LIBS, the toolkit
// (CUDA_HOME, CUDA_PATH, /usr/local/cuda*), the nvidia-* wheels of the Python environments at hand.
std::vector<std::string> cuda_library_folders(int cuda_major);

// Loads what the plug-in needs (cuBLASLt, cuSOLVER and what they need) for everyone in the process,
// from the dynamic linker's own places or those folders. Throws Error(usage) that says what was
// looked for, and where.
void load_cuda_libraries(int cuda_major);

}  // namespace halftone
