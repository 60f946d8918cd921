#include "base/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "base/error.h"

namespace halftone {
namespace {

// A signal handler takes no argument of ours: the one place where a global is the only way.
std::atomic<bool> was_interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// Said at once: the step that is being worked on may take a while. write() is what a handler may
// call; that it fails is no news to anybody.
void note_signal(int) {
  constexpr char kWords[] = "\nStopping after this step (once more: at once) …\n";
  was_interrupted = true;
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kWords, sizeof kWords - 1);
  errno = error;
}

}  // namespace

void watch_for_interrupt() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  // The default comes back after the first, so that the second one kills.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A thread that does nothing else takes the signals. oneDNN's products run on small stacks of
  // their own from the heap, and the frame that a signal lays there (3 KB of AVX-512 registers, 11
  // with AMX's) overwrites what lies below.
  std::thread([] {
    for (;;) ::pause();
  }).detach();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // inherited by the threads to come
}

bool interrupted() { return was_interrupted; }

void throw_if_interrupted() {
  if (interrupted()) throw Error(Exit::interrupted, "interrupted");
}

}  // namespace halftone
