// LD_PRELOAD library: sees every call that changes the files of one folder. It logs them with their contents, lets
// chosen ones fail, and lets a disk stall. Stores into mapped memory can't be seen: the ring's file is read after every
// logged call, and its changed sectors are logged.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC, SYNC_RANGE, SIZE, NAME, UNLINK, RENAME, SYNC_FOLDER, MARK, RING };
enum { FAULT_NONE, FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_FSYNC };
enum { CHANGE, FLUSH };  // classes of calls
enum { FDS = 4096, NAMES = 64, SECTOR = 512, FOLDER_FD = NAMES };

typedef struct {
    uint32_t op, file;
    uint64_t offset, size;
} Entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[512], names[NAMES][128];
static size_t folder_size;
static int name_count, log_fd = -1, ring_fd = -1, ring_file = -1;
static uint8_t fd_file[FDS], fd_synced[FDS];  // 0: not watched; else number of the name + 1
static char *ring_seen, *ring_now;
static size_t ring_size;
static atomic_int dropping, stalled;
static atomic_long calls[2];
static int fault_kind;
static long fault_first, fault_count, fault_hits;

// ---- the log -----------------------------------------------------------------------------------------------------------

static void put(uint32_t op, int file, uint64_t offset, uint64_t size, const struct iovec *parts, int count) {
    Entry entry = {op, (uint32_t)file, offset, size};
    struct iovec all[1024] = {{&entry, sizeof entry}};
    if (log_fd < 0)
        return;
    if (count > 1023)
        abort();
    if (count)
        memcpy(all + 1, parts, (size_t)count * sizeof *parts);
    if (op == WRITE && count && size < parts[0].iov_len)
        all[1].iov_len = size;
    syscall(SYS_writev, log_fd, all, count + 1);
}

static void capture_ring(void) {
    if (ring_fd < 0 || log_fd < 0)
        return;
    off_t size = lseek(ring_fd, 0, SEEK_END);
    if (size > 0 && (size_t)size != ring_size) {
        ring_seen = realloc(ring_seen, (size_t)size);
        ring_now = realloc(ring_now, (size_t)size);
        memset(ring_seen, 0, (size_t)size);
        ring_size = (size_t)size;
    }
    if (syscall(SYS_pread64, ring_fd, ring_now, ring_size, 0) != (long)ring_size)
        return;
    for (size_t at = 0; at < ring_size; at += SECTOR)
        if (memcmp(ring_now + at, ring_seen + at, SECTOR)) {
            struct iovec part = {ring_now + at, SECTOR};
            memcpy(ring_seen + at, ring_now + at, SECTOR);
            put(RING, ring_file, at, SECTOR, &part, 1);
        }
}

static void note(uint32_t op, int file, uint64_t offset, uint64_t size, const struct iovec *parts, int count) {
    pthread_mutex_lock(&lock);
    capture_ring();
    if (!dropping || (op != SYNC && op != SYNC_RANGE && op != SYNC_FOLDER))
        put(op, file, offset, size, parts, count);
    pthread_mutex_unlock(&lock);
}

// ---- what a harness calls ------------------------------------------------------------------------------------------------

void tracer_watch(const char *path, const char *log) {
    pthread_mutex_lock(&lock);
    snprintf(folder, sizeof folder, "%s", path);
    folder_size = strlen(folder);
    name_count = 0, ring_file = -1;
    memset(fd_file, 0, sizeof fd_file);
    if (ring_fd >= 0)
        syscall(SYS_close, ring_fd);
    if (log_fd >= 0)
        syscall(SYS_close, log_fd);
    ring_fd = -1, ring_size = 0;
    log_fd = *log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600) : -1;
    pthread_mutex_unlock(&lock);
}

void tracer_mark(const char *data, size_t size) {
    struct iovec part = {(void *)data, size};
    note(MARK, 0, 0, size, &part, 1);
}

// The calls from `first` on (counted from now, from 0) to which the kind applies fail, `count` of them.
void tracer_fault(int kind, long first, long count) {
    pthread_mutex_lock(&lock);
    fault_kind = kind, fault_first = first, fault_count = count, fault_hits = 0;
    calls[CHANGE] = calls[FLUSH] = 0;
    pthread_mutex_unlock(&lock);
}

long tracer_calls(int class_) { return calls[class_]; }
long tracer_hits(void) { return fault_hits; }
void tracer_drop_syncs(int on) { dropping = on; }
void tracer_stall(int on) { stalled = on; }

// ---- faults --------------------------------------------------------------------------------------------------------------

// 0, the errno to fail with, or -1: write only a half.
static int fault(int class_) {
    int outcome = 0;
    while (stalled && class_ == FLUSH)
        usleep(500);
    pthread_mutex_lock(&lock);
    long number = fault_kind == FAULT_EIO ? calls[CHANGE] + calls[FLUSH] : calls[class_];
    calls[class_]++;
    int applies = fault_kind == FAULT_EIO || (fault_kind == FAULT_FSYNC) == (class_ == FLUSH);
    if (fault_kind && applies && number >= fault_first && number - fault_first < fault_count) {
        fault_hits++;
        outcome = fault_kind == FAULT_ENOSPC ? ENOSPC : fault_kind == FAULT_SHORT ? -1 : EIO;
    }
    pthread_mutex_unlock(&lock);
    return outcome;
}

static int watched(int fd) { return fd >= 0 && fd < FDS && fd_file[fd] ? fd_file[fd] : 0; }

static void opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= FDS)
        return;
    fd_file[fd] = 0;
    if (!folder_size || strncmp(path, folder, folder_size))
        return;
    if (!path[folder_size]) {
        fd_file[fd] = FOLDER_FD + 1;
        return;
    }
    if (path[folder_size] != '/')
        return;
    const char *name = path + folder_size + 1;
    int file = 0;
    pthread_mutex_lock(&lock);
    while (file < name_count && strcmp(names[file], name))
        file++;
    if (file == name_count) {
        if (name_count == NAMES)
            abort();
        snprintf(names[name_count++], sizeof names[0], "%s", name);
        struct iovec part = {names[file], strlen(names[file])};
        put(NAME, file, 0, part.iov_len, &part, 1);
        if (!strcmp(name, "journal.ring")) {
            ring_file = file;
            ring_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        }
    }
    pthread_mutex_unlock(&lock);
    fd_synced[fd] = (flags & O_DSYNC) != 0;
    fd_file[fd] = (uint8_t)(file + 1);
}

// ---- calls that change files ---------------------------------------------------------------------------------------------

static ssize_t changed(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
    struct iovec half = parts[0];
    int file = watched(fd), outcome = file ? fault(CHANGE) : 0;
    if (outcome > 0) {
        errno = outcome;
        return -1;
    }
    if (outcome < 0)
        half.iov_len = half.iov_len / 2, parts = &half, count = 1;
    if (file && !positioned)
        offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = positioned ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
    if (file && done > 0) {
        note(WRITE, file - 1, (uint64_t)offset, (uint64_t)done, parts, count);
        if (fd_synced[fd])
            note(SYNC_RANGE, file - 1, (uint64_t)offset, (uint64_t)done, NULL, 0);
    }
    return done;
}

#define ONE {(void *)data, size}
ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = ONE;
    return watched(fd) ? changed(fd, &part, 1, 0, 0) : syscall(SYS_write, fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = ONE;
    return watched(fd) ? changed(fd, &part, 1, offset, 1) : syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return pwrite(fd, data, size, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return watched(fd) ? changed(fd, parts, count, 0, 0) : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return watched(fd) ? changed(fd, parts, count, offset, 1) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }

static int resized(int fd, off_t size, int grow) {
    int file = watched(fd), outcome = file ? fault(CHANGE) : 0;
    if (outcome) {
        errno = outcome > 0 ? outcome : EIO;
        return -1;
    }
    int done = (int)(grow ? syscall(SYS_fallocate, fd, 0, 0, size) : syscall(SYS_ftruncate, fd, size));
    if (file && !done)
        note(SIZE, file - 1, grow, (uint64_t)size, NULL, 0);
    return done;
}

int ftruncate(int fd, off_t size) { return resized(fd, size, 0); }
int ftruncate64(int fd, off_t size) { return resized(fd, size, 0); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
    return mode ? (int)syscall(SYS_fallocate, fd, mode, offset, size) : resized(fd, offset + size, 1);
}
int posix_fallocate(int fd, off_t offset, off_t size) { return resized(fd, offset + size, 1) ? errno : 0; }
int posix_fallocate64(int fd, off_t offset, off_t size) { return resized(fd, offset + size, 1) ? errno : 0; }

static int flushed(int fd, int number) {
    int file = watched(fd), outcome = file ? fault(FLUSH) : 0;
    if (outcome) {
        errno = outcome > 0 ? outcome : EIO;
        return -1;
    }
    int done = (int)syscall(number, fd);
    if (file && !done)
        note(file == FOLDER_FD + 1 ? SYNC_FOLDER : SYNC, file - 1, 0, 0, NULL, 0);
    return done;
}

int fsync(int fd) { return flushed(fd, SYS_fsync); }
int fdatasync(int fd) { return flushed(fd, SYS_fdatasync); }

// Neither is a promise of the store, and the tracer has no model of them: a store that starts to call them must say so.
int msync(void *start, size_t size, int flags) {
    return (int)syscall(SYS_msync, start, size, flags);
}
int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) {
    return (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
}

// ---- names ---------------------------------------------------------------------------------------------------------------

static int open_as(int at, const char *path, int flags, mode_t mode) {
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    opened(fd, path, flags);
    return fd;
}

#define MODE                                                                                                              \
    mode_t mode = 0;                                                                                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                                  \
        va_list rest;                                                                                                     \
        va_start(rest, flags);                                                                                            \
        mode = va_arg(rest, mode_t);                                                                                      \
        va_end(rest);                                                                                                     \
    }
int open(const char *path, int flags, ...) { MODE return open_as(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_as(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return open_as(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return open_as(at, path, flags, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FDS)
        fd_file[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static void renamed(uint32_t op, const char *from, const char *to) {
    if (!folder_size || strncmp(from, folder, folder_size))
        return;
    struct iovec parts[] = {{(void *)from, strlen(from) + 1}, {(void *)to, strlen(to)}};
    note(op, 0, 0, parts[0].iov_len + parts[1].iov_len, parts, 2);
}

int rename(const char *from, const char *to) {
    int done = (int)syscall(SYS_rename, from, to);
    if (!done)
        renamed(RENAME, from, to);
    return done;
}
int unlink(const char *path) {
    int done = (int)syscall(SYS_unlink, path);
    if (!done)
        renamed(UNLINK, path, "");
    return done;
}
