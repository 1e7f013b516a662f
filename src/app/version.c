#include "app/version.h"

#include <stdio.h>

#include "base/check.h"
#include "config/version.h"
#include "tls/session.h"

struct feature {
    const char *group, *what;
};

void version_print(void)
{
    static const struct feature features[] = {
        { "X25519MLKEM768", "post-quantum key exchange (X25519MLKEM768)" },
        { "X25519", "X25519" },
    };

    printf("unlade " UNLADE_VERSION "\n%s\n", tls_library_version());
    for (size_t i = 0; i < COUNT_OF(features); i++)
        printf("  %s: %s\n", features[i].what, tls_library_has_group(features[i].group) ? "yes" : "no");
    printf("libfyaml %s\n", config_library_version());
}
