/* fuzz_postgres.c: what a PostgreSQL client opens with. The verdict on what came in parts must be the verdict on the whole,
 * and stand once it was given. */
#include <stdint.h>

#include "base/check.h"
#include "http/postgres.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole_size = 0;
    int whole = postgres_read_opening(bytes_of(data, size), &whole_size);

    CHECK(whole != 0 && whole <= POSTGRES_DIRECT_TLS);
    if (whole > 0 && whole != POSTGRES_STARTUP)
        CHECK(whole_size <= size);
    for (size_t n = 0; n < size && n <= POSTGRES_CANCEL_MOST; n++) {
        size_t part_size = 0;
        int part = postgres_read_opening(bytes_of(data, n), &part_size);

        CHECK(part == -E_AGAIN || (part == whole && part_size == whole_size));
    }
    return 0;
}
