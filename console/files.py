"""The files that pages are made of: styles, scripts, pictures, as WhiteNoise finds them."""

from __future__ import annotations

from contextlib import closing

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class FilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Answers with a file whole.

    WhiteNoise's own answer is a stream that is not asynchronous: Django reads it to its end in
    4 KiB pieces before it sends the first one, and warns of that.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with closing(found.file):
                content = found.file.read()
        response = HttpResponse(content, status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        return response
