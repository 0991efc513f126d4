/* Whether a sanitizer looks on. What is proved by bits is proved without one; with one, which takes ten times as long, a test that
 * does the same many times does it a few times: what matters then is what is touched. */
#ifndef TR_TESTS_LIB_SANITIZED_H
#define TR_TESTS_LIB_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TR_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TR_SANITIZED 1
#endif
#endif
#ifndef TR_SANITIZED
#define TR_SANITIZED 0
#endif

#endif
