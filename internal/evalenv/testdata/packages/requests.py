"""A fake of the package requests: its get, on the standard library, and the parts of a response that the driver uses."""

import socket
import types
import urllib.error
import urllib.request


class RequestException(Exception):
    pass


class Timeout(RequestException):
    pass


exceptions = types.SimpleNamespace(RequestException=RequestException, Timeout=Timeout)


class Response:
    status_code, headers, encoding, _content = 0, {}, "utf-8", b""

    @property
    def text(self):
        return self._content.decode(self.encoding)


def get(url, headers=None, timeout=None):
    response = Response()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=timeout and timeout[1])
        response.status_code, response.headers, response._content = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        response.status_code, response.headers = error.code, error.headers
    except (socket.timeout, TimeoutError) as error:
        raise Timeout(str(error))
    except urllib.error.URLError as error:
        raise RequestException(str(error))
    return response
