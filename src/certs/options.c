/* options.c: how certificates are named in the configuration. */
#include "certs/store.h"

static const struct option rows[] = {
    { "files", OPTION_FILES, OPTION_AT(struct certificate_options, files),
      .doc = "PEM files, or globs of them, each with a chain and its key; the key may also stand beside it in a file "
             "of the same name that ends in .key." },
    { "certificate", OPTION_FILE, OPTION_AT(struct certificate_options, certificate),
      .doc = "PEM file of a certificate and its chain, in any order." },
    { "key", OPTION_FILE, OPTION_AT(struct certificate_options, key),
      .doc = "PEM file of its private key, not encrypted, readable by its owner alone." },
};

const struct option_table certificate_options =
    OPTION_TABLE("certificate", struct certificate_options, rows,
                 "Certificates with their keys: either `files`, or `certificate` with `key`. Clients get the one whose "
                 "names match and that they can use; ECDSA comes before RSA, what is valid before what has expired.",
                 .shorthand = "files",
                 .example = "[ /etc/unlade/certs/*.pem, "
                            "{ certificate: /etc/ssl/site.crt, key: /etc/ssl/site.key } ]");
