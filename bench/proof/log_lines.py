"""Matched lines: made up as services write them, no two alike, or taken from a real log."""

import gzip
import re
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import TypeAlias

Matched: TypeAlias = Callable[[Random, str, float, str, tuple[str, ...]], tuple[str, ...]]
"""Return the matched lines of a ban, of its jail, time (epoch seconds), address and user names."""

LINES = 3
"""Lines a ban."""

PATHS = (
    "wp-login.php",
    "xmlrpc.php",
    "phpmyadmin/index.php",
    ".env",
    "admin.php",
    "boaform/admin/formLogin",
    ".git/config",
)
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 zgrab/0.x",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "curl/8.5.0",
)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def none(_rng: Random, _jail: str, _moment: float, _ip: str, _users: tuple[str, ...]) -> tuple[str, ...]:
    """Return no lines."""
    return ()


def made_up(rng: Random, jail: str, moment: float, ip: str, users: tuple[str, ...]) -> tuple[str, ...]:
    """Return lines of the jail's service: times, process ids, ports, users and wording differ."""
    write, names, at = WRITERS[jail], users or ("root",), moment - rng.random() * 300
    found = []
    for number in range(LINES):
        found.append(write(rng, time.gmtime(at), ip, names[number % len(names)]))
        at = min(moment, at + rng.random() * 100)
    return tuple(found)


def of_log(path: Path) -> Matched:
    """Return a function that takes the lines of a log (`.gz` too) in turn: those with an IPv4 address, if any.

    The addresses in it become the ban's.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    every = content.decode(errors="replace").splitlines()
    turn: Iterator[str] = cycle([line for line in every if _ADDRESS.search(line)] or every)
    return lambda _rng, _jail, _moment, ip, _users: tuple(_ADDRESS.sub(ip, line) for line in islice(turn, LINES))


def _syslog(at: time.struct_time, host: str, program: str) -> str:
    return f"{time.strftime('%b %e %H:%M:%S', at)} {host} {program}: "


def _sshd(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    port, who = rng.randint(1024, 65_535), user if user == "root" else f"invalid user {user}"
    text = rng.choice(
        (
            f"Failed password for {who} from {ip} port {port} ssh2",
            f"Failed password for {who} from {ip} port {port} ssh2",
            f"Invalid user {user} from {ip} port {port}",
            f"Connection closed by authenticating user {user} {ip} port {port} [preauth]",
            f"Disconnected from {who} {ip} port {port} [preauth]",
            f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh rhost={ip}  user={user}",
            f"error: maximum authentication attempts exceeded for {who} from {ip} port {port} ssh2 [preauth]",
        )
    )
    return _syslog(at, "web1", f"sshd[{rng.randint(300, 4_194_303)}]") + text


def _postfix(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    host = rng.choice(("unknown", "unknown", f"static.{ip.replace('.', '-').replace(':', '-')}.example.net"))
    how = rng.choice(("LOGIN", "LOGIN", "PLAIN"))
    reason = rng.choice(("UGFzc3dvcmQ6", f"(reason unavailable), sasl_username={user}@example.org"))
    text = f"warning: {host}[{ip}]: SASL {how} authentication failed: {reason}"
    return _syslog(at, "mail1", f"postfix/smtpd[{rng.randint(300, 4_194_303)}]") + text


def _dovecot(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    service, session = rng.choice(("imap-login", "pop3-login")), f"{rng.getrandbits(64):016x}"
    text = (
        f"Disconnected: Connection closed (auth failed, {rng.randint(1, 5)} attempts in {rng.randint(2, 40)} secs): "
        f"user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.25, TLS, session=<{session}>"
    )
    return _syslog(at, "mail1", "dovecot") + f"{service}: {text}"


def _nginx_auth(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    moment, pid, path = time.strftime("%Y/%m/%d %H:%M:%S", at), rng.randint(300, 99_999), rng.choice(PATHS)
    return (
        f'{moment} [error] {pid}#{pid}: *{rng.randint(1, 999_999)} user "{user}": password '
        f'mismatch, client: {ip}, server: example.org, request: "GET /{path} HTTP/1.1", host: "example.org"'
    )


def _nginx_access(rng: Random, at: time.struct_time, ip: str, _user: str) -> str:
    moment, path = time.strftime("%d/%b/%Y:%H:%M:%S +0000", at), rng.choice(PATHS)
    return f'{ip} - - [{moment}] "GET /{path} HTTP/1.1" 404 {rng.randint(120, 900)} "-" "{rng.choice(AGENTS)}"'


def _fail2ban(rng: Random, at: time.struct_time, ip: str, _user: str) -> str:
    moment, jail = time.strftime("%Y-%m-%d %H:%M:%S", at), rng.choice(("sshd", "dovecot", "postfix-sasl"))
    head = f"{moment},{rng.randint(0, 999):03d} fail2ban.actions        [{rng.randint(300, 9999)}]"
    return f"{head}: NOTICE  [{jail}] Ban {ip}"


def _proftpd(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    text = f"web1.example.org ({ip}[{ip}]) - USER {user} (Login failed): Incorrect password"
    return _syslog(at, "web1", f"proftpd[{rng.randint(300, 4_194_303)}]") + text


def _apache(rng: Random, at: time.struct_time, ip: str, user: str) -> str:
    day, micros, path = time.strftime("%a %b %d %H:%M:%S", at), rng.randint(0, 999_999), rng.choice(PATHS)
    return (
        f"[{day}.{micros:06d} {at.tm_year}] [auth_basic:error] [pid {rng.randint(300, 99_999)}] "
        f"[client {ip}:{rng.randint(1024, 65_535)}] AH01617: user {user}: authentication failure for "
        f'"/{path}": Password Mismatch'
    )


WRITERS: dict[str, Callable[[Random, time.struct_time, str, str], str]] = {
    "sshd": _sshd,
    "postfix-sasl": _postfix,
    "dovecot": _dovecot,
    "nginx-http-auth": _nginx_auth,
    "nginx-botsearch": _nginx_access,
    "recidive": _fail2ban,
    "proftpd": _proftpd,
    "apache-auth": _apache,
}
"""How each jail's service writes a line: of a moment (UTC), an address and a user name."""
