// SIGINT and SIGTERM as a flag that long jobs look at between two steps.
#pragma once

namespace halftone {

// Installs the handlers; a second signal kills as usual. Call it before other threads start: they
// and the caller then take neither signal, a thread for nothing else does.
void watch_for_interrupt();
bool interrupted();
// Throws Error(interrupted) when it was.
void throw_if_interrupted();

}  // namespace halftone
