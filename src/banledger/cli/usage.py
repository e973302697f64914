"""Errors in a command line, in the words of our errors, with the nearest known name."""

import click

from banledger.report.nearest import nearest


class Group(click.Group):
    """A group of commands. An unknown command is an error that names the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click.Group.resolve_command."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command {name!r}{nearest(name, known)}", ctx)
        return super().resolve_command(ctx, args)


def what_is_wrong(error: click.ClickException) -> str:
    """One line without a full stop, such as `no such option '--sinc'; did you mean '--since'?`."""
    if isinstance(error, click.NoSuchOption):
        return f"no such option {error.option_name!r}{nearest(error.option_name, error.possibilities or ())}"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the whole help
        return "missing command"
    message = " ".join(error.format_message().split()).rstrip(".")
    # A capital after the first letter: the message begins with the name of an argument, such as FROM.
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]
