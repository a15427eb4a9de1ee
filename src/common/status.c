#include "wsekern_status.h"

static const struct { int code; const char *name; const char *text; } rows[] = {
#define WSK_AS_ROW(code, name, text) { code, #name, text },
    WSK_STATUS_TABLE(WSK_AS_ROW)
#undef WSK_AS_ROW
};
enum { ROWS = (int)(sizeof rows / sizeof rows[0]) };

/* The row of a status; -1: there is none. */
static int row_of(int status)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].code == (status > 0 ? WSK_OK : status))
            return i;
    return -1;
}

int wsk_abi_version(void) { return WSEKERN_ABI_VERSION; }
const char *wsk_status_name(int status) { return row_of(status) < 0 ? "unknown status" : rows[row_of(status)].name; }
const char *wsk_status_text(int status) { return row_of(status) < 0 ? "unknown status" : rows[row_of(status)].text; }
int wsk_status_count(void) { return ROWS; }
int wsk_status_code(int i) { return i >= 0 && i < ROWS ? rows[i].code : 1; }
