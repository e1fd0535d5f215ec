/* Preloaded into a server: writes down, in the order in which it happens, what the server does to the files of one
 * store and what it says to anybody; and breaks a share of its writes and syncs where it is told to.
 *
 *   DISK_STORE    path of the store; files whose paths begin with it are watched, but not PATH-shm, which nobody
 *                 reads after a crash
 *   DISK_LOG      where it is written down; without it nothing is
 *   DISK_FAULTS   a file with three numbers, read at every call: of a thousand syncs, of a thousand writes, and
 *                 of a thousand syncs of the file itself (not its log), so many fail with EIO
 *
 * As with Linux, a sync that failed is told once to every descriptor that has the file open.
 *
 * One lock is held from before a call until it is written down, so the order in the log is the true one. What is sent
 * is written down before it is sent. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENED = 1, CREATED, WRITTEN, CUT, SYNCED, NOT_SYNCED, REMOVED, RENAMED, LINKED, FOLDER_SYNCED, SENT };
enum { FILES_MAX = 65536, SENT_MAX = 4096 };
enum { OTHER, FILE_OF_STORE, FOLDER };

struct head { uint32_t kind, length; uint64_t file, at; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char what[FILES_MAX];
static unsigned char is_main[FILES_MAX], is_told_of_failure[FILES_MAX];
static uint64_t inode[FILES_MAX];
static const char *store, *faults;
static size_t store_length, folder_length;
static int log_file = -1;
static uint64_t seed = 88172645463325252u;

#define REAL(name) \
    static __typeof__(&name) real_##name; \
    if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    store = getenv("DISK_STORE");
    faults = getenv("DISK_FAULTS");
    const char *log = getenv("DISK_LOG");
    if (!store) return;
    store_length = strlen(store);
    folder_length = (size_t)(strrchr(store, '/') - store);
    if (log) log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ends(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

static int is_watched(const char *path) {
    return store && path && strncmp(path, store, store_length) == 0 && !ends(path, "-shm");
}

static int is_folder(const char *path) {
    return store && path && strlen(path) == folder_length && strncmp(path, store, folder_length) == 0;
}

static int kind_of(int file) { return file >= 0 && file < FILES_MAX ? what[file] : OTHER; }

static void note(uint32_t kind, uint64_t file, uint64_t at, const struct iovec *parts, int count) {
    struct iovec all[10] = {{0}};
    struct head head = {kind, 0, file, at};
    if (log_file < 0) return;
    all[0].iov_base = &head;
    all[0].iov_len = sizeof head;
    if (count > 9) count = 9;
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        head.length += (uint32_t)parts[i].iov_len;
    }
    ssize_t length = (ssize_t)(sizeof head + head.length);
    if (syscall(SYS_writev, log_file, all, count + 1) != length) abort();
}

static void note_text(uint32_t kind, uint64_t file, uint64_t at, const void *text, size_t length) {
    struct iovec part = {(void *)text, length};
    note(kind, file, at, &part, 1);
}

/* Names are told from the last slash of the store's path on. */
static const char *name_of(const char *path) { return path + folder_length + 1; }

/* Does this call fail? `which`: 0 a sync, 1 a write, 2 a sync of the file itself. */
static int fails(int which) {
    char text[64] = {0};
    if (!faults) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, faults, O_RDONLY);
    if (file < 0) return 0;
    long length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0) return 0;
    char *rest;
    unsigned long share = strtoul(text, &rest, 10);
    for (int next = 0; next < which; next++) share = strtoul(rest, &rest, 10);
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % 1000 < share;
}

static int opened(const char *path, int file, int was_there) {
    struct stat now;
    if (file < 0 || file >= FILES_MAX) return file;
    what[file] = OTHER;
    if (is_folder(path)) what[file] = FOLDER;
    if (!is_watched(path) || fstat(file, &now) != 0) return file;
    what[file] = FILE_OF_STORE;
    inode[file] = now.st_ino;
    is_main[file] = strlen(path) == store_length;
    is_told_of_failure[file] = 1;
    note_text(was_there ? OPENED : CREATED, now.st_ino, 0, name_of(path), strlen(name_of(path)));
    return file;
}

static int open_noted(int folder, const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    int was_there = syscall(SYS_faccessat, folder, path, F_OK) == 0;
    int file = opened(path, (int)syscall(SYS_openat, folder, path, flags, mode), was_there);
    int fault = errno;
    pthread_mutex_unlock(&lock);
    errno = fault;
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = (mode_t)va_arg(rest, int); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_noted(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_noted(at, path, flags, mode); }

int close(int file) {
    REAL(close);
    if (kind_of(file) == OTHER) return real_close(file);
    pthread_mutex_lock(&lock);
    what[file] = OTHER;
    int done = real_close(file);
    pthread_mutex_unlock(&lock);
    return done;
}

static ssize_t write_noted(int file, const void *bytes, size_t length, off_t at, int is_at) {
    pthread_mutex_lock(&lock);
    if (!is_at) at = lseek(file, 0, SEEK_CUR);
    ssize_t done;
    if (fails(1)) {
        done = -1, errno = EIO;
    } else {
        done = is_at ? syscall(SYS_pwrite64, file, bytes, length, at) : syscall(SYS_write, file, bytes, length);
    }
    int fault = errno;
    if (done > 0) note_text(WRITTEN, inode[file], (uint64_t)at, bytes, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = fault;
    return done;
}

/* Answers to clients and requests to PSPs. */
static void note_sent(const struct iovec *parts, int count) {
    struct iovec told[8];
    size_t left = SENT_MAX;
    if (log_file < 0 || count < 1 || parts[0].iov_len < 5) return;
    const char *first = parts[0].iov_base;
    if (strncmp(first, "HTTP/", 5) != 0 && strncmp(first, "POST ", 5) != 0) return;
    int number = 0;
    for (; number < count && number < 8 && left > 0; number++) {
        told[number] = parts[number];
        if (told[number].iov_len > left) told[number].iov_len = left;
        left -= told[number].iov_len;
    }
    pthread_mutex_lock(&lock);
    note(SENT, 0, 0, told, number);
    pthread_mutex_unlock(&lock);
}

ssize_t write(int file, const void *bytes, size_t length) {
    REAL(write);
    if (kind_of(file) == FILE_OF_STORE) return write_noted(file, bytes, length, 0, 0);
    struct iovec part = {(void *)bytes, length};
    if (store) note_sent(&part, 1);
    return real_write(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    REAL(pwrite);
    if (kind_of(file) == FILE_OF_STORE) return write_noted(file, bytes, length, at, 1);
    return real_pwrite(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) { return pwrite(file, bytes, length, at); }

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    if (store) note_sent(parts, count);
    return real_writev(file, parts, count);
}

ssize_t send(int file, const void *bytes, size_t length, int flags) {
    REAL(send);
    struct iovec part = {(void *)bytes, length};
    if (store) note_sent(&part, 1);
    return real_send(file, bytes, length, flags);
}

int ftruncate(int file, off_t length) {
    if (kind_of(file) != FILE_OF_STORE) return (int)syscall(SYS_ftruncate, file, length);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, file, length);
    if (done == 0) note(CUT, inode[file], (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

static void tell_others_of_failure(int file) {
    for (int other = 0; other < FILES_MAX; other++) {
        if (other != file && what[other] == FILE_OF_STORE && inode[other] == inode[file]) is_told_of_failure[other] = 0;
    }
}

static int sync_fails(int file, int kind) {
    if (kind == FILE_OF_STORE && !is_told_of_failure[file]) return is_told_of_failure[file] = 1;
    if (!fails(0) && !(kind == FILE_OF_STORE && is_main[file] && fails(2))) return 0;
    if (kind == FILE_OF_STORE) tell_others_of_failure(file);
    return 1;
}

static int sync_noted(int file, long call) {
    int kind = kind_of(file);
    if (kind == OTHER) return (int)syscall(call, file);
    pthread_mutex_lock(&lock);
    int done = sync_fails(file, kind) ? (errno = EIO, -1) : (int)syscall(call, file);
    int fault = errno;
    if (kind == FILE_OF_STORE) note(done == 0 ? SYNCED : NOT_SYNCED, inode[file], 0, NULL, 0);
    if (kind == FOLDER && done == 0) note(FOLDER_SYNCED, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = fault;
    return done;
}

int fsync(int file) { return sync_noted(file, SYS_fsync); }
int fdatasync(int file) { return sync_noted(file, SYS_fdatasync); }

int unlink(const char *path) {
    REAL(unlink);
    if (!is_watched(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = real_unlink(path);
    if (done == 0) note_text(REMOVED, 0, 0, name_of(path), strlen(name_of(path)));
    pthread_mutex_unlock(&lock);
    return done;
}

/* Both names in one text, with a zero between them. */
static int named_anew(uint32_t kind, const char *from, const char *to, int (*call)(const char *, const char *)) {
    if (!is_watched(from) || !is_watched(to)) return call(from, to);
    pthread_mutex_lock(&lock);
    int done = call(from, to);
    struct iovec names[2] = {{(void *)name_of(from), strlen(name_of(from)) + 1}, {(void *)name_of(to), strlen(name_of(to))}};
    if (done == 0) note(kind, 0, 0, names, 2);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return named_anew(RENAMED, from, to, real_rename);
}

static int linked(const char *from, const char *to) {
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to) { return named_anew(LINKED, from, to, linked); }
int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    if (at == AT_FDCWD && to_at == AT_FDCWD && flags == 0) return named_anew(LINKED, from, to, linked);
    return (int)syscall(SYS_linkat, at, from, to_at, to, flags);
}
