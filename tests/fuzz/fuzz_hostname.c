/* Any bytes as a host name, a pattern and an authority: what is accepted is canonical and stays what it is. */
#include "base/check.h"
#include "base/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const struct hostname *name)
{
    struct hostname again;

    CHECK(name->size > 0 && name->size <= HOSTNAME_MOST && strlen(name->text) == name->size);
    CHECK(hostname_parse_pattern(bytes_of(name->text, name->size), &again) == 0);
    CHECK(strcmp(name->text, again.text) == 0 && name->is_address == again.is_address &&
          name->is_pattern == again.is_pattern);
    CHECK(hostname_matches(name, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct hostname name;
    uint16_t port;

    if (hostname_parse(text, &name) == 0)
        check_name(&name);
    if (hostname_parse_pattern(text, &name) == 0)
        check_name(&name);
    if (hostname_parse_authority(text, &name, &port) == 0)
        check_name(&name);
    return 0;
}
