"""Make the dictionary that hashes of an embedded ledger are compressed with: `python tools/train_dictionary.py > FILE`.

It is trained on bans that this file makes up: with the messages of daemons as fail2ban's filters expect them, and
made-up names, addresses and times. Nobody's log is in it.

A published dictionary never changes, since rows refer to it by its version. A better one is a new version. Another
release of zstd may train a different one of the same samples; that is no reason to replace it.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random
from zoneinfo import ZoneInfo

from banledger.geo.place import Place
from banledger.ledger.ban import Ban, to_hash
from banledger.ledger.calendar import calendar
from banledger.ledger.ids import ban_id
from banledger.ledger.merge import merge, subject_of
from banledger.ledger.new_ban import begin
from banledger.spool.events import BanLine, TicketLine, UnbanLine
from banledger.stores.sqlite.packed_hash import text_of_hash
from banledger.zstd import zstd

SAMPLES = 8000
BYTES = 8 * 1024

_HEADS = ("{bsd} {host} ", "{bsd} {host} ", "{iso} {host} ")
_MESSAGES = {
    "sshd": (
        "sshd[{pid}]: Failed password for invalid user {user} from {ip} port {port} ssh2",
        "sshd[{pid}]: Failed password for root from {ip} port {port} ssh2",
        "sshd[{pid}]: Failed password for {user} from {ip} port {port} ssh2",
        "sshd-session[{pid}]: Failed password for invalid user {user} from {ip} port {port} ssh2",
        "sshd[{pid}]: Invalid user {user} from {ip} port {port}",
        "sshd[{pid}]: Invalid user {user} from {ip}",
        "sshd[{pid}]: input_userauth_request: invalid user {user} [preauth]",
        "sshd[{pid}]: Received disconnect from {ip} port {port}:11: Bye Bye [preauth]",
        "sshd[{pid}]: Received disconnect from {ip}: 11: Bye Bye [preauth]",
        "sshd[{pid}]: Disconnected from {ip} port {port} [preauth]",
        "sshd[{pid}]: Disconnected from invalid user {user} {ip} port {port} [preauth]",
        "sshd[{pid}]: Disconnected from authenticating user root {ip} port {port} [preauth]",
        "sshd[{pid}]: Connection closed by {ip} [preauth]",
        "sshd[{pid}]: Connection closed by {ip} port {port} [preauth]",
        "sshd[{pid}]: Connection closed by invalid user {user} {ip} port {port} [preauth]",
        "sshd[{pid}]: Connection closed by authenticating user {user} {ip} port {port} [preauth]",
        "sshd[{pid}]: Connection reset by {ip} port {port} [preauth]",
        "sshd[{pid}]: Did not receive identification string from {ip} port {port}",
        "sshd[{pid}]: error: maximum authentication attempts exceeded for root from {ip} port {port} ssh2 [preauth]",
        "sshd[{pid}]: error: maximum authentication attempts exceeded for invalid user {user} from {ip} port {port}"
        " ssh2 [preauth]",
        "sshd[{pid}]: error: kex_exchange_identification: Connection closed by remote host",
        "sshd[{pid}]: Bad protocol version identification '' from {ip} port {port}",
        "sshd[{pid}]: User {user} from {ip} not allowed because not listed in AllowUsers",
        "sshd[{pid}]: reverse mapping checking getaddrinfo for {name} [{ip}] failed - POSSIBLE BREAK-IN ATTEMPT!",
        "sshd[{pid}]: Unable to negotiate with {ip} port {port}: no matching key exchange method found. Their offer:"
        " diffie-hellman-group1-sha1 [preauth]",
        "sshd[{pid}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip}"
        "  user={user}",
        "sshd[{pid}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip} ",
        "sshd[{pid}]: Accepted password for {user} from {ip} port {port} ssh2",
    ),
    "postfix-sasl": (
        "postfix/smtpd[{pid}]: warning: unknown[{ip}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        "postfix/smtpd[{pid}]: warning: {name}[{ip}]: SASL PLAIN authentication failed: authentication failure",
        "postfix/submission/smtpd[{pid}]: warning: unknown[{ip}]: SASL LOGIN authentication failed: (reason"
        " unavailable), sasl_username={user}@example.org",
    ),
    "postfix": (
        "postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <{user}@example.org>: Relay access"
        " denied; from=<{user}@example.org> to=<{user}@example.org> proto=ESMTP helo=<{name}>",
    ),
    "dovecot": (
        "dovecot: imap-login: Disconnected: Connection closed (auth failed, {few} attempts in {few} secs):"
        " user=<{user}>, method=PLAIN, rip={ip}, lip=198.51.100.1, TLS, session=<{hex}>",
        "dovecot: pop3-login: Aborted login (auth failed, 1 attempts in {few} secs): user=<{user}@example.org>,"
        " method=PLAIN, rip={ip}, lip=198.51.100.1, session=<{hex}>",
    ),
    "proftpd": (
        "proftpd[{pid}]: example.org ({ip}[{ip}]) - USER {user}: no such user found from {ip} [{ip}] to"
        " ::ffff:198.51.100.1:21",
        "proftpd[{pid}]: example.org ({ip}[{ip}]) - USER {user} (Login failed): Incorrect password",
    ),
    "mysqld-auth": ("mysqld[{pid}]: Access denied for user '{user}'@'{ip}' (using password: YES)",),
    "asterisk": (
        "asterisk[{pid}]: NOTICE[{pid}] chan_sip.c: Registration from '\"100\" <sip:100@198.51.100.1>' failed for"
        " '{ip}:{port}' - Wrong password",
    ),
    "exim": (
        "exim[{pid}]: login authenticator failed for ({name}) [{ip}]: 535 Incorrect authentication data"
        " (set_id={user})",
    ),
}
_WEB = {
    "nginx-http-auth": (
        '{web} [error] {pid}#{pid}: *{port} user "{user}": password mismatch, client: {ip}, server: example.org,'
        ' request: "GET / HTTP/1.1", host: "example.org"',
    ),
    "nginx-botsearch": (
        '{ip} - - [{clf}] "GET {path} HTTP/1.1" 404 {port} "-" "{agent}"',
        '{web} [error] {pid}#{pid}: *{port} open() "/var/www/html{path}" failed (2: No such file or directory),'
        ' client: {ip}, server: example.org, request: "GET {path} HTTP/1.1", host: "198.51.100.1"',
    ),
    "wordpress": ('{ip} - - [{clf}] "POST /wp-login.php HTTP/1.1" 200 {port} "-" "{agent}"',),
    "apache-auth": (
        "[{apache}] [auth_basic:error] [pid {pid}] [client {ip}:{port}] AH01617: user {user}: authentication failure"
        ' for "{path}": Password Mismatch',
        "[{apache}] [authz_core:error] [pid {pid}:tid {pid}] [client {ip}:{port}] AH01630: client denied by server"
        " configuration: /var/www/html{path}",
    ),
    "recidive": ("{fail2ban} fail2ban.actions        [{pid}]: NOTICE  [sshd] Ban {ip}",),
}
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36",
    "Mozilla/5.0",
    "python-requests/2.31.0",
    "curl/7.88.1",
    "-",
)
_PATHS = ("/", "/wp-login.php", "/xmlrpc.php", "/.env", "/.git/config", "/admin/", "/phpmyadmin/index.php", "/login")
_USERS = "admin test user ubuntu oracle postgres git guest ftp mysql support info pi debian nagios deploy www"
_COUNTRIES = "CN CN CN US US US DE KR IN BR RU VN NL SG ID FR GB HK TW IR UA PL IT JP CA"
_ORGS = ("Example Telecom", "EXAMPLE-NET", "Example Cloud, LLC", "Example Hosting GmbH")
_DATES = {
    "bsd": "%b %e %H:%M:%S",
    "iso": "%Y-%m-%dT%H:%M:%S.123456+00:00",
    "web": "%Y/%m/%d %H:%M:%S",
    "clf": "%d/%b/%Y:%H:%M:%S +0000",
    "apache": "%a %b %d %H:%M:%S.123456 %Y",
    "fail2ban": "%Y-%m-%d %H:%M:%S,123",
}


def samples() -> list[bytes]:
    """Return made-up hashes as `packed_hash` has them before they are compressed."""
    rng, local = Random(1), calendar(ZoneInfo("UTC"))  # noqa: S311  # nothing secret
    return [text_of_hash(to_hash(_ban(rng, local))).encode() for _ in range(SAMPLES)]


def _ban(rng: Random, local: Callable[[int], tuple[str, int]]) -> Ban:
    second = 1_760_000_000 + rng.randrange(100_000_000)
    jail = "sshd" if rng.random() < 0.5 else rng.choice((*_MESSAGES, *_WEB))
    ip = _address(rng)
    host = rng.choice(("web1", "mail1", "localhost", "debian", f"srv{rng.randrange(99)}"))
    users = tuple(sorted({rng.choice((*_USERS.split(), "root")) for _ in range(rng.randrange(3))}))
    matches = tuple(_matches(rng, jail, host, second, ip, users)) if rng.random() < 0.7 else ()
    bantime = rng.choice((600, 600, 600, 3600, 86_400, 604_800, -1))
    said = partial(
        dict[str, object], v=1, seq=1, server=host, jail=jail, fid=ip, time=float(second),
        bantime=bantime, bancount=rng.choice((1, 1, 1, 2, 3, 7)), failures=rng.choice((3, 5, 5, 5, 6, 10)),
    )  # fmt: skip
    line = BanLine(**said(seen=second + rng.random(), users=users, matches=matches))  # type: ignore[arg-type]
    subject = subject_of(line)
    id_ = ban_id(subject.server, subject.jail, subject.fid, subject.time)
    ban = begin(id_, subject, local(second), ip, _place(rng, ip), line)
    if bantime > 0 and rng.random() < 0.7:
        later: TicketLine = UnbanLine(**said(seen=second + bantime + rng.random()))  # type: ignore[arg-type]
        ban = merge(ban, later)
    return ban


def _address(rng: Random) -> str:
    """Return an address that is nobody's (RFC 1112, section 4)."""
    return ".".join(str(rng.randrange(240 if part == 0 else 0, 256)) for part in range(4))


def _place(rng: Random, ip: str) -> Place:
    country = rng.choice(_COUNTRIES.split())
    if rng.random() < 0.5:
        return Place("public", country, "iptocc")
    network = ".".join(ip.split(".")[:2]) + f".0.0/{rng.choice((16, 19, 20, 22, 24))}"
    how = rng.choice(("proven", "proven", "inherited"))
    return Place("public", country, "whois", network, rng.randrange(1000, 400_000), rng.choice(_ORGS), how)


def _matches(rng: Random, jail: str, host: str, second: int, ip: str, users: tuple[str, ...]) -> list[str]:
    """Return matched lines: of one service, of the minutes before the ban."""
    head = rng.choice(_HEADS) if jail in _MESSAGES else ""
    moments = sorted(second - rng.randrange(300) for _ in range(rng.choice((1, 3, 3, 5))))
    messages = _MESSAGES.get(jail) or _WEB[jail]
    return [_line(rng, head + rng.choice(messages), host, moment, ip, users) for moment in moments]


def _line(rng: Random, form: str, host: str, moment: int, ip: str, users: tuple[str, ...]) -> str:
    at = time.gmtime(moment)
    return form.format_map(
        {name: time.strftime(date, at) for name, date in _DATES.items()}
        | {
            "host": host,
            "ip": ip,
            "user": rng.choice(users or ("root",)),
            "pid": rng.randrange(300, 99_999),
            "port": rng.randrange(1024, 65_536),
            "few": rng.randrange(1, 20),
            "hex": f"{rng.getrandbits(64):016x}",
            "name": f"host-{ip.replace('.', '-')}.example.net",
            "path": rng.choice(_PATHS),
            "agent": rng.choice(_AGENTS),
        }
    )


def main() -> None:
    """Write the dictionary to standard output."""
    sys.stdout.buffer.write(zstd.train_dict(samples(), BYTES).dict_content)


if __name__ == "__main__":
    main()
