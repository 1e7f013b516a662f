#include "base/error.h"

#include <stddef.h>

struct error_row {
    enum error_class class;
    int status;
    const char *token, *text;
};

/* A list of macros is no expression. */
/* clang-format off */
static const struct error_row rows[E_COUNT] = {
    [E_OK] = { ERROR_BLOCKED, 200, "ok", "no error" },
#define X(name, class, status, token, text) [name] = { ERROR_##class, status, token, text },
    ERROR_LIST(X)
#undef X
};
/* clang-format on */

static const struct error_row *row_of(int error)
{
    if (error < 0)
        error = error > -E_COUNT ? -error : E_INTERNAL;
    return &rows[error < E_COUNT ? error : E_INTERNAL];
}

enum error_class error_class(int error)
{
    return row_of(error)->class;
}

int error_status(int error)
{
    return row_of(error)->status;
}

const char *error_token(int error)
{
    return row_of(error)->token;
}

const char *error_text(int error)
{
    return row_of(error)->text;
}
