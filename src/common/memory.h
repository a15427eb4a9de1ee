/* Every allocation of the library goes through here, so that a test can count them and make any of them fail
 * (WSEKERN_TEST_ALLOC; the test defines both variables). */
#ifndef WSEKERN_MEMORY_H
#define WSEKERN_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef WSEKERN_TEST_ALLOC
#include <stdatomic.h>
extern _Thread_local long wsk_allocations_left;       /* so many succeed, then one fails; below 0: none does */
extern atomic_long wsk_allocations;                   /* made and not freed */
static inline int wsk_allocation_fails(void) { return wsk_allocations_left >= 0 && wsk_allocations_left-- == 0; }
static inline void *wsk_counted(void *memory, int n)
{
    atomic_fetch_add(&wsk_allocations, memory ? n : 0);
    return memory;
}
#else
static inline int wsk_allocation_fails(void) { return 0; }
static inline void *wsk_counted(void *memory, int n) { return (void)n, memory; }
#endif

static inline void *wsk_alloc(size_t bytes)
{
    return wsk_allocation_fails() ? NULL : wsk_counted(malloc(bytes ? bytes : 1), 1);
}
static inline void *wsk_alloc_zero(size_t n, size_t size)
{
    return wsk_allocation_fails() ? NULL : wsk_counted(calloc(n ? n : 1, size), 1);
}
/* The same of much memory that is gone through in no order: in large pages, where the system has them to give. */
static inline void *wsk_alloc_pages(size_t n, size_t size)
{
    void *memory = wsk_alloc_zero(n, size);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)1 << 21;
    uintptr_t first = ((uintptr_t)memory + page - 1) / page * page, end = ((uintptr_t)memory + n * size) / page * page;
    if (memory && first < end)
        madvise((void *)first, end - first, MADV_HUGEPAGE);     /* a wish: without it all is as it was */
#endif
    return memory;
}
static inline void *wsk_realloc(void *old, size_t bytes)
{
    return wsk_allocation_fails() ? NULL : wsk_counted(realloc(old, bytes ? bytes : 1), !old);
}
static inline void wsk_free(void *memory) { free(wsk_counted(memory, -1)); }

#endif
