"""Make the dictionary that hashes of an embedded ledger are compressed with: `python tools/train_dictionary.py > FILE`.

It consists of what hashes of bans have in common: names of fields in the orders that the ledger writes, and messages of
daemons as fail2ban's filters expect them, with made-up names and documentation addresses. Nobody's log is in it. What
is most common stands last, where references to it are shortest.

A published dictionary never changes, since rows refer to it by its version. A better one is a new version.
"""

import sys

MOST = 8 * 1024 - 262  # bytes that raw deflate with a window of 8 KiB can refer to

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"

_LINES = r"""
(ftp-user) [WARNING] Authentication failed for user [admin]
proftpd[1234]: example.org (192.0.2.1[192.0.2.1]) - USER admin: no such user found from 192.0.2.1 [192.0.2.1] to ::ffff:198.51.100.1:21
vsftpd: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=admin rhost=192.0.2.1
named[1234]: client @0x7f0000000000 192.0.2.1#53 (example.org): query (cache) 'example.org/ANY/IN' denied
NOTICE[1234] chan_sip.c: Registration from '\"100\" <sip:100@198.51.100.1>' failed for '192.0.2.1:5060' - Wrong password
webmin[1234]: Invalid login as root from 192.0.2.1
mysqld[1234]: Access denied for user 'root'@'192.0.2.1' (using password: YES)
[Mon Nov 23 04:00:26.123456 2026] [auth_basic:error] [pid 1234:tid 1234] [client 192.0.2.1:33558] AH01618: user admin not found: /admin
[error] 1234#1234: *1234 user \"admin\": password mismatch, client: 192.0.2.1, server: example.org, request: \"GET / HTTP/1.1\", host: \"example.org\"
[error] 1234#1234: *1234 limiting requests, excess: 10.123 by zone \"one\", client: 192.0.2.1, server: example.org, request: \"POST /xmlrpc.php HTTP/1.1\"
[error] 1234#1234: *1234 open() \"/var/www/html/wp-login.php\" failed (2: No such file or directory), client: 192.0.2.1
192.0.2.1 - - [23/Nov/2026:04:00:26 +0000] \"POST /wp-login.php HTTP/1.1\" 200 1234 \"-\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\"
192.0.2.1 - - [23/Nov/2026:04:00:26 +0000] \"GET /.env HTTP/1.1\" 404 162 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"
dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<admin@example.org>, method=PLAIN, rip=192.0.2.1, lip=198.51.100.1, TLS, session=<
dovecot: pop3-login: Aborted login (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=198.51.100.1
dovecot: auth-worker(1234): pam(admin,192.0.2.1): unknown user
exim[1234]: login authenticator failed for (example.org) [192.0.2.1]: 535 Incorrect authentication data (set_id=admin)
mail postfix/smtpd[1234]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <admin@example.org>: Relay access denied; from=<admin@example.org> to=<admin@example.org> proto=ESMTP helo=<example.org>
mail postfix/smtpd[1234]: lost connection after AUTH from unknown[192.0.2.1]
mail postfix/submission/smtpd[1234]: warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: authentication failure, sasl_username=admin@example.org
mail postfix/smtpd[1234]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6
sshd[1234]: error: PAM: Authentication failure for illegal user admin from 192.0.2.1
sshd[1234]: error: maximum authentication attempts exceeded for invalid user admin from 192.0.2.1 port 33558 ssh2 [preauth]
sshd[1234]: error: kex_exchange_identification: Connection closed by remote host
sshd[1234]: Unable to negotiate with 192.0.2.1 port 33558: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1 [preauth]
sshd[1234]: User admin from 192.0.2.1 not allowed because not listed in AllowUsers
sshd[1234]: banner exchange: Connection from 192.0.2.1 port 33558: invalid format
sshd[1234]: Bad protocol version identification '' from 192.0.2.1 port 33558
sshd[1234]: Did not receive identification string from 192.0.2.1 port 33558
sshd[1234]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root
sshd[1234]: pam_unix(sshd:auth): check pass; user unknown
sshd[1234]: reverse mapping checking getaddrinfo for example.org [192.0.2.1] failed - POSSIBLE BREAK-IN ATTEMPT!
sshd[1234]: Accepted password for root from 192.0.2.1 port 33558 ssh2
sshd[1234]: Connection reset by authenticating user root 192.0.2.1 port 33558 [preauth]
sshd[1234]: Disconnected from authenticating user root 192.0.2.1 port 33558 [preauth]
sshd[1234]: Disconnected from invalid user admin 192.0.2.1 port 33558 [preauth]
sshd[1234]: Connection closed by authenticating user root 192.0.2.1 port 33558 [preauth]
sshd[1234]: Connection closed by invalid user admin 192.0.2.1 port 33558 [preauth]
sshd[1234]: Received disconnect from 192.0.2.1 port 33558:11: Bye Bye [preauth]
sshd[1234]: Received disconnect from 192.0.2.1: 11: Normal Shutdown, Thank you for playing [preauth]
sshd[1234]: input_userauth_request: invalid user admin [preauth]
sshd[1234]: Connection closed by 192.0.2.1 port 33558 [preauth]
sshd[1234]: Invalid user admin from 192.0.2.1 port 33558
sshd-session[1234]: Failed password for invalid user admin from 192.0.2.1 port 33558 ssh2
"""

_JAILS = (
    "selinux-ssh vsftpd pure-ftpd proftpd named-refused asterisk webmin-auth mysqld-auth roundcube-auth php-url-fopen"
    " apache-badbots apache-noscript apache-overflows apache-auth nginx-bad-request nginx-limit-req nginx-botsearch"
    " nginx-http-auth wordpress exim sieve dovecot postfix-sasl postfix recidive sshd"
)

_COUNTRIES = "PK UA TR JP AR ZA EG MX IT PL TH TW ES BD CO GB IR RO HK CA FR ID SG NL VN RU BR IN KR DE US CN"

_HEAD = "server jail time day hour ip scope country country_from"
_TAIL = "origin seen failures bantime bancount users matches"
_SHAPES = (  # orders of fields, as a new ban and its amendments make them
    "server jail since seen bans others reason writer",
    f"server jail fid time day hour scope {_TAIL} expires",
    f"{_HEAD} network asn org whois located located_from {_TAIL} prolonged expires",
    f"{_HEAD} network asn org whois {_TAIL} unbanned ended_because expires",
    f"{_HEAD} whois {_TAIL} expires network asn org",
    "expires unbanned ended_because held ended",
    f"{_HEAD} network asn org whois located located_from {_TAIL} expires",
    f"{_HEAD} network asn org whois {_TAIL} expires",
    f"{_HEAD} whois {_TAIL} expires unbanned",
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
        + "".join(f"{_NUL}public{_NUL}{country}{_NUL}whois{_NUL}" for country in ("XX", "US"))
        + "".join(f"{_NUL}public{_NUL}{country}{_NUL}iptocc{_NUL}" for country in _COUNTRIES.split())
        + _NUL.join(("none", "inherited", "proven", "waiting", "live", "1764"))
        + _NUL.join(("import", "1764", "-1", "86400", "3600", "1", '["admin"]', '["'))
        + _NUL.join(map(fields, _SHAPES[:-1]))
        + last
    )
    return text.encode()


def main() -> None:
    """Write the dictionary to standard output."""
    made = dictionary()
    assert len(made) <= MOST, len(made)
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
