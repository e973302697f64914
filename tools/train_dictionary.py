"""Make the dictionary that hashes of an embedded ledger are compressed with: `python tools/train_dictionary.py > FILE`.

It consists of what hashes of bans have in common: names of fields in the orders that the ledger writes, and messages of
daemons as fail2ban's filters expect them, with made-up names and documentation addresses. Nobody's log is in it. What
is most common stands last, where references to it are shortest.

A published dictionary never changes, since rows refer to it by its version. A better one is a new version.
"""

import sys

MOST = 4 * 1024 - 262  # bytes that raw deflate with a window of 4 KiB can refer to

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"

_LINES = r"""
asterisk[1234]: NOTICE[1234] chan_sip.c: Registration from '\"100\" <sip:100@198.51.100.1>' failed for '192.0.2.1:5060' - Wrong password
exim[1234]: login authenticator failed for (example.org) [192.0.2.1]: 535 Incorrect authentication data (set_id=
mysqld[1234]: Access denied for user 'root'@'192.0.2.1' (using password: YES)
proftpd[1234]: example.org (192.0.2.1[192.0.2.1]) - USER admin: no such user found from 192.0.2.1
client: 192.0.2.1, server: example.org, request: \"GET / HTTP/1.1\", host: \"example.org\"
[error] 1234#1234: *1234 user \"admin\": password mismatch
 - - [23/Nov/2026:04:00:26 +0000] \"POST /wp-login.php HTTP/1.1\" 200 1234 \"-\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\"
dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<admin@example.org>, method=PLAIN, rip=192.0.2.1, lip=198.51.100.1, TLS, session=<
postfix/smtpd[1234]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <admin@example.org>: Relay access denied; from=<admin@example.org> to=<admin@example.org> proto=ESMTP helo=<
postfix/submission/smtpd[1234]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: authentication failure, sasl_username=
error: PAM: Authentication failure for illegal user
error: maximum authentication attempts exceeded for invalid user
Unable to negotiate with 192.0.2.1 port 33558: no matching key exchange method found.
User admin from 192.0.2.1 not allowed because not listed in AllowUsers
error: kex_exchange_identification: Connection closed by remote host
Bad protocol version identification '' from 192.0.2.1 port 33558
Did not receive identification string from
pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root
reverse mapping checking getaddrinfo for example.org [192.0.2.1] failed - POSSIBLE BREAK-IN ATTEMPT!
Disconnected from authenticating user root 192.0.2.1 port 33558 [preauth]
Connection closed by invalid user admin 192.0.2.1 port 33558 [preauth]
Received disconnect from 192.0.2.1 port 33558:11: Bye Bye [preauth]
input_userauth_request: invalid user admin [preauth]
Invalid user admin from 192.0.2.1 port 33558
sshd-session[1234]: Failed password for invalid user admin from 192.0.2.1 port 33558 ssh2
"""  # noqa: E501

_JAILS = (
    "proftpd asterisk exim mysqld-auth wordpress apache-auth nginx-limit-req nginx-botsearch nginx-http-auth dovecot"
    " postfix-sasl postfix recidive sshd"
)

_COUNTRIES = "FR ID SG NL VN RU BR IN KR DE US CN"

_HEAD = "server jail time day hour ip scope country country_from"
_TAIL = "origin seen failures bantime bancount users matches"
_SHAPES = (  # orders of fields, or parts of them, as new bans and amendments have them
    "since seen bans others reason writer",
    "jail fid time day hour scope origin",
    "matches prolonged expires unbanned ended_because held ended",
    "located located_from origin",
    "country_from network asn org whois origin",
    "country_from whois origin",
    f"{_HEAD} {_TAIL} expires",
)

_NUL = "\0"


def fields(names: str, *values: str) -> str:
    """Return a hash, or the beginning of one, as its row has it before it is compressed."""
    return "\n".join(names.split()) + "".join(_NUL + value for value in values)


def dictionary() -> bytes:
    """Return the dictionary, most common parts last."""
    line = r"Nov 23 04:00:26 web1 sshd[1234]: Failed password for root from 192.0.2.1 port 33558 ssh2"
    last = fields(
        _SHAPES[-1], "web1", "sshd", "1764000000", "2026-11-23", "14", "192.0.2.1", "public", "US", "iptocc", "live",
        "1764000000.500000", "5", "600", "1", r'["root"]', rf'["{line}","{line}"]', "1764000600",
    )  # fmt: skip
    text = (
        _LINES
        + _MONTHS
        + '["2026-11-23T04:00:26.123456+00:00 web1 '
        + _NUL.join(_JAILS.split())
        + "".join(f"{_NUL}public{_NUL}{country}{_NUL}whois{_NUL}" for country in ("CN", "US"))
        + "".join(f"{_NUL}public{_NUL}{country}{_NUL}iptocc{_NUL}" for country in _COUNTRIES.split())
        + _NUL.join(("none", "inherited", "proven", "waiting", "live", "1764"))
        + _NUL.join(("import", "1764", "-1", "86400", "3600", "1", '["admin"]', '["'))
        + _NUL.join(map(fields, _SHAPES[:-1]))
        + last
    )
    return text.encode()


def main() -> None:
    """Write the dictionary to standard output."""
    sys.stdout.buffer.write(dictionary())


if __name__ == "__main__":
    main()
