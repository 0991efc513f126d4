/* The operating system: files that are whole or absent, folders, locks, clocks, and what this machine has.
 *
 * A file of ours is never seen half-written: it is written to `PATH.tmp`, synced, renamed over PATH, and the folder is
 * synced. Short writes and EINTR are retried; a full disk or an I/O error is TR_FAILED with the system's reason, and
 * the .tmp file is removed. Old contents stay until the rename. After it only the sync of the folder can fail: the new
 * file is there then, and TR_FAILED says that it may not outlive a power cut. */
#ifndef TR_BASE_OS_H
#define TR_BASE_OS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/sha256.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TR_PATH_BYTES = 4096, TR_DATE_BYTES = 32 };

/* --- reading --- */

struct tr_bytes {
    char *at; /* owned, malloc; a 0 stands behind the last byte */
    size_t len;
};

/* What a file or folder that could not be opened for `reason` (errno) is: TR_FAILED where the machine has no descriptor or
 * memory left, else TR_BAD_INPUT. */
enum tr_status tr_open_status(int reason);

/* open(2) to read, made again when a signal interrupts it; the caller closes *fd. Fails by
 * tr_open_status. */
TR_MUST_CHECK enum tr_status tr_open_read(const char *path, int *fd, struct tr_err *err);

/* A regular file, pipe or device as a whole. Missing, unreadable, a folder, more than max_bytes: TR_BAD_INPUT;
 * an I/O error or no memory: TR_FAILED. */
TR_MUST_CHECK enum tr_status tr_file_read(const char *path, int64_t max_bytes, struct tr_bytes *out,
                                          struct tr_err *err);
void tr_bytes_free(struct tr_bytes *bytes);

bool tr_file_exists(const char *path);   /* anything of that name */
bool tr_folder_exists(const char *path);
/* Size of a regular file; TR_BAD_INPUT when there is none. */
TR_MUST_CHECK enum tr_status tr_file_bytes(const char *path, int64_t *bytes, struct tr_err *err);

/* `bytes` bytes from `offset` on; at the end of the file fewer, how many is in *got. */
TR_MUST_CHECK enum tr_status tr_file_read_at(const char *path, int64_t offset, void *to, int64_t bytes, int64_t *got,
                                             struct tr_err *err);

/* --- writing --- */

/* Whether a file could be written at `path`: asked before long work whose result is to stand there. Leaves nothing. */
TR_MUST_CHECK enum tr_status tr_file_probe(const char *path, struct tr_err *err);

/* Replaces `path` as a whole; of a link to a file that file. */
TR_MUST_CHECK enum tr_status tr_file_write(const char *path, const void *data, size_t bytes, struct tr_err *err);

/* The streaming form. `sum` runs over all that was written; digest is valid after commit.
 *     open -> write* -> commit      or abort at any time (also right after a failed call, and on a zeroed struct).
 * A failed write or commit has already aborted: the .tmp file is gone. */
struct tr_file_out {
    int fd; /* -1 or 0 when not open */
    bool is_open;
    char path[TR_PATH_BYTES];
    int64_t bytes; /* written so far */
    struct tr_sha256 sum;
    uint8_t digest[TR_SHA256_BYTES];
    char *buffer; /* small writes are gathered */
    size_t buffered;
};

TR_MUST_CHECK enum tr_status tr_file_out_open(struct tr_file_out *out, const char *path, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_file_out_write(struct tr_file_out *out, const void *data, size_t bytes,
                                               struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_file_out_commit(struct tr_file_out *out, struct tr_err *err);
void tr_file_out_abort(struct tr_file_out *out);

/* Appends one record to a log (metrics.jsonl): one write(2) call, no sync. The file is made when absent. */
TR_MUST_CHECK enum tr_status tr_file_append(const char *path, const void *data, size_t bytes, struct tr_err *err);

/* rename(2) and a sync of the folder of `to`: how a finished folder takes its name. */
TR_MUST_CHECK enum tr_status tr_rename(const char *from, const char *to, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_folder_sync(const char *path, struct tr_err *err);

/* Makes or replaces the symbolic link `path` to `target` (relative to the link's folder) as a whole. What is there and
 * is no link is refused: TR_BAD_INPUT. */
TR_MUST_CHECK enum tr_status tr_link_set(const char *path, const char *target, struct tr_err *err);

/* --- folders --- */

/* With all parents; one that exists is fine. */
TR_MUST_CHECK enum tr_status tr_folder_make(const char *path, struct tr_err *err);

enum { TR_FOLDER_MAX_ENTRIES = 1000000 };

/* Names without "." and "..", sorted by bytes; they live in `arena`. */
TR_MUST_CHECK enum tr_status tr_folder_list(const char *path, struct tr_arena *arena, const char *const **names,
                                            int64_t *count, struct tr_err *err);

/* Removes a tree that we made: never follows a symbolic link, never leaves the file system, at most 64 levels deep;
 * refuses "", "/", "." and paths that end in "..". An absent path is fine. */
TR_MUST_CHECK enum tr_status tr_folder_remove(const char *path, struct tr_err *err);

/* a + "/" + b into buf; TR_BAD_INPUT when longer than TR_PATH_BYTES. */
TR_MUST_CHECK enum tr_status tr_path_join(char buf[TR_PATH_BYTES], const char *a, const char *b, struct tr_err *err);

/* --- one process at a time --- */

struct tr_lock {
    int fd;
    bool held;
};

/* Takes `path` exclusively (flock; released by the kernel when the process dies, even by kill -9). When another holds
 * it: TR_BAD_INPUT, and the sentence names the holder's process id. */
TR_MUST_CHECK enum tr_status tr_lock_take(struct tr_lock *lock, const char *path, struct tr_err *err);
void tr_lock_drop(struct tr_lock *lock); /* the file stays; right on a zeroed struct */

int64_t tr_disk_free_bytes(const char *folder); /* that this user may fill; INT64_MAX where the system does not say */

/* --- clocks --- */

double tr_clock_s(void);                             /* monotonic, seconds since some start, for differences */
double tr_wall_s(void);                              /* seconds since 1970 UTC */
double tr_thread_cpu_s(void);                        /* that this thread has had a processor for */
const char *tr_date(double wall_s, char buf[TR_DATE_BYTES]); /* "2026-11-22T22:43:02Z" */

/* --- signals --- */

/* pthread_create; the thread's mask blocks all signals, which are for those that were there before. Returns an errno. */
int tr_thread_start(pthread_t *thread, void *(*run)(void *context), void *context);

void tr_thread_pin(int core); /* this thread stays on that core until it ends; where the system does not want that, nothing changes */

const char *tr_signal_name(int number); /* "SIGINT"; "a signal" for those that trine does not handle */

/* --- terminal --- */

bool tr_is_terminal(int fd);
int tr_terminal_columns(int fd); /* 80 when unknown */

/* --- this machine --- */

int tr_cores_usable(void); /* by affinity and by the control groups' quota (rounded up, base/cgroup.h), at least 1; memory: base/memory.h */

/* Processes that share a machine: which cores each may run on, a bit each (those beyond TR_CORES_MAX are not seen), and how
 * many at a time the control group allows (INFINITY without a limit). */
enum { TR_CORES_MAX = 4096 };
struct tr_core_set {
    uint64_t bit[TR_CORES_MAX / 64];
};
void tr_cores_allowed(struct tr_core_set *set);
bool tr_core_in(const struct tr_core_set *set, int core);
double tr_cores_quota(void);
/* How many are for process `index` of `count` on one machine: a core is shared equally by all that may run on it. At least 1.
 * *all: how many cores any of them may run on. */
int tr_cores_share(const struct tr_core_set *sets, int count, int index, double quota, int *all);

/* How long this thread was ready to run and had no core, since it began; 0 where the system does not count it. No memory is
 * allocated. */
double tr_thread_waited_s(void);

/* What the processor calls itself ("AMD EPYC 9965 192-Core Processor"); "unknown processor" where the kernel does not say. */
enum { TR_PROCESSOR_NAME_BYTES = 128 };
void tr_processor_name(char *name, size_t bytes);
int64_t tr_memory_peak_bytes(void); /* resident, of this process, at its highest so far; 0 when unknown */

#endif
