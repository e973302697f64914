"""`banledger kv`."""

import sys

import click

from banledger.cli import options, session


@click.command(name="kv", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--raw/--no-raw", default=None, help="Plain text, or typed and quoted. [default: --no-raw on a terminal]")
@options.store_options
@click.argument("words", metavar="COMMAND [ARG]...", nargs=-1, required=True)
def kv(words: tuple[str, ...], raw: bool | None, **flags: str | None) -> None:
    """Read the ledger's keys on any store, with the commands and the output of redis-cli.

    \b
    HGETALL HGET HMGET HKEYS HVALS HLEN HEXISTS                     hashes
    SMEMBERS SCARD SISMEMBER                                        sets
    ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE                 sorted sets
    ZSCORE ZMSCORE ZCARD ZCOUNT
    TYPE EXISTS KEYS SCAN DBSIZE PING

    Options go before COMMAND. Commands that write are refused. An error reply is printed as redis-cli prints it, and
    the exit code is 1.

    \b
    Example:
      banledger kv SCARD bans:country:CN
      banledger kv ZREVRANGE bans:top:ip 0 9 WITHSCORES
      banledger kv SMEMBERS bans:ip:203.0.113.9
      banledger kv HGETALL 'bans:{2611}:ban:2611230f4k7q2m5x9ctz'
    """
    with session.ledger(flags) as reader:
        from banledger.stores.commands import Failure, execute

        reply = execute(reader.store(), words)
    from banledger.report.formats import redis_cli

    plain = not sys.stdout.isatty() if raw is None else raw
    sys.stdout.write(redis_cli.raw(reply) if plain else redis_cli.for_terminal(reply))
    if isinstance(reply, Failure):
        raise click.exceptions.Exit(1)
