"""A DNS server on the loopback for tests: real messages, over UDP and TCP, with answers and misbehaviour on order.

    with DnsServer() as dns:
        dns.answer("216.90.108.31", "23028 | 216.90.108.0/24 | US | arin | 1998-09-25")
        Cymru(nameservers=["127.0.0.1"], port=dns.port).ask("216.90.108.31")
        assert dns.queries[0].name == "31.108.90.216.origin.asn.cymru.com."

Names that were not told of don't exist. An address stands for its name below Team Cymru's zones; any other text is
a name itself.
"""

import socketserver
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast

import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

Misbehaviour = Literal["SERVFAIL", "REFUSED", "silence", "wrong id", "wrong question", "garbage", "truncated"]
"""`truncated`: over UDP, with what was ordered over TCP."""

_V4 = dns.name.from_text("origin.asn.cymru.com.")
_V6 = dns.name.from_text("origin6.asn.cymru.com.")


class Query(NamedTuple):
    """One question as it came: the name, absolute, its type, `udp` or `tcp`, and the moment (time.monotonic)."""

    name: str
    kind: str
    over: str
    moment: float


class DnsServer:
    """See above. Its methods may be called while it runs, from any thread."""

    def __init__(self) -> None:
        self.queries: list[Query] = []
        self._texts: dict[dns.name.Name, list[bytes]] = {}
        self._wrong: dict[dns.name.Name | None, Misbehaviour] = {}
        self._udp, self._tcp = _pair(self)
        self.port: int = self._udp.server_address[1]

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def answer(self, about: str, *texts: str | bytes) -> None:
        """From now on each of `texts` is a TXT record of that name; none: it exists and has no such record."""
        self._texts[_name(about)] = [text.encode() if isinstance(text, str) else text for text in texts]

    def misbehave(self, how: Misbehaviour, about: str | None = None) -> None:
        """From now on do it when asked for that name, or for any."""
        self._wrong[_name(about) if about else None] = how

    def behave(self) -> None:
        """Stop to misbehave."""
        self._wrong.clear()

    def reply(self, wire: bytes, over: str) -> bytes | None:
        """What to send back, if anything."""
        query = cast(dns.message.QueryMessage, dns.message.from_wire(wire))
        asked = query.question[0]
        self.queries.append(Query(str(asked.name), dns.rdatatype.to_text(asked.rdtype), over, time.monotonic()))
        wrong = self._wrong.get(asked.name, self._wrong.get(None))
        if wrong in ("SERVFAIL", "REFUSED"):
            return _failure(query, wrong).to_wire()
        if wrong in ("silence", "garbage"):
            return None if wrong == "silence" else wire[:2] + b"\x81\x80\xff" * 30
        if wrong == "truncated" and over == "udp":
            return _truncated(query).to_wire()
        if wrong in ("wrong id", "wrong question"):
            query = _other(query, wrong)
        return self._response(query).to_wire(max_size=65_535)

    def _response(self, query: dns.message.QueryMessage) -> dns.message.Message:
        response = dns.message.make_response(query)
        name = query.question[0].name
        texts = self._texts.get(name)
        if texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif texts:
            response.answer.append(dns.rrset.from_rdata_list(name, 60, [_record(text) for text in texts]))
        return response


def _name(about: str) -> dns.name.Name:
    if dns.inet.is_address(about):
        return dns.reversename.from_address(about, v4_origin=_V4, v6_origin=_V6)
    return dns.name.from_text(about)


def _record(text: bytes) -> TXT:
    strings = [text[start : start + 255] for start in range(0, len(text), 255)] or [b""]
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings)


def _failure(query: dns.message.QueryMessage, rcode: str) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.from_text(rcode))
    return response


def _truncated(query: dns.message.QueryMessage) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response


def _other(query: dns.message.QueryMessage, wrong: str) -> dns.message.QueryMessage:
    """A question that was not asked."""
    if wrong == "wrong id":
        query.id ^= 1
        return query
    other = dns.message.make_query("example.org.", "TXT")
    other.id = query.id
    return other


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, channel = self.request
        reply = cast(_Server, self.server).owner.reply(wire, "udp")
        if reply is not None:
            channel.sendto(reply, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    timeout = 5

    def handle(self) -> None:
        with suppress(OSError, struct.error):
            (length,) = struct.unpack("!H", self.rfile.read(2))
            reply = cast(_Server, self.server).owner.reply(self.rfile.read(length), "tcp")
            if reply is not None:
                self.wfile.write(struct.pack("!H", len(reply)) + reply)


class _Server(socketserver.ThreadingMixIn):
    daemon_threads = True
    block_on_close = False
    owner: DnsServer


class _UdpServer(_Server, socketserver.UDPServer):
    max_packet_size = 65_535


class _TcpServer(_Server, socketserver.TCPServer):
    allow_reuse_address = True


def _pair(owner: DnsServer) -> tuple[Any, Any]:
    """A UDP and a TCP server on the same port of the loopback."""
    for _ in range(20):
        udp = _UdpServer(("127.0.0.1", 0), _Udp)
        try:
            tcp = _TcpServer(("127.0.0.1", udp.server_address[1]), _Tcp)
        except OSError:  # somebody else's over TCP
            udp.server_close()
            continue
        udp.owner = tcp.owner = owner
        return udp, tcp
    raise OSError("no port is free over both UDP and TCP")
