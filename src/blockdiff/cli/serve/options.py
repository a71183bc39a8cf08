"""What servers share: where they listen, TLS, the log."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.serve.duration import Duration

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

IGNORED = ("vmodule", "log_dir", "log_file", "log_file_max_size", "stderrthreshold", "log_backtrace_at")
_IGNORED_FLAGS = ("logtostderr", "alsologtostderr", "add_dir_header", "skip_headers", "skip_log_headers", "one_output")


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """For options that keep people out: a variable that was not set must not open the door."""
    if value == "":
        raise click.UsageError(f"{param.opts[0]} is empty", ctx)
    return value


def listen_options() -> Decorator:
    """--bind, --port, --address, --max-streams, --max-streaming-duration-min, --grace."""
    return _stack(
        click.option(
            "--bind", default="127.0.0.1", show_default=True, metavar="HOST", help="Listen here; 0.0.0.0 is everywhere."
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=50051,
            show_default=True,
            help="Listen on this port; 0 is a free one.",
        ),
        click.option("--address", default=None, metavar="ADDRESS", help="Instead of both: HOST:PORT or unix:///PATH."),
        click.option(
            "--max-streams",
            type=click.IntRange(1, 4096),
            default=256,
            show_default=True,
            help="Streams at once; one more is refused.",
        ),
        click.option(
            "--max-streaming-duration-min",
            type=click.IntRange(1, 1 << 20),
            default=10,
            show_default=True,
            metavar="MINUTES",
            help="The longest that a stream may take.",
        ),
        click.option(
            "--grace", type=Duration(), default="20s", show_default=True, help="For streams to finish, at the end."
        ),
    )


def tls_options() -> Decorator:
    """--tls-cert, --tls-key, --client-ca, and Go's three."""
    return _stack(
        click.option(
            "--tls-cert",
            default=None,
            envvar="TLS_CERT_PATH",
            show_envvar=True,
            metavar="FILE",
            help="Certificate chain, PEM; read again when it changes.",
        ),
        click.option(
            "--tls-key", default=None, envvar="TLS_KEY_PATH", show_envvar=True, metavar="FILE", help="Its key."
        ),
        click.option(
            "--client-ca",
            default=None,
            callback=not_empty,
            metavar="FILE",
            help="Let only clients in with a certificate of this CA.",
        ),
        click.option(
            "--tls-min-version",
            default="",
            metavar="VERSION",
            help="VersionTLS12 or VersionTLS13.  [default: VersionTLS12]",
        ),
        click.option(
            "--tls-cipher-suites",
            default="",
            metavar="NAMES",
            help="Of TLS 1.2, as Go names them, with commas between.",
        ),
        click.option(
            "--tls-curve-preferences", default="", metavar="NAMES", help="Refused unless empty: gRPC chooses."
        ),
    )


def log_options() -> Decorator:
    """--log-format, --v."""
    return _stack(
        click.option(
            "--log-format",
            type=click.Choice(("text", "json")),
            default="text",
            show_default=True,
            help="Of the log on stderr.",
        ),
        click.option(
            "--v",
            type=int,
            default=0,
            show_default=True,
            metavar="LEVEL",
            help="Verbosity of the log; 4 is for developers.",
        ),
    )


def klog_options() -> Decorator:
    """Klog's flags, so that manifests go on to work: the log goes to stderr whatever they say."""
    return _stack(
        *(click.option(f"--{name}", default=None, hidden=True) for name in IGNORED),
        *(click.option(f"--{name}", is_flag=True, hidden=True) for name in _IGNORED_FLAGS),
    )


def _stack(*decorators: Any) -> Decorator:
    return lambda function: functools.reduce(lambda f, decorate: decorate(f), reversed(decorators), function)
