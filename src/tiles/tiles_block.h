/* Sizes of the register blocks of products, for vectors of LANES. */
enum { GEMV_PAIRS = WSK_TILE_ROW_PES / 2 };
/* Vectors of c that stay in registers, and how many of them take a step at once. */
enum { BLOCK = LANES == 16 ? 16 : 8, GROUP = 4 };
