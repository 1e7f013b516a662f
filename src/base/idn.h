/* idn.h: one label of an internationalised host name, from UTF-8 to its A-label: "Bücher" to "xn--bcher-kva".
 *
 * The encoding is Punycode (RFC 3492) behind "xn--" (RFC 5890 2.3.2.1). Before it, capital letters of the Latin, Greek
 * and Cyrillic scripts become small ones; no other mapping and no normalisation is made. What therefore could not be
 * encoded with certainty is refused, for the operator to write as A-label: combining accents (the name is not in
 * Unicode's composed form), fullwidth letters, characters that do not show, private and unassigned planes. */
#ifndef BASE_IDN_H
#define BASE_IDN_H

#include "base/bytes.h"
#include "base/error.h"

enum { IDN_LABEL_MOST = 63 }; /* bytes of an A-label; RFC 1035 2.3.4 */

/* label: UTF-8 with at least one byte above 0x7f, without dots. Returns the size of what was written to ret_label, not
 * terminated, or -E_HOST. */
int idn_label_encode(struct bytes label, char ret_label[IDN_LABEL_MOST]) MUST_USE;
/* Decodes one UTF-8 character and moves text behind it. Returns the code point, or -E_SYNTAX for what is not UTF-8
 * (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). text must not be empty. */
int utf8_decode(struct bytes *text) MUST_USE;

#endif
