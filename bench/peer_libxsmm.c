/* Products of square tiles by libxsmm, fp32, in the order of rows: c = a b, tile by tile. peers.py builds and calls it. */
#include <libxsmm.h>

int peer_libxsmm(int tile, long tiles, const float *a, const float *b, float *c)
{
    libxsmm_gemm_shape shape = libxsmm_create_gemm_shape(tile, tile, tile, tile, tile, tile, LIBXSMM_DATATYPE_F32,
                                                         LIBXSMM_DATATYPE_F32, LIBXSMM_DATATYPE_F32, LIBXSMM_DATATYPE_F32);
    libxsmm_gemmfunction product = libxsmm_dispatch_gemm(shape, LIBXSMM_GEMM_FLAG_BETA_0, LIBXSMM_GEMM_PREFETCH_NONE);
    if (!product)
        return 1;
    for (long i = 0; i < tiles; i++) {
        libxsmm_gemm_param p = { 0 };
        p.a.primary = (void *)(b + i * tile * tile);      /* columns first: the other way round */
        p.b.primary = (void *)(a + i * tile * tile);
        p.c.primary = c + i * tile * tile;
        product(&p);
    }
    return 0;
}
