"""What RFC 8446 demands of a server, and the tests that hold it to that. scripts/rfc8446 makes docs/rfc8446.md out of it.

A requirement is enforced by rows of handshakes/, which name its id, by tests that are named here, or by both:
test_x.py::name is a scenario, room/test_x.c::name a unit test."""
import os
import re
from dataclasses import dataclass, field

from handshakes import every_row

TESTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROWS = "test_handshake_malformed.py"
SAID = "test_handshake_server.py"
HOSTILE = "test_records_hostile.py"
RECORDS = "tls/test_records.c"


@dataclass(frozen=True)
class Requirement:
    id: str
    level: str      # MUST, MUST NOT; SHOULD where a test stands for it all the same
    text: str
    tests: tuple = field(default=())

    @property
    def section(self):
        return self.id.partition("-")[0]


def _(id_, level, text, *tests):
    return Requirement(id_, level, text, tests)


def said(name):
    return f"{SAID}::test_{name}"


def hostile(name):
    return f"{HOSTILE}::test_{name}"


REQUIREMENTS = [
    # ---- 4 ----
    _("4-order", "MUST", "The server's messages come in the order of the protocol, each once.", said("a_flight_has_its_messages_in_their_order")),
    _("4-unexpected", "MUST", "A handshake message that is not due ends the connection with unexpected_message.",
      hostile("a_handshake_message_that_is_not_due_is_unexpected_message"), f"{RECORDS}::messages_that_have_no_place_are_refused"),
    _("4.1.1-common", "MUST", "A server with which a client has no suite, group or signature in common ends with handshake_failure.",
      "test_tls_versions.py::test_no_common_suite_is_a_handshake_failure", "test_tls_versions.py::test_no_common_group_is_a_handshake_failure"),
    _("4.1.1-retry", "MUST", "Where a common group exists and no share of it came, the server asks for one by HelloRetryRequest.",
      "test_tls_versions.py::test_a_client_that_guessed_no_usable_group_is_asked_for_one"),
    _("4.1.2-once", "MUST", "A ClientHello at any other time than the first, or behind a HelloRetryRequest, is unexpected_message: nothing is renegotiated.",
      "test_tls_versions.py::test_renegotiation_is_refused"),
    _("4.1.2-same", "MUST", "The second ClientHello is the first but for what 4.1.2 lists; another is illegal_parameter."),
    _("4.1.2-padding", "MUST", "Padding may come, go or change between the two ClientHellos."),
    _("4.1.2-ignore", "MUST", "Suites that the server does not know are passed over, the others processed as usual."),
    _("4.1.2-compression", "MUST", "In TLS 1.3 the one compression method is null; anything else is illegal_parameter."),
    _("4.1.3-version", "MUST", "ServerHello says 0x0303 in legacy_version and TLS 1.3 in supported_versions.", said("a_flight_has_its_messages_in_their_order")),
    _("4.1.3-random", "MUST", "ServerHello's random is fresh and independent of the client's.", said("nothing_that_must_be_fresh_comes_twice")),
    _("4.1.3-downgrade", "MUST", "A server of TLS 1.3 that is asked for TLS 1.2 says so in the last eight bytes of its random.",
      said("tls_1_2_is_marked_as_less_than_the_server_speaks")),
    _("4.1.3-echo", "MUST", "The client's session id comes back as it was, also when a session is resumed.", said("a_flight_has_its_messages_in_their_order")),
    _("4.1.3-suite", "MUST", "The suite is one that the client offered, the compression method null.", said("whatever_one_thing_is_offered_is_chosen")),
    _("4.1.3-extensions", "MUST", "ServerHello holds what the cryptography needs and nothing else.", said("nothing_is_said_that_was_not_asked_for")),
    _("4.1.3-abort", "MUST", "A client that offers no version that is spoken gets protocol_version.",
      "test_tls_versions.py::test_tls_1_0_and_1_1_are_refused_in_every_profile"),
    _("4.1.4-minimal", "MUST NOT", "A HelloRetryRequest has no extension that the client did not offer, but for cookie.", said("a_retry_asks_for_what_was_named_and_not_sent")),
    _("4.1.4-suite", "MUST", "ServerHello has the suite that HelloRetryRequest had.", said("a_retry_asks_for_what_was_named_and_not_sent")),
    _("4.1.4-once", "MUST NOT", "No second HelloRetryRequest is sent on a connection.", said("a_retry_asks_for_what_was_named_and_not_sent")),
    # ---- 4.2 ----
    _("4.2-unasked", "MUST NOT", "No extension comes back for which the client did not ask.", said("nothing_is_said_that_was_not_asked_for")),
    _("4.2-unknown", "MUST", "Extensions that are not known are ignored."),
    _("4.2-order", "MAY", "Extensions may come in any order, but pre_shared_key."),
    _("4.2-twice", "MUST NOT", "No extension comes twice in a block; if so, illegal_parameter."),
    _("4.2-place", "MUST", "A known extension in a message where it has no place is illegal_parameter."),
    _("4.2.1-select", "MUST", "With supported_versions, the version is chosen from that list alone, and protocol_version tells that there is none."),
    _("4.2.1-ignore", "MUST NOT", "legacy_version has no say where supported_versions is there."),
    _("4.2.1-absent", "MUST", "Without supported_versions TLS 1.3 is never negotiated, whatever legacy_version says."),
    _("4.2.1-unknown", "MUST", "Versions that are not known are ignored."),
    _("4.2.1-below", "MUST NOT", "A ServerHello of TLS 1.2 has no supported_versions.", said("tls_1_2_is_marked_as_less_than_the_server_speaks")),
    _("4.2.3-missing", "MUST", "A client that wants a certificate and sends no signature_algorithms gets missing_extension."),
    _("4.2.3-sha1", "MUST NOT", "No signature of SHA-1 in CertificateVerify."),
    _("4.2.6-post", "MUST NOT", "A client that did not offer it is asked for no certificate behind the handshake.", said("tickets_are_fit_for_what_was_offered")),
    _("4.2.8-named", "MAY", "A share of a group that supported_groups does not name is illegal_parameter."),
    _("4.2.8-once", "MAY", "Two shares of one group are illegal_parameter."),
    _("4.2.8-order", "MUST", "Shares of groups that are not known are passed over."),
    _("4.2.8-valid", "MUST", "A share that is not one of its group is illegal_parameter.", "tls/test_key_share.c::shares_of_a_wrong_size_are_refused"),
    _("4.2.8-group", "MUST", "The server's share is of a group for which the client sent one.", said("whatever_one_thing_is_offered_is_chosen")),
    _("4.2.8-retry", "MUST", "Behind a HelloRetryRequest there is one share, of the group that was asked for; else illegal_parameter."),
    _("4.2.8-asked", "MUST NOT", "No group is asked for that the client did not name, or of which a share came.", said("a_retry_asks_for_what_was_named_and_not_sent")),
    _("4.2.8.2-form", "MUST", "Points are uncompressed; another form is illegal_parameter.", "tls/test_key_share.c::points_in_another_form_are_refused"),
    _("4.2.8.2-valid", "MUST", "Points off their curve, or at infinity, are illegal_parameter.", "tls/test_key_share.c::points_off_the_curve_are_refused"),
    _("4.2.9-missing", "MUST", "pre_shared_key without psk_key_exchange_modes ends the handshake."),
    _("4.2.9-unlisted", "MUST NOT", "No mode is used that the client did not list."),
    _("4.2.9-unknown", "MUST", "Modes that are not known are ignored."),
    _("4.2.10-empty", "MUST", "early_data in a ClientHello has no content."),
    _("4.2.10-skip", "MUST", "Early data that is not taken is skipped: records that do not open, until the first that does; then bad_record_mac."),
    _("4.2.10-retry", "MUST NOT", "early_data is not in the second ClientHello."),
    _("4.2.10-retry-skip", "MUST", "Behind a HelloRetryRequest, records of content are skipped until the second ClientHello."),
    _("4.2.10-bounded", "SHOULD", "No more early data is skipped than was to be expected."),
    _("4.2.10-age", "SHOULD", "A ticket's age that does not fit costs its client early data, and nothing else: the handshake proceeds."),
    _("4.2.10-never", "MUST NOT", "early_data is not accepted where it was not offered, nor where it is switched off: never.", said("early_data_is_never_taken")),
    _("4.2.11-last", "MUST", "pre_shared_key is the last extension, or it is illegal_parameter."),
    _("4.2.11-binder", "MUST", "The binder of the session that is chosen is verified before it is used; else decrypt_error.",
      "tls/test_key_schedule.c::section_4_comes_out_byte_for_byte"),
    _("4.2.11-one-binder", "SHOULD NOT", "The binders of other sessions are not looked at."),
    _("4.2.11-count", "MUST", "There is a binder for each identity; another number is illegal_parameter."),
    _("4.2.11-unknown", "MUST", "Sessions that the server does not know are passed over: a full handshake.",
      "test_resumption.py::test_a_garbled_ticket_gives_a_full_handshake", "test_resumption.py::test_a_ticket_that_cannot_be_read_gives_a_full_handshake"),
    _("4.2.11-hash", "MUST", "A session is resumed under a suite of its own hash alone."),
    _("4.2.11-selected", "MUST", "selected_identity points to one of those that were offered."),
    _("4.2.11-retry", "MUST", "Binders behind a HelloRetryRequest cover both ClientHellos and it."),
    # ---- 4.3 to 4.6 ----
    _("4.3.1-first", "MUST", "EncryptedExtensions come right behind ServerHello, and have nothing that belongs elsewhere.",
      said("a_flight_has_its_messages_in_their_order"), said("nothing_is_said_that_was_not_asked_for")),
    _("4.3.2-psk", "MUST NOT", "Who resumes a session is asked for no certificate.", said("who_resumes_is_asked_for_no_certificate")),
    _("4.3.2-algorithms", "MUST", "CertificateRequest has an empty context and signature_algorithms.", said("a_certificate_is_asked_for_as_it_should_be")),
    _("4.4.1-hash", "MUST", "With two ClientHellos the first is in the transcript as its hash.",
      "tls/test_key_schedule.c::a_retry_replaces_the_first_hello_by_its_hash", "tls/test_handshake_traces.c::section_5_goes_through_the_machine_with_its_retry"),
    _("4.4.2-chain", "MUST", "The server's list of certificates is not empty, its own first, each certifying the one before.",
      said("the_certificate_fits_what_was_offered")),
    _("4.4.2-unasked", "MUST", "A certificate that nobody asked for is unexpected_message."),
    _("4.4.2-context", "MUST", "The client's Certificate has the context of the request."),
    _("4.4.2-extensions", "MUST", "Extensions of the client's Certificate answer those of the request; others are unsupported_extension."),
    _("4.4.2.2-key", "MUST", "The server's key fits the signature algorithms of the client, and may sign.", said("the_certificate_fits_what_was_offered")),
    _("4.4.2.4-required", "MUST", "No certificate where one is required ends the handshake; certificate_required says so."),
    _("4.4.2.4-optional", "MAY", "No certificate where one may be shown goes on without one.", "test_client_certificates.py::test_optional_takes_none_or_a_valid_one"),
    _("4.4.3-offered", "MUST", "The server signs by an algorithm that the client offered.", said("the_certificate_fits_what_was_offered")),
    _("4.4.3-pss", "MUST", "RSA signatures of CertificateVerify are RSASSA-PSS, whether or not PKCS #1 was offered.", said("the_certificate_fits_what_was_offered")),
    _("4.4.3-required", "MUST", "Behind a certificate its CertificateVerify comes at once."),
    _("4.4.3-verify", "MUST", "The client's signature is verified; else decrypt_error.", "tls/test_handshake.c::clients_with_every_kind_of_key_prove_it"),
    _("4.4.3-context", "MUST", "It covers the client's context string and the transcript up to its Certificate."),
    _("4.4.3-scheme", "MUST", "It is of a scheme that was asked for and that fits the key; else illegal_parameter."),
    _("4.4.4-verify", "MUST", "The client's Finished is verified; else decrypt_error."),
    _("4.4.4-no-content", "MUST NOT", "No content is taken before the client's Finished."),
    _("4.5-not-accepted", "MUST", "EndOfEarlyData where no early data was taken is unexpected_message."),
    _("4.6.1-lifetime", "MUST NOT", "No ticket lives longer than seven days.", said("tickets_are_fit_for_what_was_offered")),
    _("4.6.1-age-add", "MUST", "ticket_age_add is fresh for each ticket.", said("nothing_that_must_be_fresh_comes_twice")),
    _("4.6.1-nonce", "MUST", "Each ticket of a connection has a nonce, and so a key, of its own.", said("nothing_that_must_be_fresh_comes_twice")),
    _("4.6.1-modes", "SHOULD NOT", "Who cannot use sessions with (EC)DHE gets no ticket.", said("tickets_go_to_who_can_use_them")),
    _("4.6.1-name", "SHOULD", "A session is resumed under the name that it was made for.", "tls/test_handshake.c::a_ticket_is_good_for_its_host_its_time_and_its_keys_alone",
      "test_resumption.py::test_a_ticket_is_useless_under_another_name"),
    _("4.6.2-unasked", "MUST", "A certificate behind the handshake that nobody asked for is unexpected_message."),
    _("4.6.3-early", "MUST", "A KeyUpdate before the Finished is unexpected_message."),
    _("4.6.3-value", "MUST", "A KeyUpdate of another value than 0 and 1 is illegal_parameter.", hostile("a_malformed_key_update_is_refused")),
    _("4.6.3-follow", "MUST", "Behind a KeyUpdate the next keys are used to read, and those before no more.",
      hostile("a_key_update_is_followed"), hostile("records_under_the_key_before_an_update_are_refused")),
    _("4.6.3-answer", "MUST", "Who asks for a KeyUpdate gets one before further content.", hostile("a_key_update_that_asks_for_ours_is_answered_once"),
      hostile("many_requests_for_our_update_at_once_are_answered_once")),
    # ---- 5 ----
    _("5-ccs", "MUST", "Between the ClientHello and the client's Finished, change_cipher_spec of the value 1 is dropped."),
    _("5-ccs-other", "MUST", "change_cipher_spec of another content is unexpected_message."),
    _("5-ccs-protected", "MUST", "change_cipher_spec that is protected is unexpected_message."),
    _("5-ccs-early", "MUST", "change_cipher_spec before the ClientHello is unexpected_message."),
    _("5-ccs-late", "MUST", "change_cipher_spec behind the Finished is unexpected_message.", hostile("change_cipher_spec_behind_the_handshake_is_unexpected_message")),
    _("5-unknown-type", "MUST", "Records of types that are not due, or not known, are unexpected_message.",
      hostile("an_unknown_type_inside_is_unexpected_message"), f"{RECORDS}::unknown_types_are_refused"),
    _("5.1-fragments", "MUST", "A message may come in any number of records.", "test_client_hello.py::test_a_client_hello_may_be_cut_anywhere"),
    _("5.1-coalesced", "MUST", "Several messages may come in one record."),
    _("5.1-interleaved", "MUST NOT", "Nothing comes between the records of one message.", hostile("content_between_the_pieces_of_a_key_update_is_refused"),
      f"{RECORDS}::nothing_comes_between_the_parts_of_a_message"),
    _("5.1-boundary", "MUST", "A message before a change of keys ends with its record; what is behind it is unexpected_message.",
      hostile("bytes_behind_a_key_update_in_its_record_are_refused"), said("a_flight_has_its_messages_in_their_order")),
    _("5.1-empty", "MUST NOT", "No record of handshake messages is empty."),
    _("5.1-alert", "MUST", "A record of alerts holds one alert, whole.", hostile("an_alert_of_another_size_is_refused"), f"{RECORDS}::an_alert_has_two_bytes"),
    _("5.1-version", "MUST", "The version of a record is ignored, and ours is 0x0303.", said("a_flight_has_its_messages_in_their_order"),
      f"{RECORDS}::the_version_of_a_record_is_ignored_in_1_3_and_the_negotiated_one_in_1_2"),
    _("5.1-overflow", "MUST", "A record in clear of more than 2^14 bytes is record_overflow."),
    _("5.2-overflow", "MUST", "A protected record of more than 2^14 + 256 bytes is record_overflow.",
      hostile("a_record_that_says_it_is_too_long_is_refused_before_it_has_come")),
    _("5.2-protected", "MUST", "Once there are keys, what comes in clear is refused.", f"{RECORDS}::records_in_clear_are_refused_once_the_handshake_is_complete"),
    _("5.2-mac", "MUST", "A record that does not open is bad_record_mac.", hostile("a_bad_tag_is_bad_record_mac"),
      "tls/test_record.c::whatever_bit_is_changed_the_record_stays_shut_and_nothing_is_given_out"),
    _("5.3-sequence", "MUST", "Records are numbered from 0 under each key, and open in that order alone.", hostile("a_record_out_of_its_order_is_bad_record_mac"),
      "tls/test_record.c::another_sequence_number_opens_nothing"),
    _("5.3-wrap", "MUST NOT", "Numbers do not start anew.", f"{RECORDS}::where_sequence_numbers_end_nothing_more_is_sealed_or_opened"),
    _("5.4-padding", "MUST", "Padding of any length is taken off, and is never content.", hostile("padding_is_no_content")),
    _("5.4-no-type", "MUST", "A record of zeros alone is unexpected_message.", hostile("a_record_of_padding_alone_is_unexpected_message"),
      f"{RECORDS}::nothing_but_padding_is_unexpected"),
    _("5.4-empty", "MUST", "Empty handshake messages and alerts inside records are unexpected_message.", hostile("an_empty_fragment_of_what_is_no_content_is_refused")),
    _("5.4-overflow", "MUST", "More inside a record than it may hold is record_overflow.", hostile("content_over_the_limit_is_record_overflow"),
      f"{RECORDS}::padding_over_the_limit_is_record_overflow"),
    _("5.5-limit", "SHOULD", "Keys are changed, or the connection ended, before they have protected too much.",
      f"{RECORDS}::our_key_is_renewed_before_it_has_sealed_as_much_as_it_may", "tls/test_record.c::a_key_seals_no_more_than_it_may"),
    # ---- 6 ----
    _("6-level", "MUST", "Alerts of errors are fatal, whatever level they have.", hostile("in_tls_1_3_every_alert_is_fatal_whatever_its_level_says")),
    _("6-protected", "MUST", "Alerts are protected by the keys of the moment.", hostile("an_alert_in_clear_says_nothing_behind_the_handshake"),
      said("alerts_are_protected_as_soon_as_there_are_keys")),
    _("6-decode", "MUST", "What does not follow the syntax, lengths beyond their message among it, is decode_error."),
    _("6-reject", "MUST", "A length that is wrong by one, at any level, is noticed."),
    _("6.1-close", "MUST", "close_notify ends the client's direction; what comes behind it is ignored.",
      hostile("what_comes_behind_close_notify_is_not_looked_at"), hostile("close_notify_is_answered_with_close_notify")),
    _("6.1-send", "MUST", "The server says close_notify before it ends.", "test_tls_versions.py::test_a_connection_ends_with_close_notify"),
    _("6.1-user-canceled", "MUST", "user_canceled alone ends nothing.", hostile("user_canceled_alone_ends_nothing")),
    _("6.2-close", "MUST", "A fatal alert ends the connection, both ways, and is not answered.", hostile("a_fatal_alert_is_not_answered"),
      f"{RECORDS}::a_fatal_alert_is_the_end_of_both_directions"),
    _("6.2-unknown", "MUST", "Alerts that are not known are errors as well."),
    _("6.2-certificates", "SHOULD", "What is wrong with a client's certificate is told by the alert that is meant for it.",
      "test_client_certificates.py::test_an_invalid_certificate_is_refused"),
    # ---- 7 to 9, appendices ----
    _("7.1-schedule", "MUST", "Keys come from the secrets as 7.1 to 7.3 say.", "tls/test_key_schedule.c::section_3_comes_out_byte_for_byte",
      "tls/test_handshake_traces.c::section_3_goes_through_the_machine", "tls/test_traffic_keys.c::keys_of_1_3_come_from_the_secrets_as_in_rfc_8448",
      "tls/test_record.c::the_traces_of_rfc_8448_are_sealed_and_opened"),
    _("7.2-update", "MUST", "A new generation of keys comes from the one before, which is deleted.",
      "tls/test_traffic_keys.c::a_key_update_gives_the_next_generation_of_one_direction_and_counts_anew"),
    _("7.4.2-zero", "MUST", "A shared secret of zeros ends the handshake.", "tls/test_key_share.c::points_of_small_order_are_refused"),
    _("9.1-suites", "MUST", "TLS_AES_128_GCM_SHA256, and the others that should be there, are spoken.", said("whatever_one_thing_is_offered_is_chosen")),
    _("9.1-groups", "MUST", "P-256, and X25519, are spoken."),
    _("9.1-signatures", "MUST", "ECDSA with P-256 and RSASSA-PSS with SHA-256 are spoken and verified.", said("the_certificate_fits_what_was_offered")),
    _("9.2-missing", "MUST", "A ClientHello that lacks what belongs together gets missing_extension."),
    _("9.2-name", "MUST", "server_name leads to the certificate.", "test_certificates.py::test_certificates_are_chosen_by_name"),
    _("9.3-grease", "MUST", "Values that are not known are passed over everywhere (RFC 8701)."),
    _("D.4-ccs", "MUST", "A client that sends a session id gets change_cipher_spec right behind the first message.", said("middleboxes_see_what_they_know")),
    _("D.5-ssl2", "MUST NOT", "SSL 2.0's ClientHello and records of versions before 0x0300 are refused."),
    _("D.5-ssl3", "MUST", "legacy_version 0x0300 is protocol_version.", "test_tls_versions.py::test_ssl_3_is_refused"),
    _("D.5-compression", "MUST NOT", "Nothing is compressed, in any version.", "test_tls_versions.py::test_compression_is_never_used"),
]


def rows_of(requirement):
    return [r for r in every_row() if requirement.id in r.enforces]


def find_test(name):
    """Whether the test is there."""
    file, _, function = name.partition("::")
    folder = "scenario" if file.endswith(".py") else "unit"
    pattern = rf"^def {function}\(" if folder == "scenario" else rf"^static void {function}\(void"
    path = os.path.join(TESTS, folder, file)
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as f:
        return re.search(pattern, f.read(), re.MULTILINE) is not None


def complaints():
    """What is wrong with the table: requirements without a test, tests that are not there, ids that nobody knows."""
    found, ids = [], [r.id for r in REQUIREMENTS]
    found += [f"{i}: two requirements have this id" for i in sorted({i for i in ids if ids.count(i) > 1})]
    for r in REQUIREMENTS:
        if not r.tests and not rows_of(r):
            found.append(f"{r.id}: no test enforces it")
        found += [f"{r.id}: there is no test {t}" for t in r.tests if not find_test(t)]
    found += [f"row {row.name!r} names {i}, which is no requirement" for row in every_row() for i in row.enforces if i not in ids]
    return found


HEAD = """# What RFC 8446 demands of a server, and which test holds Unlade to it

This page is made by `scripts/rfc8446` out of the table in `tests/scenario/support/rfc8446.py` and of the tests themselves;
`./do test checks` fails where a requirement has no test, a test is not there, or this page is out of step
(`scripts/rfc8446 --write` makes it anew). The sentences are a summary: the RFC's own words are what counts.

**Rows** are those of `tests/scenario/handshakes/`: handshakes of a client that makes every byte itself, each with the alert
that the RFC names, run by `test_handshake_malformed.py` over every handshake engine. Where OpenSSL's engine is excused from one, the last
section says why; nothing else is excused from anything. That client also checks all that the server says.

What Unlade leaves out has no line here: early data (it is refused, and skipped as 4.2.10 says), external pre-shared keys, psk_ke, client
certificates behind the handshake, cookies, finite-field groups, raw public keys.

| section | | what | enforced by |
| --- | --- | --- | --- |
"""
MIDDLE = """
## Where OpenSSL's engine says something else

The same client, the same bytes, and an answer that is not the one of the RFC's words.

| section | handshake | due | why it is borne |
| --- | --- | --- | --- |
"""
NAMES = {0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure", 42: "bad_certificate",
         43: "unsupported_certificate", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
         50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 80: "internal_error", 109: "missing_extension",
         110: "unsupported_extension", 116: "certificate_required", 120: "no_application_protocol"}
MOST_NAMED = 3


def _enforced_by(requirement):
    rows = rows_of(requirement)
    parts = []
    if rows:
        named = "; ".join(f"“{r.name}”" for r in rows[:MOST_NAMED])
        more = f"; and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        parts.append(f"{'rows' if len(rows) > 1 else 'row'} {named}{more}")
    parts += [f"`{t}`" for t in requirement.tests]
    return "<br>".join(parts)


def _verdict(values):
    return " or ".join(NAMES.get(v, "goes through" if v == "completes" else str(v)) for v in values)


def document():
    lines = [f"| {r.section} | {r.level} | {r.text} | {_enforced_by(r)} |\n" for r in REQUIREMENTS]
    excused = {}
    for r in every_row():
        if r.openssl is not None:
            excused.setdefault((r.section, r.verdict, r.openssl.reason), []).append(r.name)
    other = [f"| {section} | " + "; ".join(names[:MOST_NAMED]) + (f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "") +
             f" | {_verdict(verdict)} | {reason} |\n" for (section, verdict, reason), names in excused.items()]
    return HEAD + "".join(lines) + MIDDLE + "".join(other)
