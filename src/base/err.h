/* Errors: how trine says what went wrong.
 *
 * Two kinds of trouble, never mixed:
 *   - our own bugs           TR_ASSERT: prints the broken condition, aborts. Always on, in every build.
 *   - the world's faults     a function returns an enum tr_status and puts one whole sentence for a person
 *     (file, user, size)     into the caller's struct tr_err: what was wrong, the value, what would be right;
 *                            for a file `path:line:col: ` in front.
 *
 * The status is the exit code that the program will end with, so it needs no translation on the way up.
 * A callee leaves *err untouched on success and writes its outputs only on success. `err` is never NULL.
 *
 *     if (size > limit)
 *         return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes, more than the limit of %lld", path, size, limit);
 */
#ifndef TR_BASE_ERR_H
#define TR_BASE_ERR_H

#if defined(__FAST_MATH__)
#error "trine promises bits: build without -ffast-math"
#endif

#define TR_MUST_CHECK __attribute__((warn_unused_result))
#define TR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum tr_status {
    TR_OK = 0,        /* done; or: the answer is yes */
    TR_NO = 1,        /* done; the answer is no (an infeasible plan, a hash that differs) */
    TR_BAD_INPUT = 2, /* usage, or a file, value or shape that cannot be right */
    TR_FAILED = 3     /* the world failed: disk full, out of memory, interrupted */
};

enum { TR_ERR_BYTES = 1024 };

struct tr_err {
    char text[TR_ERR_BYTES]; /* one sentence, no newline or other control character; cut with "..." */
};

/* Writes the sentence and returns `status`, so that `return tr_fail(...)` is the one way to fail. */
enum tr_status tr_fail(struct tr_err *err, enum tr_status status, const char *fmt, ...) TR_PRINTF(3, 4);

/* Puts `fmt...: ` in front of the sentence that is there: for a caller that knows more (which run, which file). */
void tr_err_prefix(struct tr_err *err, const char *fmt, ...) TR_PRINTF(2, 3);

__attribute__((noreturn)) void tr_assert_failed(const char *file, int line, const char *condition);

#define TR_ASSERT(cond) ((cond) ? (void)0 : tr_assert_failed(__FILE__, __LINE__, #cond))

#endif
