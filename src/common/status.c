#include "wsekern_status.h"

static const struct { int code; const char *name; const char *text; } rows[] = {
#define WSK_AS_ROW(code, name, text) { code, #name, text },
    WSK_STATUS_TABLE(WSK_AS_ROW)
#undef WSK_AS_ROW
};

int wsk_status_count(void) { return (int)(sizeof rows / sizeof rows[0]); }
int wsk_status_code(int i) { return rows[i].code; }
const char *wsk_status_name(int i) { return rows[i].name; }
const char *wsk_status_text(int i) { return rows[i].text; }
