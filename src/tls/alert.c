/* alert.c: alerts by number, name and bytes. */
#include "tls/client_hello.h"

/*    number  name (RFC 8446 6, RFC 5246 7.2, RFC 7301 3.2, RFC 7507 4) */
#define ALERT_LIST(X) \
    X(0, "close_notify") \
    X(10, "unexpected_message") \
    X(20, "bad_record_mac") \
    X(21, "decryption_failed") \
    X(22, "record_overflow") \
    X(30, "decompression_failure") \
    X(40, "handshake_failure") \
    X(41, "no_certificate") \
    X(42, "bad_certificate") \
    X(43, "unsupported_certificate") \
    X(44, "certificate_revoked") \
    X(45, "certificate_expired") \
    X(46, "certificate_unknown") \
    X(47, "illegal_parameter") \
    X(48, "unknown_ca") \
    X(49, "access_denied") \
    X(50, "decode_error") \
    X(51, "decrypt_error") \
    X(60, "export_restriction") \
    X(70, "protocol_version") \
    X(71, "insufficient_security") \
    X(80, "internal_error") \
    X(86, "inappropriate_fallback") \
    X(90, "user_canceled") \
    X(100, "no_renegotiation") \
    X(109, "missing_extension") \
    X(110, "unsupported_extension") \
    X(111, "certificate_unobtainable") \
    X(112, "unrecognized_name") \
    X(113, "bad_certificate_status_response") \
    X(114, "bad_certificate_hash_value") \
    X(115, "unknown_psk_identity") \
    X(116, "certificate_required") \
    X(120, "no_application_protocol") \
    X(121, "ech_required")

const char *alert_name(uint8_t alert)
{
    static const char *const names[256] = {
#define X(number, name) [number] = name,
        ALERT_LIST(X)
#undef X
    };

    return names[alert] ? names[alert] : "unknown";
}

void alert_write(uint8_t alert, uint8_t out[ALERT_RECORD])
{
    /* Content type 21, legacy_record_version, length 2; level warning (1) only where the alert ends nothing in error. */
    uint8_t level = alert == ALERT_CLOSE_NOTIFY ? 1 : 2;
    const uint8_t record[ALERT_RECORD] = { 21, 3, 3, 0, 2, level, alert };

    memcpy(out, record, sizeof record);
}
