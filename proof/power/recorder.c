/* Preloaded into a process that uses SQLite: writes down what it asks the disk to do, and can make calls fail.
 *
 * Only files below POWER_FOLDER are looked at. Each call becomes one record of POWER_TRACE, appended by one write(2),
 * so that the order in the file is the order of the calls over all processes. A change is recorded before it is made
 * (it may be on the disk from then on). A sync is recorded when it begins and when it has returned: only then is it a
 * promise, and only about what was recorded before it began.
 *
 * Record, little endian: u32 length of what follows · u8 kind · u16 length of path · path · u64 offset · data.
 * Kinds: W write · T truncate to offset · B, S a sync of the file or folder begins, has returned (offset: which one) ·
 * U unlink · C create · M mark.
 *
 * power_mark(data, size)   adds a mark: what the program itself wants to have in the order.
 * power_fail(nth, code)    the nth writing call from now on fails with errno = code, and with ENOSPC every one after
 *                          it, as a full disk does; 0 ends that. Returns how many calls were counted before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int trace_fd = -2;
static const char *folder;
static size_t folder_length;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long countdown, counted;
static int failure;

static void begin(void) {
  if (trace_fd != -2) return;
  pthread_mutex_lock(&lock);
  if (trace_fd == -2) {
    const char *path = getenv("POWER_TRACE");
    folder = getenv("POWER_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    trace_fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  }
  pthread_mutex_unlock(&lock);
}

/* The path below the folder, or NULL for what is none of ours. "" is the folder itself. */
static const char *below(const char *path) {
  begin();
  if (!folder || !path || strncmp(path, folder, folder_length)) return NULL;
  if (path[folder_length] == '\0') return path + folder_length;
  return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static const char *named(int fd, char *buffer) {
  char link[64];
  begin();
  if (!folder) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, buffer, PATH_MAX - 1);
  if (size < 0) return NULL;
  buffer[size] = '\0';
  return below(buffer);
}

static void record(char kind, const char *path, uint64_t offset, const void *data, size_t size) {
  if (trace_fd < 0) return;
  uint16_t path_length = (uint16_t)strlen(path);
  uint32_t length = (uint32_t)(1 + 2 + path_length + 8 + size);
  struct iovec parts[] = {{&length, 4}, {&kind, 1}, {&path_length, 2}, {(void *)path, path_length},
                          {&offset, 8}, {(void *)data, size}};
  if (syscall(SYS_writev, trace_fd, parts, 6) != (ssize_t)(4 + length)) _exit(97); /* the proof would be worthless */
}

/* Is this call to fail? */
static int fails(void) {
  int code = 0;
  pthread_mutex_lock(&lock);
  counted++;
  if (countdown > 0 && --countdown == 0) {
    code = failure;
    if (failure == ENOSPC) countdown = 1;
  }
  pthread_mutex_unlock(&lock);
  if (code) errno = code;
  return code;
}

long power_fail(long nth, int code) {
  pthread_mutex_lock(&lock);
  long before = counted;
  countdown = nth, failure = code, counted = 0;
  pthread_mutex_unlock(&lock);
  return before;
}

void power_mark(const void *data, size_t size) {
  begin();
  record('M', "", 0, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  REAL(pwrite64);
  char buffer[PATH_MAX];
  const char *path = named(fd, buffer);
  if (path) {
    if (fails()) return -1;
    record('W', path, (uint64_t)offset, data, size);
  }
  return real(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  char buffer[PATH_MAX];
  const char *path = fd > 2 && fd != trace_fd ? named(fd, buffer) : NULL;
  if (path) {
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (offset >= 0) {
      if (fails()) return -1;
      record('W', path, (uint64_t)offset, data, size);
    }
  }
  return real(fd, data, size);
}

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  char buffer[PATH_MAX];
  const char *path = named(fd, buffer);
  if (path) {
    if (fails()) return -1;
    record('T', path, (uint64_t)size, "", 0);
  }
  return real(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*real)(int)) {
  static uint64_t syncs;
  char buffer[PATH_MAX];
  const char *path = named(fd, buffer);
  if (!path) return real(fd);
  if (fails()) return -1;
  uint64_t which = ((uint64_t)getpid() << 32) | __atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
  record('B', path, which, "", 0);
  int result = real(fd);
  if (result == 0) record('S', path, which, "", 0);
  return result;
}

int fsync(int fd) {
  REAL(fsync);
  return synced(fd, real);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return synced(fd, real);
}

int unlink(const char *path) {
  REAL(unlink);
  const char *inside = below(path);
  if (inside) record('U', inside, 0, "", 0);
  return real(path);
}

static int opened(int result, const char *path, int existed) {
  const char *inside = below(path);
  if (result >= 0 && inside && !existed) record('C', inside, 0, "", 0);
  return result;
}

static int exists(const char *path) {
  struct stat found;
  return stat(path, &found) == 0;
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  int existed = !(flags & O_CREAT) || exists(path);
  return opened(real(path, flags, mode), path, existed);
}

int open(const char *path, int flags, ...) {
  REAL(open);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  int existed = !(flags & O_CREAT) || exists(path);
  return opened(real(path, flags, mode), path, existed);
}
