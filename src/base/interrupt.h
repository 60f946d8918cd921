// SIGINT and SIGTERM as a flag that long jobs look at between two steps.
#pragma once

namespace halftone {

void watch_for_interrupt();  // installs the handlers; a second signal kills as usual
bool interrupted();
// Throws Error(interrupted) when it was.
void throw_if_interrupted();

}  // namespace halftone
