/* Every allocation of the library goes through here, so that a test can make any of them fail (WSEKERN_TEST_ALLOC). */
#ifndef WSEKERN_MEMORY_H
#define WSEKERN_MEMORY_H

#include <stdlib.h>

#ifdef WSEKERN_TEST_ALLOC
/* Allocations that still succeed, and then one fails; below 0: none does. memory_test.c of the tests defines it. */
extern _Thread_local long wsk_allocations_left;
static inline int wsk_allocation_fails(void) { return wsk_allocations_left >= 0 && wsk_allocations_left-- == 0; }
#else
static inline int wsk_allocation_fails(void) { return 0; }
#endif

static inline void *wsk_alloc(size_t bytes) { return wsk_allocation_fails() ? NULL : malloc(bytes ? bytes : 1); }
static inline void *wsk_alloc_zero(size_t n, size_t size) { return wsk_allocation_fails() ? NULL : calloc(n ? n : 1, size); }
static inline void *wsk_realloc(void *old, size_t bytes)
{
    return wsk_allocation_fails() ? NULL : realloc(old, bytes ? bytes : 1);
}
static inline void wsk_free(void *memory) { free(memory); }

#endif
