"""Files of web servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp

from seraser_core.backoff import with_retries
from seraser_core.storage.other import OtherPlace, proxy_of

T = TypeVar("T")
_TIMES = aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=30)


class WebPlace(OtherPlace):
    """A file of a web server, whose client repeats no request by itself."""

    def _own_options(self) -> dict[str, dict[str, Any]]:
        return {"client_kwargs": {"timeout": _TIMES, **proxy_of(self.url)}}

    def _ask(self, attempt: Callable[[], T]) -> T:
        return with_retries(attempt)

    def _version(self) -> str:
        info = self._ask(lambda: self.fs.info(self.path))  # its own key knows nothing but the URL
        return " ".join(str(info.get(name)) for name in ("size", "ETag", "Last-Modified"))

    def _exists(self) -> bool:
        # Without `strict`, what the server cannot say now is called missing.
        return bool(self._ask(lambda: self.fs.exists(self.path, strict=True)))
