/* rfc8448.h: bytes of RFC 8448, "Example Handshake Traces for TLS 1.3". */
#ifndef TESTS_TLS_RFC8448_H
#define TESTS_TLS_RFC8448_H

/* Section 3, "Simple 1-RTT Handshake": TLS_AES_128_GCM_SHA256. */
#define RFC8448_CLIENT_SECRET "9e40646ce79a7f9dc05af8889bce6552 875afa0b06df0087f792ebb7c17504a5"
#define RFC8448_CLIENT_KEY "17422dda596ed5d9acd890e3c63f5051"
#define RFC8448_CLIENT_IV "5b78923dee08579033e523d9"
#define RFC8448_SERVER_SECRET "a11af9f05531f856ad47116b45a95032 8204b4f44bfb6b3a4b4f1f3fcb631643"
#define RFC8448_SERVER_KEY "9f02283b6c9c07efc26bb9f2ac92e356"
#define RFC8448_SERVER_IV "cf782b88dd83549aadf1e984"
#define RFC8448_PAYLOAD \
    "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23" \
    "24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31"
/* The server's record 0: NewSessionTicket. */
#define RFC8448_SERVER_TICKET \
    "17 03 03 00 de 3a 6b 8f 90 41 4a 97 d6 95 9c 34 87 68 0d e5 13 4a 2b 24 0e 6c ff ac 11 6e 95 d4 1d 6a f8 f6" \
    "b5 80 dc f3 d1 1d 63 c7 58 db 28 9a 01 59 40 25 2f 55 71 3e 06 1d c1 3e 07 88 91 a3 8e fb cf 57 53 ad 8e f1" \
    "70 ad 3c 73 53 d1 6d 9d a7 73 b9 ca 7f 2b 9f a1 b6 c0 d4 a3 d0 3f 75 e0 9c 30 ba 1e 62 97 2a c4 6f 75 f7 b9" \
    "81 be 63 43 9b 29 99 ce 13 06 46 15 13 98 91 d5 e4 c5 b4 06 f1 6e 3f c1 81 a7 7c a4 75 84 00 25 db 2f 0a 77" \
    "f8 1b 5a b0 5b 94 c0 13 46 75 5f 69 23 2c 86 51 9d 86 cb ee ac 87 aa c3 47 d1 43 f9 60 5d 64 f6 50 db 4d 02" \
    "3e 70 e9 52 ca 49 fe 51 37 12 1c 74 bc 26 97 68 7e 24 87 46 d6 df 35 30 05 f3 bc e1 86 96 12 9c 81 53 55 6b" \
    "3b 6c 67 79 b3 7b f1 59 85 68 4f"
/* Record 0 of the client's, 1 of the server's: the payload. */
#define RFC8448_CLIENT_DATA \
    "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b" \
    "98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69" \
    "49 15 e4"
#define RFC8448_SERVER_DATA \
    "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3" \
    "0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67" \
    "c2 95 5d"
/* The next ones: close_notify. */
#define RFC8448_CLIENT_ALERT "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3"
#define RFC8448_SERVER_ALERT "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9"

/* Section 4, "Resumed 0-RTT Handshake": the client's early data, record 0, and EndOfEarlyData, record 1. */
#define RFC8448_EARLY_SECRET "3fbbe6a60deb66c30a32795aba0eff7e aa10105586e7be5c09678d63b6caab62"
#define RFC8448_EARLY_KEY "920205a5b7bf2115e6fc5c2942834f54"
#define RFC8448_EARLY_IV "6d475f0993c8e564610db2b9"
#define RFC8448_EARLY_PAYLOAD "41 42 43 44 45 46"
#define RFC8448_EARLY_DATA "17 03 03 00 17 ab 1d f4 20 e7 5c 45 7a 7c c5 d2 84 4f 76 d5 ae e4 b4 ed bf 04 9b e0"
#define RFC8448_EARLY_END "17 03 03 00 15 ac a6 fc 94 48 41 29 8d f9 95 93 72 5f 9b f9 75 44 29 b1 2f 09"

#endif
