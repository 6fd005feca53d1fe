"""The server side of HTTP/1.1; knows nothing about Kiro or JSON dialects."""

from kiroproxy.http.exchange import Exchange
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.messages import Headers, RawHeader, Request, Response
from kiroproxy.http.router import Handler, Route, Router
from kiroproxy.http.server import HttpServer
from kiroproxy.http.sse import SSEWriter

__all__ = [
    "Exchange",
    "Handler",
    "Headers",
    "HttpLimits",
    "HttpServer",
    "RawHeader",
    "Request",
    "Response",
    "Route",
    "Router",
    "SSEWriter",
]
