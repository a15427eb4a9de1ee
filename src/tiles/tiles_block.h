/* Sizes of the register blocks of products, for vectors of LANES. */
enum { GEMV_PAIRS = WSK_TILE_ROW_PES / 2 };
/* Vectors of c that stay in registers. */
enum { BLOCK = LANES == 16 ? 16 : 8 };
