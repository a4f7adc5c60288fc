"""Proxies from the environment: the one for a host, and none for loopback.

The libraries here read ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` each in its
own way. `prepare` brings the variables into a form that all of them understand.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from seraser_core.errors import ConfigError

_SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_REMEDY = "write http://host:port, or unset it"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SERVERS = (
    "PREFECT_API_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "STORAGE_EMULATOR_HOST",
    "HF_ENDPOINT",
)
"""Variables that name a server, which may be one of this machine."""


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        variable: The environment variable that names it.
        url: Its URL, perhaps with a password.
    """

    variable: str
    url: str

    @property
    def parts(self) -> SplitResult:
        """The parts of its URL."""
        return urlsplit(self.url)

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return self.parts.hostname or "", self.parts.port or _PORTS[self.parts.scheme]

    def __str__(self) -> str:
        """Show it without its password."""
        return f"{self.parts.scheme}://{self.parts.netloc.rpartition('@')[2]}"


def prepare(*urls: str) -> None:
    """Keep this process and its children from using a proxy for this machine itself.

    ``NO_PROXY`` gets the names of loopback. What it had stays, but for brackets round an IPv6
    address, which httpx takes for a broken URL. Nothing happens where no proxy is set.

    Args:
        urls: Servers to be asked, beside those that the environment names. One that
            ``NO_PROXY`` covers by a range of addresses gets there by itself too, as httpx and
            botocore know no ranges.
    """
    proxies = {name: value for name in _variables() if (value := os.environ.get(name))}
    if not proxies:
        return
    for name, value in proxies.items():  # httpx, and Prefect with it, refuse spaces and socks://
        os.environ[name] = re.sub(r"(?i)^socks://", "socks5://", value.strip())
    servers = (*urls, *(os.environ.get(name, "") for name in _SERVERS))
    names = (*_LOOPBACK, *(host_of(url) for url in servers if host_of(url) and _is_excepted(url)))
    kept = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        value = kept[other] if kept[name] is None else kept[name]
        os.environ[name] = _with_names(value or "", names)


def has_proxies() -> bool:
    """Return whether the environment names any proxy."""
    return any(os.environ.get(name) for name in _variables())


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine itself."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # such as 127.1
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def proxy_for(url: str) -> Proxy | None:
    """The proxy that leads to the server of an ``http`` or ``https`` URL; None to ask it directly.

    Raises:
        ConfigError: The variable holds no URL of a proxy.
    """
    if not host_of(url) or _is_excepted(url):
        return None
    for kind in (urlsplit(url).scheme.lower(), "all"):
        for variable in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
            value = os.environ.get(variable)
            if value is not None:
                if value.strip():
                    return _proxy(variable, value.strip())
                break  # the empty one of two is set to have none
    return None


def http_proxy_for(url: str) -> str | None:
    """URL of the proxy through which files are read from the server of `url`; None for none.

    Raises:
        ConfigError: It is none that speaks HTTP, or the variable holds no URL of a proxy.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return None
    if proxy.parts.scheme.startswith("socks"):
        raise ConfigError(
            proxy.variable,
            proxy,
            "files are read through http:// proxies only; set HTTP_PROXY and HTTPS_PROXY to one, "
            f"or name {host_of(url)} in NO_PROXY to reach it without",
        )
    return proxy.url


def through(url: str) -> str:
    """Return words that name the proxy of a URL; empty without one."""
    try:
        proxy = proxy_for(url)
    except ConfigError:
        return ""
    return "" if proxy is None else f" (through the proxy {proxy} of {proxy.variable})"


def refuse_unusable() -> None:
    """Refuse proxies with which no client of Prefect can be made, not even one for loopback.

    Raises:
        ConfigError: A variable holds no URL of a proxy.
    """
    for name in _variables():
        if value := os.environ.get(name, "").strip():
            _proxy(name, value)


def _proxy(variable: str, value: str) -> Proxy:
    """The proxy that is the value of a variable.

    Raises:
        ConfigError: It is none.
    """
    url = value if "://" in value else f"http://{value}"
    shown = f"{url.partition('://')[0]}://{url.partition('://')[2].rpartition('@')[2]}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(variable, shown, f"is no URL of a proxy; {_REMEDY}") from None
    if parts.scheme.lower() not in _SCHEMES:
        raise ConfigError(
            variable, shown, f"proxies are {', '.join(f'{s}://' for s in _SCHEMES)}; {_REMEDY}"
        )
    if not host:
        raise ConfigError(variable, shown, f"names no host; {_REMEDY}")
    return Proxy(variable, parts._replace(scheme=parts.scheme.lower()).geturl())


def _variables() -> list[str]:
    return [
        name
        for kind in ("http", "https", "all")
        for name in (f"{kind}_proxy", f"{kind}_PROXY".upper())
    ]


def host_of(url: str) -> str:
    """The host of a URL; empty if it has none."""
    try:
        return (urlsplit(url).hostname or "") if "://" in url else ""
    except ValueError:
        return ""


def _is_excepted(url: str) -> bool:
    """Return whether a URL is reached without a proxy: on loopback, or in ``NO_PROXY``."""
    host, server = host_of(url), urlsplit(url).netloc.rpartition("@")[2].lower()
    listed = os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")).split(",")
    return is_loopback(host) or any(
        _covers(name.strip(), host) or name.strip().lower() == server for name in listed
    )


def _covers(name: str, host: str) -> bool:
    """Return whether an entry of ``NO_PROXY`` covers a host: ``*``, a name, a domain, addresses."""
    name = name.strip("[]").lstrip(".*").lower() if name != "*" else name
    if not name:
        return False
    if name == "*" or host == name or host.endswith(f".{name}"):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _with_names(value: str, names: tuple[str, ...]) -> str:
    """Add names to a value of ``NO_PROXY``."""
    if value.strip() == "*":  # which counts only where it is alone
        return value
    listed = [re.sub(r"^\[(.*)\]$", r"\1", name.strip()) for name in value.split(",")]
    return ",".join(dict.fromkeys(name for name in (*listed, *names) if name))
