/* Run-time dispatch of the masked copies. */
#include "fabric_internal.h"

void wsk_copy_words_base(u32 *to, const u32 *from, u64 m);
u64 wsk_sum_words_base(const u32 *from, u64 m);
#ifdef WSK_HAVE_X86
void wsk_copy_words_avx2(u32 *to, const u32 *from, u64 m);
void wsk_copy_words_avx512(u32 *to, const u32 *from, u64 m);
u64 wsk_sum_words_avx2(const u32 *from, u64 m);
u64 wsk_sum_words_avx512(const u32 *from, u64 m);
#endif

void wsk_copy_words(u32 *to, const u32 *from, u64 m, int simd_level)
{
    if (!(m & (m - 1))) {                 /* one word: not worth a call */
        if (m)
            to[wsk_ctz(m)] = from[wsk_ctz(m)];
        return;
    }
#ifdef WSK_HAVE_X86
    if (simd_level == 2) {
        wsk_copy_words_avx512(to, from, m);
        return;
    }
    if (simd_level == 1) {
        wsk_copy_words_avx2(to, from, m);
        return;
    }
#endif
    (void)simd_level;
    wsk_copy_words_base(to, from, m);
}

u64 wsk_sum_words(const u32 *from, u64 m, int simd_level)
{
#ifdef WSK_HAVE_X86
    if (simd_level == 2)
        return wsk_sum_words_avx512(from, m);
    if (simd_level == 1)
        return wsk_sum_words_avx2(from, m);
#endif
    (void)simd_level;
    return wsk_sum_words_base(from, m);
}
