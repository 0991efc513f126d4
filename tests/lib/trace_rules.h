/* Chrome's trace event format, as far as its text goes and as ui.perfetto.dev needs it: for tests of whoever writes one. */
#ifndef TR_TESTS_LIB_TRACE_RULES_H
#define TR_TESTS_LIB_TRACE_RULES_H

/* Fails the test unless the file is a trace of processes 0 .. processes - 1: an object with the array traceEvents; every event is
 * metadata, a complete event ("X") with name, category, ts and dur from 0, or an end of an arrow ("s", "f"), of which each has two, in a row that
 * has events, the first not after the second; each process and each row that is used has a name, once; and
 * within a row events follow or enclose one another. */
void tr_assert_trace(const char *path, int processes);

#endif
