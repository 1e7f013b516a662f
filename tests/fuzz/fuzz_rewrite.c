/* Any bytes as a path behind a prefix that is taken off or replaced: what comes out stays below its new place, as a server
 * sees it that decodes and resolves whatever a server may. */
#include <stdlib.h>

#include "base/check.h"
#include "proxy/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The lenient server: decodes once, takes '\\' for '/', and drops parameters of segments. Returns how deep the path leads at
 * its lowest, relative to where it starts; negative: out of there. */
static long lowest(struct bytes path)
{
    char *text = malloc(path.size + 1);
    size_t used = 0;
    long depth = 0, least = 0;

    CHECK(text);
    for (size_t i = 0; i < path.size && path.at[i] != '?'; i++) {
        int c = path.at[i];
        if (c == '%' && i + 2 < path.size && digit(path.at[i + 1]) >= 0 && digit(path.at[i + 2]) >= 0) {
            c = digit(path.at[i + 1]) * 16 + digit(path.at[i + 2]);
            i += 2;
        }
        text[used++] = (char)(c == '\\' ? '/' : c == 0 ? 1 : c);
    }
    text[used] = '\0';
    for (char *rest = text, *segment; (segment = strsep(&rest, "/")) != NULL;) {
        segment[strcspn(segment, ";")] = '\0';
        if (strcmp(segment, "..") == 0)
            depth--;
        else if (segment[0] && strcmp(segment, ".") != 0)
            depth++;
        least = depth < least ? depth : least;
    }
    free(text);
    return least;
}

static void try_one(struct arena *arena, struct bytes rest, struct bytes with)
{
    const struct bytes parts[] = { BYTES_LITERAL("/api"), rest };
    struct bytes path = arena_join(arena, parts, COUNT_OF(parts)), out;
    int error;

    CHECK(path.at);
    error = rewrite_path(arena, path, 4, with, &out);
    CHECK(error == 0 || error == -E_PATH);
    if (error)
        return;
    CHECK(out.size && out.at[0] == '/' && !(out.size > 1 && out.at[1] == '/'));
    CHECK(bytes_start_with(out, with));
    CHECK(lowest(bytes_from(out, with.size)) == 0);
    CHECK(bytes_equal(bytes_from(path, bytes_find(path, '?')), bytes_from(out, bytes_find(out, '?'))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size);
    struct arena arena;

    if (size && data[0] != '/' && data[0] != '?')
        return -1; /* a route covers whole segments */
    arena_init(&arena, NULL, SIZE_MAX);
    try_one(&arena, rest, BYTES_NONE);
    try_one(&arena, rest, BYTES_LITERAL("/new/place"));
    arena_reset(&arena);
    return 0;
}
