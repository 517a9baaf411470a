"""Remote: rasters behind URLs: settings that wait and try again, not for ever, and what shows that one changed."""

import os
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from geoseg import __version__
from geoseg.errors import InputError, TryAgainError

REMOTE = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)|\b(https?|ftp|s3|gs|az)://")
URL = re.compile(r"https?://[^\s?]*?(?=\.(?:zip|tar|tgz)/)\.(?:zip|tar|tgz)|https?://\S+", re.IGNORECASE)
# GDAL's own are: no second try, no limit to a stall, a listing of the folder at every open.
SETTINGS: dict[str, str] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_RETRY_CODES": "429,500,502,503,504",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_USERAGENT": f"geoseg/{__version__}",
}
AGENT = {"User-Agent": SETTINGS["GDAL_HTTP_USERAGENT"]}
MOST_TEXT = 16 * 2**20  # bytes
TIMEOUT_S, PAUSES_S = 10, (0.5, 1.0, 2.0)
SHOWS_CHANGE = ("ETag", "Last-Modified", "Content-Length")
REFUSED = re.compile(r"HTTP response code(?: on \S+)?: (?!408|429)4\d\d|does not exist|not recognized", re.IGNORECASE)


class NotThereError(InputError):
    """An address behind which nothing is."""


def is_remote(name: str) -> bool:
    """Whether GDAL fetches a raster of this name from elsewhere."""
    return REMOTE.search(name) is not None


def settings() -> Mapping[str, str]:
    """Return what GDAL is told for such rasters; what the environment says of it stays."""
    return {key: value for key, value in SETTINGS.items() if key not in os.environ}


def error_of(name: str, reason: str) -> InputError | TryAgainError:
    """Return what a raster that could not be fetched means: refused for good, or away for now."""
    if REFUSED.search(reason):
        return InputError(f"{name}: cannot be fetched ({reason}); check the address and the right to read it")
    return TryAgainError(f"{name}: cannot be fetched ({reason or 'no answer'}); run the same command again")


@cache
def first_stamp(name: str) -> tuple[object, ...]:
    """Return the ``stamp`` of a raster as this process first saw it: GDAL may give its pixels of then to the end."""
    return tuple(stamp(name))


def stamp(name: str) -> list[object]:
    """Return the name with what its server says that changes with a file: ETag, date, bytes.

    The name alone where it is no HTTP address, or its server says nothing. Raises TryAgainError where the network is
    gone, and InputError where the file is.
    """
    found = URL.search(name)
    if found is None:
        return [name]
    request = Request(found[0], method="HEAD", headers=AGENT)
    answer = _answer(name, request, lambda said: [said.headers.get(key, "") for key in SHOWS_CHANGE])
    return [name, *([] if answer is None else answer)]  # None: e.g. signed for reading alone


def content_of(url: str, most_bytes: int) -> bytes | None:
    """Return what is behind a URL, None where nothing is; raises as ``stamp`` does, and InputError beyond a size."""
    try:
        content = _answer(url, Request(url, headers=AGENT), lambda said: bytes(said.read(most_bytes + 1)))
    except NotThereError:
        return None
    if content is None:
        raise InputError(f"{url}: its server refuses it; check the address, and the right to read it")
    if len(content) > most_bytes:
        raise InputError(f"{url}: gives more than {most_bytes:,} bytes; is it the right address?")
    return content


def text_of(url: str) -> str:
    """Return a text behind a URL, such as a STAC item; raises as ``stamp`` does."""
    content = content_of(url, MOST_TEXT)
    if content is None:
        raise NotThereError(f"{url}: not there; check the address")
    return content.decode("utf-8", "replace")


def _answer[T](name: str, request: Request, read: Callable[[Any], T]) -> T | None:
    """Return what ``read`` makes of an answer, None where the server refuses; see ``stamp``."""
    failure: Exception | None = None
    for pause in (*PAUSES_S, None):
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                return read(answer)
        except HTTPError as error:
            if error.code in (404, 410):
                raise NotThereError(f"{name}: not there (HTTP {error.code}); check the address") from error
            if error.code < 500 and error.code != 429:
                return None
            failure = error
        except (URLError, OSError, HTTPException) as error:
            failure = error
        if pause is not None:
            time.sleep(pause)
    raise TryAgainError(f"{name}: its server does not answer ({failure}); run the same command again") from failure
